/** What a soak has done so far. */
import type { Touched } from '../support/random-touches.js';

/** Counts of all lanes together. */
export class Tally implements Touched {
  hostRestores = 0;
  taskRestores = 0;
  /** By the name of what was killed: a role of a pager, `command` or `host`. */
  readonly kills = new Map<string, number>();
  takeovers = 0;
  forks = 0;
  faults = 0;
  pages = 0;
  longestWaitNs = 0;

  countKills(names: readonly string[]): void {
    for (const name of names) this.kills.set(name, (this.kills.get(name) ?? 0) + 1);
  }

  get killCount(): number {
    return [...this.kills.values()].reduce((sum, count) => sum + count, 0);
  }
}
