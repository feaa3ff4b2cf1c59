/** VMAs as the regions of a plan. */
import type { Vma, VmaClass } from '../image/vma.js';
import { type GuardColumns, NO_OBJECT, REGION_KIND, type RegionColumns } from './restore-plan.js';

const KIND_BY_CLASS: Readonly<Record<VmaClass, number>> = {
  anonymousPrivate: REGION_KIND.anonymousPrivate,
  filePrivate: REGION_KIND.filePrivate,
  fileShared: REGION_KIND.fileShared,
  anonymousShared: REGION_KIND.shared,
  memfd: REGION_KIND.shared,
  sysvIpc: REGION_KIND.shared,
  vdso: REGION_KIND.special,
  vvar: REGION_KIND.special,
  vsyscall: REGION_KIND.special,
  aioRing: REGION_KIND.special,
  packetSocket: REGION_KIND.special,
  uprobes: REGION_KIND.special,
  plugin: REGION_KIND.special,
  guard: REGION_KIND.special,
};

/** The regions of a task: its VMAs but vsyscall, which every process has, and the guards. */
export function planRegions(vmas: readonly Vma[]): RegionColumns {
  const areas = vmas.filter((vma) => !vma.guard && vma.class !== 'vsyscall');
  return {
    start: BigUint64Array.from(areas, (vma) => vma.start),
    end: BigUint64Array.from(areas, (vma) => vma.end),
    prot: Uint32Array.from(areas, (vma) => vma.prot),
    flags: Uint32Array.from(areas, (vma) => vma.flags),
    kind: Uint8Array.from(areas, (vma) => KIND_BY_CLASS[vma.class]),
    lazy: Uint8Array.from(areas, (vma) => Number(vma.canBeLazy)),
    advice: BigUint64Array.from(areas, (vma) => toBitmap(vma.madv)),
    objectId: Uint32Array.from(areas, objectIdOf),
    objectOffset: BigUint64Array.from(areas, (vma) => vma.pgoff),
  };
}

function objectIdOf(vma: Vma): number {
  const kind = KIND_BY_CLASS[vma.class];
  if (kind === REGION_KIND.shared) return vma.shmid ?? NO_OBJECT;
  return vma.fileId ?? 0;
}

function toBitmap(bits: readonly number[]): bigint {
  return bits.reduce((bitmap, bit) => bitmap | (1n << BigInt(bit)), 0n);
}

/** The guard areas of a task by address. */
export function planGuards(vmas: readonly Vma[]): GuardColumns {
  const guards = vmas.filter((vma) => vma.guard).sort((a, b) => (a.start < b.start ? -1 : 1));
  return {
    start: BigUint64Array.from(guards, (vma) => vma.start),
    end: BigUint64Array.from(guards, (vma) => vma.end),
  };
}
