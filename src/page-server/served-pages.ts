/** The pages of an image as clients of a page server ask for them: by pid and address. */
import { PAGE_SIZE, toPageNumber, toVaddr } from '../address.js';
import type { Checkpoint } from '../image/checkpoint.js';
import type { LayeredPagemap } from '../image/layered-pagemap.js';

const PAGE_MASK = BigInt(PAGE_SIZE - 1);

/** What an image has at an address. */
export interface FoundPages {
  readonly pagemap: LayeredPagemap;
  readonly firstPage: number;
  /** Pages from there on for which the image has an entry, up to the number asked for. */
  readonly pageCount: number;
}

/** Looks pages up. Immutable. */
export class ServedPages {
  readonly #pagemaps: ReadonlyMap<bigint, LayeredPagemap>;

  constructor({ tasks }: Checkpoint) {
    this.#pagemaps = new Map(
      tasks.flatMap(({ pid, pagemap }) => (pagemap ? [[BigInt(pid), pagemap] as const] : [])),
    );
  }

  /** Pids of the tasks that have pages. */
  get pids(): bigint[] {
    return [...this.#pagemaps.keys()];
  }

  /** Whether there is a task `pid` that has pages. */
  hasTask(pid: bigint): boolean {
    return this.#pagemaps.has(pid);
  }

  /**
   * What the image has of `pageCount` pages from `vaddr` of task `pid` on; undefined if there is no
   * such task, `vaddr` is not at a page border, or no entry covers it.
   */
  find(pid: bigint, vaddr: bigint, pageCount: number): FoundPages | undefined {
    const pagemap = this.#pagemaps.get(pid);
    if (pagemap === undefined || (vaddr & PAGE_MASK) !== 0n) return undefined;
    const firstPage = toPageNumber(vaddr);
    const covered = countCovered(pagemap, firstPage, pageCount);
    return covered === 0 ? undefined : { pagemap, firstPage, pageCount: covered };
  }

  /** The first address after `vaddr` at which task `pid` has a page; undefined if there is none. */
  nextStored(pid: bigint, vaddr: bigint): bigint | undefined {
    const pagemap = this.#pagemaps.get(pid);
    const firstPage = pagemap?.runs.firstPage[pagemap.findRun(toPageNumber(vaddr))];
    return firstPage === undefined ? undefined : toVaddr(firstPage);
  }

  /** Whether any task has a page at `vaddr`. */
  hasPageAt(vaddr: bigint): boolean {
    return this.pids.some((pid) => this.find(pid, vaddr, 1) !== undefined);
  }
}

/** Pages from `firstPage` on, at most `pagesMax`, that runs cover without a gap. */
function countCovered(pagemap: LayeredPagemap, firstPage: number, pagesMax: number): number {
  const limit = firstPage + pagesMax;
  let end = firstPage;
  for (let run = pagemap.findRun(firstPage); run < pagemap.runCount && end < limit; run++) {
    const runStart = pagemap.runs.firstPage[run] ?? 0;
    if (runStart > end) break;
    end = runStart + (pagemap.runs.pageCount[run] ?? 0);
  }
  return Math.min(end, limit) - firstPage;
}
