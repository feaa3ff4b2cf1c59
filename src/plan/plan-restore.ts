/** Turns a checkpoint into a plan: who gets which pages from where. */
import { PAGE_SIZE, toPageNumber } from '../address.js';
import type { Checkpoint } from '../image/checkpoint.js';
import { NO_CHECKSUM } from '../image/checksums.js';
import type { LayeredPagemap, PayloadPlace } from '../image/layered-pagemap.js';
import { PAGEMAP_FLAG } from '../image/pagemap-entry.js';
import type { LiveTask, SharedObject } from '../image/task.js';
import { type MergedBlocks, mergeBlocks } from './blocks.js';
import { ExtentBuilder } from './extent-builder.js';
import { planGuards, planRegions } from './regions.js';
import {
  EXTENT_KIND,
  type GuardColumns,
  type RegionColumns,
  type RestorePlan,
  type SharedPlan,
  type TaskPlan,
} from './restore-plan.js';
import { SourceTable } from './source-table.js';

/** How {@link planRestore} decides. */
export interface PlanOptions {
  /**
   * What makes a stored page of a lazy region lazy: its VMA (`vma`: all of them are), or its pagemap
   * entry (`entry`: those that CRIU marked LAZY; CRIU itself brings in the others).
   *
   * @default 'vma'
   */
  readonly laziness?: 'vma' | 'entry';
  /**
   * Whether lazy pages of the image itself, but not of its parents, come from a page server.
   *
   * @default false
   */
  readonly remotePages?: boolean;
}

/** Shared memory is never lazy. */
const SHARED_DECISIONS: Required<PlanOptions> = { laziness: 'vma', remotePages: false };
/** Of a payload that is not compressed. */
const RAW = {
  blockPages: 0,
  firstBlock: 0,
  skipPages: 0,
  entryPages: 0,
  firstChecksum: NO_CHECKSUM,
};

/** Extents that very large holes are cut into, at most, in all of user space. */
const HOLE_PARTS_MAX = 32;

/**
 * The plan to restore all live tasks of `checkpoint`. Pure computation: nothing is read. The plan
 * stays valid when the checkpoint is closed, as long as the files of the image stay.
 *
 * @throws ThawError NR_PAGES_OVERFLOW if a task has more than 2^32 - 1 stored pages.
 * @example
 * const plan = planRestore(await Checkpoint.open('dump'));
 * for (const task of plan.tasks) console.log(task.pid, task.totals.pages);
 */
export function planRestore(checkpoint: Checkpoint, options: PlanOptions = {}): RestorePlan {
  const decisions = { laziness: 'vma', remotePages: false, ...options } as const;
  const sources = new SourceTable();
  const live = checkpoint.tasks.filter((task) => task.state === 'alive');
  const taskPlans = live.map((task) => planTask(task, sources, decisions));
  const mapped = new Set(live.flatMap((task) => task.vmas.map((vma) => vma.shmid)));
  const shared = checkpoint.sharedObjects
    .filter((object) => mapped.has(object.shmid))
    .map((object) => planShared(object, sources));
  const tasks = taskPlans.map((task) => ({ ...task, sourceCount: sources.list.length }));
  return { tasks, shared, sources: sources.list };
}

function planTask(
  task: LiveTask,
  sources: SourceTable,
  decisions: Required<PlanOptions>,
): Omit<TaskPlan, 'sourceCount'> {
  const regions = planRegions(task.vmas);
  const guards = planGuards(task.vmas);
  const merged = mergeBlocks(task.pagemap);
  const builder = new ExtentBuilder(boundExtents(task.pagemap, regions, guards));
  const splitter = new RunSplitter(task.pagemap, builder, sources, merged, decisions);
  splitRegions(regions, guards, splitter);
  const { dataPages, holePages, eagerPages } = builder;
  const pages = dataPages + eagerPages;
  return {
    pid: task.pid,
    comm: task.comm,
    regions,
    guards,
    extents: builder.finish(),
    blocks: merged.blocks,
    totals: { regions: regions.start.length, pages, dataPages, holePages, eagerPages },
  };
}

/**
 * Most extents there can be. Regions and guards cut user space into parts; a run is cut once more by
 * each part's border, and a hole lies in front of each stored run and at the end of each part.
 */
function boundExtents(
  pagemap: LayeredPagemap,
  regions: RegionColumns,
  guards: GuardColumns,
): number {
  const parts = regions.start.length + guards.start.length;
  return 2 * pagemap.runCount + 3 * parts + HOLE_PARTS_MAX;
}

function planShared(object: SharedObject, sources: SourceTable): SharedPlan {
  const { pagemap, shmid, name, size } = object;
  const merged = mergeBlocks(pagemap);
  const builder = new ExtentBuilder(pagemap.runCount);
  new RunSplitter(pagemap, builder, sources, merged, SHARED_DECISIONS).addStoredRuns();
  const pages = builder.dataPages;
  return { shmid, name, byteLength: size, extents: builder.finish(), blocks: merged.blocks, pages };
}

/** Hands every part of every region that lies between guards to the splitter. */
function splitRegions(regions: RegionColumns, guards: GuardColumns, splitter: RunSplitter): void {
  let guard = 0;
  for (let region = 0; region < regions.start.length; region++) {
    const endPage = toPageNumber(regions.end[region] ?? 0n);
    const lazy = regions.lazy[region] === 1;
    let page = toPageNumber(regions.start[region] ?? 0n);
    splitter.beginRegion();
    while (page < endPage) {
      const guardStart = toPageNumber(guards.start[guard] ?? BigInt.asUintN(64, -1n));
      const partEnd = Math.min(endPage, guardStart);
      splitter.addPart(page, partEnd, lazy);
      page = partEnd;
      if (page < endPage) page = toPageNumber(guards.end[guard++] ?? 0n);
    }
  }
}

/** Cuts the runs of a pagemap to parts of regions. Parts come in ascending order. */
class RunSplitter {
  #run = 0;

  constructor(
    private readonly pagemap: LayeredPagemap,
    private readonly builder: ExtentBuilder,
    private readonly sources: SourceTable,
    private readonly merged: MergedBlocks,
    private readonly decisions: Required<PlanOptions>,
  ) {}

  /** Extents do not go on from one region to the next. */
  beginRegion(): void {
    this.builder.closeExtent();
  }

  /** Adds the pages from `firstPage` to `endPage` of one region: all if it is lazy, or the stored. */
  addPart(firstPage: number, endPage: number, lazy: boolean): void {
    const { runs, runCount } = this.pagemap;
    let page = firstPage;
    while (page < endPage) {
      while (this.#run < runCount && this.#endOf(this.#run) <= page) this.#run++;
      const runStart = runs.firstPage[this.#run] ?? Number.POSITIVE_INFINITY;
      if (runStart > page) {
        const holeEnd = Math.min(runStart, endPage);
        if (lazy) this.builder.addHole(page, holeEnd - page);
        page = holeEnd;
        continue;
      }
      const partEnd = Math.min(this.#endOf(this.#run), endPage);
      if (lazy && this.#isRemote()) this.#addRemote(page, partEnd);
      else if (this.pagemap.isStored(this.#run)) this.#addStored(page, partEnd, this.#kindOf(lazy));
      else if (lazy) this.builder.addHole(page, partEnd - page);
      page = partEnd;
    }
  }

  /** Adds all stored runs of a shared object. */
  addStoredRuns(): void {
    for (this.#run = 0; this.#run < this.pagemap.runCount; this.#run++) {
      if (!this.pagemap.isStored(this.#run)) continue;
      const firstPage = this.pagemap.runs.firstPage[this.#run] ?? 0;
      this.#addStored(firstPage, this.#endOf(this.#run), EXTENT_KIND.data);
    }
  }

  #addStored(firstPage: number, endPage: number, kind: number): void {
    const run = this.#run;
    const place = this.pagemap.place(run, firstPage - (this.pagemap.runs.firstPage[run] ?? 0));
    const source = this.sources.indexOf(this.pagemap.layerOf(run).pages);
    this.#shiftPlace(place, run);
    this.builder.addStored(kind, firstPage, endPage - firstPage, source, place);
  }

  /** Whether a page server has the current run. */
  #isRemote(): boolean {
    const { layer } = this.pagemap.runs;
    return this.decisions.remotePages && layer[this.#run] === 0 && this.#isMarked();
  }

  /** A page server has its pages at their addresses, and none of them compressed. */
  #addRemote(firstPage: number, endPage: number): void {
    const place = { fileOffset: firstPage * PAGE_SIZE, ...RAW };
    const source = this.sources.indexOfRemote();
    this.builder.addStored(EXTENT_KIND.data, firstPage, endPage - firstPage, source, place);
  }

  /** Blocks and checksums are counted through all layers of a plan. */
  #shiftPlace(place: PayloadPlace, run: number): void {
    const layer = this.pagemap.runs.layer[run] ?? 0;
    const { firstBlockOfLayer, firstChecksumOfLayer } = this.merged;
    if (place.blockPages > 0) place.firstBlock += firstBlockOfLayer[layer] ?? 0;
    if (place.firstChecksum === NO_CHECKSUM) return;
    place.firstChecksum += firstChecksumOfLayer[layer] ?? 0;
  }

  #kindOf(lazy: boolean): number {
    if (!lazy) return EXTENT_KIND.eager;
    const data = this.decisions.laziness === 'vma' || this.#isMarked();
    return data ? EXTENT_KIND.data : EXTENT_KIND.eager;
  }

  /** Whether CRIU marked the current run LAZY. */
  #isMarked(): boolean {
    return ((this.pagemap.runs.flags[this.#run] ?? 0) & PAGEMAP_FLAG.lazy) !== 0;
  }

  #endOf(run: number): number {
    const { firstPage, pageCount } = this.pagemap.runs;
    return (firstPage[run] ?? 0) + (pageCount[run] ?? 0);
  }
}
