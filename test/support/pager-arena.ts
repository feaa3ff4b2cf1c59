/** The shared memory of a pager that another process started: its figures from outside. */
import { closeSync, fstatSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { readFigures, readTakeovers, type TargetFigures } from '../../src/servicer/figures.js';
import { childrenOf, groupOf, openDescriptors, runningComm, until } from './process-facts.js';

/** Targets of one test's restore, forked children included. */
const SLOTS = 64;

/** A pager, known by the id of its process group. */
export class ObservedPager implements Disposable {
  readonly pgid: number;
  readonly #arena: number;

  private constructor(pgid: number, arena: number) {
    this.pgid = pgid;
    this.#arena = arena;
  }

  /** A pager that runs, by the id of its process group. */
  static of(pgid: number): ObservedPager {
    const [any] = groupOf(pgid);
    const arena = any === undefined ? undefined : openArena(any);
    if (arena === undefined) throw new Error(`there is no pager ${pgid}`);
    return new ObservedPager(pgid, arena);
  }

  /** Waits for the pager that a process starts. */
  static async startedBy(pid: number): Promise<ObservedPager> {
    let found: ObservedPager | undefined;
    await until(
      'a pager',
      () => {
        const pgid = childrenOf(pid).find((child) => runningComm(child) === 'thaw-keeper');
        const arena = pgid === undefined ? undefined : openArena(pgid);
        if (pgid !== undefined && arena !== undefined) found = new ObservedPager(pgid, arena);
        return found !== undefined;
      },
      10_000,
    );
    return found as ObservedPager;
  }

  /** The figures of all targets that it serves or has served. */
  figures(): TargetFigures[] {
    const all = Array.from({ length: SLOTS }, (_, slot) => readFigures(this.#arena, slot));
    return all.filter(({ state }) => state !== 'free');
  }

  /** Pages that are missing in targets that it serves; undefined before there is one. */
  missingPages(): number | undefined {
    const all = this.figures();
    if (all.length === 0) return undefined;
    const serving = all.filter(({ state }) => state === 'serving');
    return serving.reduce((sum, { missingPages }) => sum + missingPages, 0);
  }

  /** Memory of the arena that is in use. */
  get arenaBytes(): number {
    return fstatSync(this.#arena).blocks * 512;
  }

  /** How often another worker took over. */
  get takeovers(): number {
    return readTakeovers(this.#arena);
  }

  /** Sockets that its processes have. */
  get socketCount(): number {
    return openDescriptors(this.pgid).filter((what) => what.startsWith('socket:')).length;
  }

  /** Whether none of its processes runs any more. */
  get ended(): boolean {
    return groupOf(this.pgid).length === 0;
  }

  [Symbol.dispose](): void {
    closeSync(this.#arena);
  }
}

function openArena(pid: number): number | undefined {
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const path = `/proc/${pid}/fd/${fd}`;
      if (readlinkSync(path).startsWith('/memfd:thaw-arena')) return openSync(path, 'r');
    }
  } catch {
    // it has ended
  }
  return undefined;
}
