/** What an image holds, as plain data: for people (through the CLI) and for programs (as JSON). */
import { formatVaddr, PAGE_SIZE, toPageNumber } from '../address.js';
import type { Checkpoint } from './checkpoint.js';
import { findLastAtMost } from './columns.js';
import type { ImageFile } from './files.js';
import type { Inventory } from './inventory.js';
import type { LayeredPagemap } from './layered-pagemap.js';
import type { LiveTask, SharedObject, Task } from './task.js';
import type { Vma, VmaClass } from './vma.js';

/** What {@link describeImage} shall tell. */
export interface DescribeOptions {
  /**
   * Whether to list the extents: there can be millions.
   *
   * @default false
   */
  readonly extents?: boolean;
}

/** An image. All of it can be written as JSON; addresses and flags are text, `0x…`. */
export interface ImageDescription {
  readonly directory: string;
  readonly inventory: Inventory;
  /** The chain of parent dumps, nearest first. */
  readonly parents: readonly { readonly path: string; readonly inventory: Inventory }[];
  /** In the order of the process tree; `ppid` makes it a tree. */
  readonly tasks: readonly TaskDescription[];
  readonly shared: readonly SharedDescription[];
}

/** What is stored, in bytes. */
export interface StoredBytes {
  /** Stored pages, wherever they are. */
  readonly data: number;
  /** Those of them that a parent dump holds. */
  readonly inParent: number;
  /** Size of this dump's own pages image. */
  readonly payload: number;
  /** Stored pages whose bytes have a checksum, wherever they are. */
  readonly checksummed: number;
  /** Own stored pages a byte of payload: 1 = not compressed; null if nothing is stored here. */
  readonly compressionRatio: number | null;
}

/** What a task has, in bytes. */
export interface TaskBytes extends StoredBytes {
  /** All VMAs; vsyscall and guards do not count. */
  readonly mapped: number;
  /** Stored pages of lazy VMAs. */
  readonly lazy: number;
  /** Stored pages of other VMAs: they are in place before the task runs. */
  readonly eager: number;
  /** Pages of lazy VMAs for which nothing is stored: zero. */
  readonly hole: number;
}

/** A task. A dead one has neither VMAs nor bytes. */
export interface TaskDescription {
  readonly pid: number;
  readonly ppid: number;
  readonly pgid: number;
  readonly sid: number;
  readonly threads: readonly number[];
  readonly state: 'alive' | 'dead';
  readonly comm: string;
  readonly vmas: readonly VmaDescription[];
  readonly bytes: TaskBytes | null;
  readonly extents?: readonly ExtentDescription[];
}

/** A VMA. */
export interface VmaDescription {
  readonly start: string;
  readonly end: string;
  /** As /proc/PID/maps has it: `rw-`. */
  readonly prot: string;
  readonly flags: string;
  readonly class: VmaClass;
  readonly lazy: boolean;
  /** Path of the file, or null. */
  readonly backing: string | null;
  /** Id of the shared object, or null. */
  readonly shmid: number | null;
  /** Byte of the file or object at which it begins. */
  readonly offset: string;
  /** Numbers of the madvise advice in force. */
  readonly madv: readonly number[];
  /** Bytes of stored pages. */
  readonly stored: number;
}

/** A shared memory object. */
export interface SharedDescription {
  readonly shmid: number;
  readonly name: string | null;
  /** Size in bytes. */
  readonly size: number;
  readonly bytes: StoredBytes;
  readonly extents?: readonly ExtentDescription[];
}

/** A run of pages with one owner. */
export interface ExtentDescription {
  readonly vaddr: string;
  readonly pages: number;
  readonly kind: 'data' | 'hole';
  readonly lazy: boolean;
  /** 0 = this dump, 1 = its parent, and so on. */
  readonly layer: number;
  readonly pagesId: number;
  readonly fileOffset: number;
  /** Pages a compressed block; 0 = stored as they are. */
  readonly blockPages: number;
}

/**
 * Describes what `checkpoint` holds, from its metadata alone: nothing is read.
 *
 * @example
 * console.log(JSON.stringify(describeImage(checkpoint)));
 */
export function describeImage(
  checkpoint: Checkpoint,
  options: DescribeOptions = {},
): ImageDescription {
  const listed = options.extents === true;
  return {
    directory: checkpoint.directory,
    inventory: checkpoint.inventory,
    parents: checkpoint.parents.map(({ path, inventory }) => ({ path, inventory })),
    tasks: checkpoint.tasks.map((task) => describeTask(task, checkpoint, listed)),
    shared: checkpoint.sharedObjects.map((object) => describeShared(object, listed)),
  };
}

function describeTask(task: Task, checkpoint: Checkpoint, listed: boolean): TaskDescription {
  const { pid, ppid, pgid, sid, threads, state, comm } = task;
  const identity = { pid, ppid, pgid, sid, threads, state, comm };
  if (task.state === 'dead') return { ...identity, vmas: [], bytes: null };
  const storedPages = countStoredByVma(task);
  return {
    ...identity,
    vmas: task.vmas.map((vma, index) =>
      describeVma(vma, (storedPages[index] ?? 0) * PAGE_SIZE, checkpoint.files),
    ),
    bytes: sumBytes(task, storedPages),
    ...(listed ? { extents: describeExtents(task.pagemap) } : {}),
  };
}

function describeShared(object: SharedObject, listed: boolean): SharedDescription {
  return {
    shmid: object.shmid,
    name: object.name ?? null,
    size: Number(object.size),
    bytes: sumStored(object.pagemap),
    ...(listed ? { extents: describeExtents(object.pagemap) } : {}),
  };
}

function describeVma(
  vma: Vma,
  stored: number,
  files: ReadonlyMap<number, ImageFile>,
): VmaDescription {
  const file = vma.fileId === undefined ? undefined : files.get(vma.fileId);
  return {
    start: formatVaddr(vma.start),
    end: formatVaddr(vma.end),
    prot: ['r', 'w', 'x'].map((letter, bit) => (vma.prot & (1 << bit) ? letter : '-')).join(''),
    flags: `0x${vma.flags.toString(16)}`,
    class: vma.class,
    lazy: vma.canBeLazy,
    backing: file?.type === 'regular' ? file.name : null,
    shmid: vma.shmid ?? null,
    offset: formatVaddr(vma.pgoff),
    madv: vma.madv,
    stored,
  };
}

function describeExtents(pagemap: LayeredPagemap): ExtentDescription[] {
  return Array.from(pagemap.extents(), ({ vaddr, pageCount, ...extent }) => ({
    vaddr: formatVaddr(vaddr),
    pages: pageCount,
    ...extent,
  }));
}

function isMemory(vma: Vma): boolean {
  return !vma.guard && vma.class !== 'vsyscall';
}

/** Stored pages of each VMA, in one pass: VMAs with memory and runs both ascend. */
function countStoredByVma({ vmas, pagemap }: LiveTask): number[] {
  let run = 0;
  const { firstPage, pageCount } = pagemap.runs;
  return vmas.map((vma) => {
    if (!isMemory(vma)) return 0;
    const start = toPageNumber(vma.start);
    const end = toPageNumber(vma.end);
    let pages = 0;
    for (; run < pagemap.runCount; run++) {
      const runStart = firstPage[run] ?? 0;
      const runEnd = runStart + (pageCount[run] ?? 0);
      if (runStart >= end) break;
      const shared = Math.min(runEnd, end) - Math.max(runStart, start);
      if (pagemap.isStored(run) && shared > 0) pages += shared;
      if (runEnd > end) break;
    }
    return pages;
  });
}

function byteLengthOf(vma: Vma): number {
  return Number(vma.end - vma.start);
}

function sumBytes(task: LiveTask, storedPages: readonly number[]): TaskBytes {
  const bytes = { mapped: 0, lazy: 0, eager: 0, hole: -sumGuardedHoles(task.vmas) };
  task.vmas.forEach((vma, index) => {
    const stored = (storedPages[index] ?? 0) * PAGE_SIZE;
    if (!isMemory(vma)) return;
    bytes.mapped += byteLengthOf(vma);
    if (vma.canBeLazy) {
      bytes.lazy += stored;
      bytes.hole += byteLengthOf(vma) - stored;
    } else {
      bytes.eager += stored;
    }
  });
  return { ...sumStored(task.pagemap), ...bytes };
}

/** Bytes of guards that would be holes otherwise: they lie in lazy VMAs. */
function sumGuardedHoles(vmas: readonly Vma[]): number {
  const areas = vmas.filter(isMemory);
  const starts = Float64Array.from(areas, (vma) => toPageNumber(vma.start));
  return vmas
    .filter((vma) => vma.guard)
    .filter((guard) => areas[findLastAtMost(starts, toPageNumber(guard.start))]?.canBeLazy)
    .reduce((sum, guard) => sum + byteLengthOf(guard), 0);
}

function sumStored(pagemap: LayeredPagemap): StoredBytes {
  let data = 0;
  let inParent = 0;
  for (let run = 0; run < pagemap.runCount; run++) {
    if (!pagemap.isStored(run)) continue;
    const byteLength = (pagemap.runs.pageCount[run] ?? 0) * PAGE_SIZE;
    data += byteLength;
    if ((pagemap.runs.layer[run] ?? 0) > 0) inParent += byteLength;
  }
  const payload = pagemap.layers[0]?.pages.byteLength ?? 0;
  const own = data - inParent;
  const checksummed = pagemap.countChecksummed() * PAGE_SIZE;
  return {
    data,
    inParent,
    payload,
    checksummed,
    compressionRatio: payload === 0 ? null : own / payload,
  };
}
