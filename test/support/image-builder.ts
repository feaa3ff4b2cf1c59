/** Writes image directories for tests: small, made to order, and as wrong as wanted. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  encodeMessage,
  encodePacked,
  encodeRecordFile,
  encodeText,
  type WireField,
} from './image-wire.js';

export const PAGE = 4096;
const COMMON = 0x54564319;
const TYPE = {
  inventory: 0x58313116,
  pstree: 0x50273030,
  mm: 0x57492820,
  pagemap: 0x56084025,
  core: 0x55053847,
  files: 0x56303138,
  memfd: 0x48453499,
};

export interface EntrySpec {
  readonly vaddr: bigint;
  readonly pageCount: number | bigint;
  /** `undefined`: the entry has no flags field, as in old images. */
  readonly flags?: number | undefined;
  readonly inParent?: boolean;
  /** Count in the old field instead of the new one. */
  readonly legacyCount?: boolean;
  readonly blockSizes?: readonly number[];
  readonly packed?: boolean;
  readonly regionPages?: number;
  readonly extra?: readonly WireField[];
}

export interface PagemapSpec {
  readonly pagesId: number;
  readonly entries: readonly EntrySpec[];
  readonly payload: Uint8Array;
}

export interface VmaSpec {
  readonly start: bigint;
  readonly end: bigint;
  readonly status?: number;
  readonly flags?: number;
  readonly prot?: number;
  readonly pgoff?: bigint;
  readonly shmid?: bigint;
  readonly madv?: bigint;
}

export interface TaskSpec {
  readonly pid: number;
  readonly state?: number;
  readonly machine?: number;
  readonly auxv?: readonly bigint[];
  readonly vmas: readonly VmaSpec[];
  readonly pagemap: PagemapSpec;
}

export interface ImageSpec {
  readonly version?: number;
  readonly compress?: number;
  readonly regionBytes?: number;
  readonly tasks: readonly TaskSpec[];
  readonly shared?: readonly (PagemapSpec & { readonly shmid: number })[];
  /** Parents have inventory, pagemaps and pages only. */
  readonly memoryOnly?: boolean;
}

/** A directory of its own below the system's; `remove` takes it away with all it holds. */
export function makeTempDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'thaw-image-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

function encodeEntry(entry: EntrySpec): Uint8Array {
  const { blockSizes, regionPages, flags } = entry;
  const fields: WireField[] = [
    [1, entry.vaddr],
    [2, entry.legacyCount ? entry.pageCount : 0],
  ];
  if (entry.inParent !== undefined) fields.push([3, Number(entry.inParent)]);
  if (flags !== undefined) fields.push([4, flags]);
  if (!entry.legacyCount) fields.push([5, entry.pageCount]);
  if (blockSizes !== undefined) {
    if (entry.packed) fields.push([6, encodePacked(blockSizes)]);
    else for (const size of blockSizes) fields.push([6, size]);
    fields.push([7, blockSizes.reduce((sum, size) => sum + size, 0)]);
  }
  if (regionPages !== undefined) fields.push([8, regionPages]);
  return encodeMessage([...fields, ...(entry.extra ?? [])]);
}

function encodePagemap(spec: PagemapSpec, magics = [COMMON, TYPE.pagemap]): Uint8Array {
  const head = encodeMessage([[1, spec.pagesId]]);
  return encodeRecordFile(magics, [head, ...spec.entries.map(encodeEntry)]);
}

function encodeVma(vma: VmaSpec): Uint8Array {
  const fields: WireField[] = [
    [1, vma.start],
    [2, vma.end],
    [3, vma.pgoff ?? 0n],
    [4, vma.shmid ?? 0n],
    [5, vma.prot ?? 3],
    [6, vma.flags ?? 0x22],
    [7, vma.status ?? 0x201],
    [8, 1],
  ];
  if (vma.madv !== undefined) fields.push([9, vma.madv]);
  return encodeMessage(fields);
}

/** Writes the image into `directory`, which is made if needed. */
export function writeImage(directory: string, spec: ImageSpec): void {
  mkdirSync(directory, { recursive: true });
  const version = spec.version ?? (spec.compress ? 3 : 2);
  const frame = (type: number): number[] => (version === 1 ? [type] : [COMMON, type]);
  const write = (name: string, bytes: Uint8Array): void => {
    writeFileSync(join(directory, name), bytes);
  };
  const inventory: WireField[] = [[1, version]];
  if (spec.compress !== undefined) inventory.push([15, spec.compress]);
  if (spec.regionBytes !== undefined) inventory.push([16, spec.regionBytes]);
  write('inventory.img', encodeRecordFile([TYPE.inventory], [encodeMessage(inventory)]));
  const writePagemap = (name: string, pagemap: PagemapSpec): void => {
    write(name, encodePagemap(pagemap, frame(TYPE.pagemap)));
    write(`pages-${pagemap.pagesId}.img`, pagemap.payload);
  };
  for (const task of spec.tasks) writePagemap(`pagemap-${task.pid}.img`, task.pagemap);
  for (const object of spec.shared ?? []) writePagemap(`pagemap-shmem-${object.shmid}.img`, object);
  if (spec.memoryOnly) return;
  const pstree = spec.tasks.map(({ pid }, index) =>
    encodeMessage([
      [1, pid],
      [2, index === 0 ? 0 : 1],
      [3, pid],
      [4, pid],
      [5, pid],
    ]),
  );
  write('pstree.img', encodeRecordFile(frame(TYPE.pstree), pstree));
  for (const task of spec.tasks) {
    const tc = encodeMessage([
      [1, task.state ?? 1],
      [2, 0],
      [6, encodeText('test')],
    ]);
    const core = encodeMessage([
      [1, task.machine ?? 1],
      [3, tc],
    ]);
    write(`core-${task.pid}.img`, encodeRecordFile(frame(TYPE.core), [core]));
    const auxv = (task.auxv ?? []).map((value): WireField => [13, value]);
    const vmas = task.vmas.map((vma): WireField => [14, encodeVma(vma)]);
    const mm = encodeMessage([...auxv, ...vmas]);
    write(`mm-${task.pid}.img`, encodeRecordFile(frame(TYPE.mm), [mm]));
  }
}

/** Bytes of a page that tell which page it is: all different, none zero. */
export function pageBytes(seed: number): Uint8Array {
  const bytes = new Uint8Array(PAGE);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let index = 0; index < PAGE; index += 64) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.fill((state >>> 24) | 1, index, index + 48);
    bytes[index] = seed & 0xff;
    bytes[index + 1] = (seed >>> 8) & 0xff;
  }
  return bytes;
}

/** Bytes of a page that LZ4 cannot make smaller, different for each seed. */
export function randomPage(seed: number): Uint8Array {
  const bytes = new Uint8Array(PAGE);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let index = 0; index < PAGE; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}
