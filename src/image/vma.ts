/** One virtual memory area of a task, as `mm-<pid>.img` describes it. */

/** `status` bits of a VMA that tell what backs it. Source: docs/images.md. */
const VMA_STATUS = {
  vsyscall: 1 << 2,
  vdso: 1 << 3,
  filePrivate: 1 << 6,
  fileShared: 1 << 7,
  anonymousShared: 1 << 8,
  anonymousPrivate: 1 << 9,
  sysvIpc: 1 << 10,
  packetSocket: 1 << 11,
  vvar: 1 << 12,
  aioRing: 1 << 13,
  memfd: 1 << 14,
  guard: 1 << 16,
  uprobes: 1 << 17,
  plugin: 1 << 27,
} as const;

/** mmap flags that decide what a VMA is. Source: Linux, asm-generic/mman.h. */
export const MAP_FLAG = {
  private: 0x02,
  anonymous: 0x20,
  growsDown: 0x100,
  locked: 0x2000,
  hugetlb: 0x40000,
} as const;

/** What backs a VMA. */
export type VmaClass =
  | 'anonymousPrivate'
  | 'filePrivate'
  | 'fileShared'
  | 'anonymousShared'
  | 'memfd'
  | 'sysvIpc'
  | 'vdso'
  | 'vvar'
  | 'vsyscall'
  | 'aioRing'
  | 'packetSocket'
  | 'uprobes'
  | 'plugin'
  | 'guard';

/**
 * One virtual memory area.
 *
 * Guard areas (class `guard`) lie inside another VMA: they mark pages that fault on every access.
 * All other VMAs of a task are sorted by address and disjoint.
 */
export interface Vma {
  /** First address. */
  readonly start: bigint;
  /** Address after the last one. */
  readonly end: bigint;
  /** PROT_* bits of mmap. */
  readonly prot: number;
  /** MAP_* bits of mmap. */
  readonly flags: number;
  /** CRIU's status bits (docs/images.md). */
  readonly status: number;
  /** What backs it, by its status bits. */
  readonly class: VmaClass;
  /** Byte offset of `start` in what backs it. */
  readonly pgoff: bigint;
  /** Numbers of the madvise advice in force, ascending (10 = MADV_DONTFORK ...). */
  readonly madv: readonly number[];
  /** Whether it marks guard pages inside another VMA. */
  readonly guard: boolean;
  /**
   * Whether its pages can come lazily through userfaultfd: anonymous, private, neither locked nor
   * hugetlb, nor one of the kernel's own areas.
   */
  readonly canBeLazy: boolean;
  /** Id of the file that backs it (classes filePrivate, fileShared, memfd), if any. */
  readonly fileId: number | undefined;
  /**
   * Id of the shared object that backs it (classes anonymousShared, memfd, sysvIpc), if any. It is
   * missing for a memfd of an image that has no memfd.img.
   */
  readonly shmid: number | undefined;
}

/** Classes by status bit. The first bit that is set decides: special areas are anonymous as well. */
const CLASS_BY_STATUS: readonly (readonly [number, VmaClass])[] = [
  [VMA_STATUS.guard, 'guard'],
  [VMA_STATUS.vsyscall, 'vsyscall'],
  [VMA_STATUS.vdso, 'vdso'],
  [VMA_STATUS.vvar, 'vvar'],
  [VMA_STATUS.uprobes, 'uprobes'],
  [VMA_STATUS.aioRing, 'aioRing'],
  [VMA_STATUS.packetSocket, 'packetSocket'],
  [VMA_STATUS.plugin, 'plugin'],
  [VMA_STATUS.sysvIpc, 'sysvIpc'],
  [VMA_STATUS.filePrivate, 'filePrivate'],
  [VMA_STATUS.memfd, 'memfd'],
  [VMA_STATUS.fileShared, 'fileShared'],
  [VMA_STATUS.anonymousShared, 'anonymousShared'],
  [VMA_STATUS.anonymousPrivate, 'anonymousPrivate'],
];

/** What backs a VMA with these status bits; `undefined` if none of them says so. */
export function classifyVma(status: number): VmaClass | undefined {
  return CLASS_BY_STATUS.find(([bit]) => (status & bit) !== 0)?.[1];
}

/** Whether a VMA can be served through userfaultfd. */
export function canBeLazy(vmaClass: VmaClass, flags: number): boolean {
  const wanted = MAP_FLAG.private | MAP_FLAG.anonymous;
  const unwanted = MAP_FLAG.locked | MAP_FLAG.hugetlb;
  return vmaClass === 'anonymousPrivate' && (flags & (wanted | unwanted)) === wanted;
}

/** The numbers of the bits that are set in `bitmap`, ascending. */
export function listBits(bitmap: bigint): number[] {
  const bits: number[] = [];
  for (let rest = bitmap, bit = 0; rest !== 0n; rest >>= 1n, bit++) {
    if ((rest & 1n) === 1n) bits.push(bit);
  }
  return bits;
}
