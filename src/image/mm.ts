/** `mm-<pid>.img`: the address space of a task. */
import { join } from 'node:path';
import { formatRange, formatVaddr, PAGE_SIZE, USER_SPACE_END } from '../address.js';
import { ThawError } from '../errors.js';
import { hasField, thaw } from '../proto/messages.js';
import { toBigint, toNumber } from '../proto/uint64.js';
import { decodeRecord, formatPlace, MAGIC, type RecordPlace, readRecords } from './record-file.js';
import { attemptSync, type Report } from './report.js';
import { canBeLazy, classifyVma, listBits, type Vma, type VmaClass } from './vma.js';

/** Key of the page size in an ELF auxiliary vector. */
const AT_PAGESZ = 6;
const OBJECT_ID_MAX = 0xffff_ffff;

/** Resolves the file id of a memfd mapping to the id of its shared object, if it has one. */
export type ShmidOfFile = (fileId: number) => number | undefined;

/**
 * Reads the VMAs of `mm-<pid>.img` of `directory`, in the order of the image.
 *
 * @param report takes the problems of single VMAs; others are thrown.
 * @throws ThawError PAGE_SIZE_UNSUPPORTED, VMA_RANGE_INVALID, VMA_UNALIGNED, VMAS_OVERLAP,
 *   PROTO_MALFORMED, and those of a record file.
 */
export async function readVmas(
  directory: string,
  pid: number,
  shmidOfFile: ShmidOfFile,
  report: Report,
): Promise<Vma[]> {
  const path = join(directory, `mm-${pid}.img`);
  let vmas: Vma[] | undefined;
  await readRecords(path, MAGIC.mm, (bytes, place) => {
    if (vmas !== undefined) return;
    const message = decodeRecord(thaw.Mm, bytes, place);
    checkPageSize(message.mm_saved_auxv, place);
    vmas = message.vmas.flatMap((vma, index) => {
      const where = formatVmaPlace(place, index);
      return attemptSync(report, () => toVma(vma, shmidOfFile, where)) ?? [];
    });
    checkOrder(vmas, place, report);
  });
  if (vmas === undefined) {
    throw new ThawError('PROTO_MALFORMED', { what: 'the mm image has no record', where: path });
  }
  return vmas;
}

function formatVmaPlace(place: RecordPlace, index: number): string {
  return `${formatPlace(place)}, VMA ${index}`;
}

/** The auxiliary vector is the only place of an image that tells the page size. */
function checkPageSize(
  auxv: readonly thaw.Mm['mm_saved_auxv'][number][],
  place: RecordPlace,
): void {
  for (let index = 0; index + 1 < auxv.length; index += 2) {
    const [key, value] = [auxv[index], auxv[index + 1]];
    if (key === undefined || value === undefined || toNumber(key) !== AT_PAGESZ) continue;
    if (toNumber(value) === PAGE_SIZE) continue;
    throw new ThawError('PAGE_SIZE_UNSUPPORTED', {
      what: 'the pages of the image have another size',
      expected: `${PAGE_SIZE} bytes`,
      found: String(toNumber(value)),
      where: formatPlace(place),
    });
  }
}

function toVma(message: thaw.Vma.$Shape, shmidOfFile: ShmidOfFile, where: string): Vma {
  const start = toBigint(message.start);
  const end = toBigint(message.end);
  const vmaClass = classifyVma(message.status);
  if (vmaClass === undefined) {
    throw new ThawError('PROTO_MALFORMED', {
      what: 'a VMA does not say what backs it',
      found: `status 0x${message.status.toString(16)}`,
      where,
    });
  }
  checkRange(start, end, vmaClass, where);
  const objectId = toNumber(message.shmid);
  if (objectId > OBJECT_ID_MAX && vmaClass !== 'anonymousPrivate') {
    throw new ThawError('PROTO_MALFORMED', {
      what: 'the id of what backs a VMA is out of range',
      expected: `at most ${OBJECT_ID_MAX}`,
      found: String(objectId),
      where,
    });
  }
  return {
    start,
    end,
    prot: message.prot,
    flags: message.flags,
    status: message.status,
    class: vmaClass,
    pgoff: toBigint(message.pgoff),
    madv: hasField(message, 'madv') && message.madv ? listBits(toBigint(message.madv)) : [],
    guard: vmaClass === 'guard',
    canBeLazy: canBeLazy(vmaClass, message.flags),
    ...identifyObject(vmaClass, objectId, shmidOfFile),
  };
}

function identifyObject(
  vmaClass: VmaClass,
  objectId: number,
  shmidOfFile: ShmidOfFile,
): Pick<Vma, 'fileId' | 'shmid'> {
  switch (vmaClass) {
    case 'filePrivate':
    case 'fileShared':
      return { fileId: objectId, shmid: undefined };
    case 'memfd':
      return { fileId: objectId, shmid: shmidOfFile(objectId) };
    case 'anonymousShared':
    case 'sysvIpc':
      return { fileId: undefined, shmid: objectId };
    default:
      return { fileId: undefined, shmid: undefined };
  }
}

function checkRange(start: bigint, end: bigint, vmaClass: VmaClass, where: string): void {
  const pageSize = BigInt(PAGE_SIZE);
  if (end <= start) {
    throw new ThawError('VMA_RANGE_INVALID', {
      what: end === start ? 'a VMA is empty' : 'a VMA ends before it begins',
      expected: `an end above ${formatVaddr(start)}`,
      found: formatVaddr(end),
      where,
    });
  }
  if (start % pageSize !== 0n || end % pageSize !== 0n) {
    throw new ThawError('VMA_UNALIGNED', {
      what: 'a VMA does not begin and end at page borders',
      found: formatRange(start, end),
      where,
    });
  }
  if (end > USER_SPACE_END && vmaClass !== 'vsyscall') {
    throw new ThawError('VMA_RANGE_INVALID', {
      what: 'a VMA lies above user space',
      expected: `an end up to ${formatVaddr(USER_SPACE_END)}`,
      found: formatRange(start, end),
      where,
    });
  }
}

/** VMAs ascend without overlap; guards do so among themselves, each inside one other VMA. */
function checkOrder(vmas: readonly Vma[], place: RecordPlace, report: Report): void {
  const areas = vmas.filter((vma) => !vma.guard);
  checkAscending(areas, place, report);
  const guards = vmas.filter((vma) => vma.guard).sort((a, b) => (a.start < b.start ? -1 : 1));
  checkAscending(guards, place, report);
  let index = 0;
  for (const guard of guards) {
    while ((areas[index]?.end ?? guard.end) < guard.end) index++;
    const area = areas[index];
    if (area !== undefined && area.start <= guard.start) continue;
    report(
      new ThawError('VMA_RANGE_INVALID', {
        what: 'a guard area lies inside no VMA',
        found: formatRange(guard.start, guard.end),
        where: formatPlace(place),
      }),
    );
  }
}

function checkAscending(vmas: readonly Vma[], place: RecordPlace, report: Report): void {
  for (let index = 1; index < vmas.length; index++) {
    const [before, vma] = [vmas[index - 1], vmas[index]];
    if (before === undefined || vma === undefined || vma.start >= before.end) continue;
    report(
      new ThawError('VMAS_OVERLAP', {
        what: 'a VMA begins before the one in front of it ends',
        expected: `a start from ${formatVaddr(before.end)}`,
        found: formatRange(vma.start, vma.end),
        where: formatPlace(place),
      }),
    );
  }
}
