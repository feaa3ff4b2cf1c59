/**
 * Waiting on the event loop until a descriptor is readable.
 */
import { type FdWatcher, native } from '../native.js';

/** How a wait ended. */
export type ReadyState = 'ready' | 'timeout' | 'closed';

/**
 * Any number of waits on one descriptor, which the owner closes after this. Costs nothing and does not
 * keep the event loop alive while nobody waits.
 */
export class Readiness {
  readonly #fd: number;
  readonly #waiting = new Set<(state: ReadyState) => void>();
  #watcher: FdWatcher | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Resolves once the descriptor is readable, closed, or `timeoutMs` have passed. */
  wait(timeoutMs?: number): Promise<ReadyState> {
    return new Promise((resolve) => {
      const timer =
        timeoutMs === undefined ? undefined : setTimeout(() => settle('timeout'), timeoutMs);
      const settle = (state: ReadyState) => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        if (this.#waiting.size === 0) this.#stop();
        resolve(state);
      };
      // The watcher may refuse the descriptor: nothing may be left waiting then.
      this.#watcher ??= new native.FdWatcher(this.#fd, () => this.#settleAll('ready'));
      this.#waiting.add(settle);
    });
  }

  /** Ends all waits as `closed`. */
  close(): void {
    this.#settleAll('closed');
  }

  #settleAll(state: ReadyState): void {
    for (const settle of [...this.#waiting]) settle(state);
  }

  #stop(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
