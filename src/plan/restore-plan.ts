/**
 * What a restore is made of, as pure data: numbers in columns, one row a region, extent or block.
 *
 * Columns are views: they may share a buffer, and must not be written to.
 */

/** Kinds of a region, as `RegionColumns.kind` has them. */
export const REGION_KIND = {
  /** Memory of the task alone. */
  anonymousPrivate: 0,
  /** A file, mapped privately: stored pages overlay it. */
  filePrivate: 1,
  /** A shared memory object: anonymous shared memory, a memfd, SysV shared memory. */
  shared: 2,
  /** The kernel's own areas: vdso, vvar and the like. */
  special: 3,
  /** A file, mapped shared. */
  fileShared: 4,
} as const;

/** Kinds of an extent, as `ExtentColumns.kind` has them. Source: native/core/plan_format.h. */
export const EXTENT_KIND = {
  /** Stored pages that come lazily. */
  data: 0,
  /** Pages of a lazy region for which nothing is stored: zero. */
  hole: 1,
  /** Stored pages that are in place before the target runs. */
  eager: 2,
} as const;

/** `objectId` of a region whose object the image does not have: a memfd without memfd.img. */
export const NO_OBJECT = 0xffff_ffff;

/** The VMAs of a task, sorted by address; vsyscall is left out, guard areas are kept apart. */
export interface RegionColumns {
  /** First address. */
  readonly start: BigUint64Array;
  /** Address after the last one. */
  readonly end: BigUint64Array;
  /** PROT_* bits. */
  readonly prot: Uint32Array;
  /** MAP_* bits. */
  readonly flags: Uint32Array;
  /** One of {@link REGION_KIND}. */
  readonly kind: Uint8Array;
  /** 1 = to be registered with userfaultfd. */
  readonly lazy: Uint8Array;
  /** Bitmap of the numbers of madvise advice in force. */
  readonly advice: BigUint64Array;
  /** The shared object's shmid (kind shared), the file's id (kinds filePrivate, fileShared), else 0. */
  readonly objectId: Uint32Array;
  /** Byte of the object at which the region begins. */
  readonly objectOffset: BigUint64Array;
}

/** Ranges inside regions that fault on every access, sorted by address. */
export interface GuardColumns {
  readonly start: BigUint64Array;
  readonly end: BigUint64Array;
}

/**
 * Runs of pages, sorted by address and disjoint, each inside one region. Those of lazy regions cover
 * them without a gap, but for guards; of other regions there are the stored pages only.
 */
export interface ExtentColumns {
  /** First address; of a shared object the offset in it. */
  readonly vaddr: BigUint64Array;
  /** Number of pages. */
  readonly pageCount: Uint32Array;
  /** One of {@link EXTENT_KIND}. */
  readonly kind: Uint8Array;
  /** Byte of the source: of the first page (raw), or of the block that holds it (LZ4). 0 for holes. */
  readonly fileOffset: BigUint64Array;
  /** Data pages (kind data) of all extents before this one. */
  readonly pageIndex: Uint32Array;
  /** Index of the pages image in {@link RestorePlan.sources}; 0 for holes. */
  readonly source: Uint32Array;
  /** Pages an LZ4 block; 0 = raw. */
  readonly blockPages: Uint32Array;
  /** The block that holds the first page (LZ4). */
  readonly firstBlock: Uint32Array;
  /** Pages of that block in front of the first page. */
  readonly skipPages: Uint32Array;
  /** Pages from that block's start to the end of its pagemap entry. */
  readonly entryPages: Uint32Array;
  /** The checksum of the first page (raw) or of the block that holds it; NO_CHECKSUM: none. */
  readonly firstChecksum: Uint32Array;
}

/** The LZ4 blocks, and the checksums, that extents name by number. */
export interface BlockColumns {
  /** Stored size: 0 = all zero, the block's full size = raw, else one LZ4 block. */
  readonly size: Uint32Array;
  /** Sum of `size` before each 64th block, and before the end where that is one. */
  readonly sample: BigUint64Array;
  /** CRC-32 of each block, and of each raw page, of the pages images that have checksums. */
  readonly checksum: Uint32Array;
}

/** Sums over the extents of a task. */
export interface PlanTotals {
  /** Regions, lazy or not. */
  readonly regions: number;
  /** Stored pages: `dataPages + eagerPages`. */
  readonly pages: number;
  /** Pages of kind data. */
  readonly dataPages: number;
  /** Pages of kind hole. */
  readonly holePages: number;
  /** Pages of kind eager. */
  readonly eagerPages: number;
}

/** How to restore one live task. */
export interface TaskPlan {
  readonly pid: number;
  readonly comm: string;
  readonly regions: RegionColumns;
  readonly guards: GuardColumns;
  readonly extents: ExtentColumns;
  readonly blocks: BlockColumns;
  readonly totals: PlanTotals;
  /** Length of {@link RestorePlan.sources}. */
  readonly sourceCount: number;
}

/** How to restore one shared memory object that live tasks map. */
export interface SharedPlan {
  readonly shmid: number;
  /** Name of the memfd; `undefined` if the object is none. */
  readonly name: string | undefined;
  /** Size of the object in bytes. */
  readonly byteLength: bigint;
  /** The stored pages (kind data); everything between them is zero. */
  readonly extents: ExtentColumns;
  readonly blocks: BlockColumns;
  /** Stored pages. */
  readonly pages: number;
}

/** A pages image, or a page server, that extents take their bytes from. */
export interface PagesSource {
  /** Path of the file; of a page server what to call it. */
  readonly path: string;
  /** Its size in bytes, as it was checked; 0 of a page server. */
  readonly byteLength: number;
  /** Set of a page server: the bytes of its extents are where the extents' addresses say. */
  readonly remote?: true;
}

/** How to restore a checkpoint. */
export interface RestorePlan {
  /** One a live task, in the order of the process tree. */
  readonly tasks: readonly TaskPlan[];
  /** One a shared object that a live task maps. */
  readonly shared: readonly SharedPlan[];
  /** The pages images that extents name by index. */
  readonly sources: readonly PagesSource[];
}
