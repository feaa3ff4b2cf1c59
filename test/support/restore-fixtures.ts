/**
 * What a fixture holds, from its `expected.json`: written by another parser, so it is the truth that a
 * restored target is compared with.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';

export const PAGE = 4096n;
export const ZERO_CRC = crc32(new Uint8Array(4096));

export interface ExpectedVma {
  readonly start: bigint;
  readonly end: bigint;
  /** As in /proc/PID/maps: `rw-`. */
  readonly rights: string;
  readonly class: string;
  readonly canBeLazy: boolean;
  readonly label: string | undefined;
  /** The shared object that it maps, and from which of its bytes on. */
  readonly shmid: number | undefined;
  readonly pgoff: bigint;
}

export interface ExpectedTask {
  readonly pid: number;
  readonly comm: string;
  /** In the order of addresses, without vsyscall and guards. */
  readonly vmas: readonly ExpectedVma[];
  readonly guards: readonly ExpectedVma[];
  /** CRC-32 of every stored page by address. */
  readonly stored: ReadonlyMap<bigint, number>;
}

export interface ExpectedImage {
  /** The live ones. */
  readonly tasks: readonly ExpectedTask[];
  /** CRC-32 of every stored page by its byte in the object. */
  readonly shared: readonly { readonly shmid: number; readonly stored: Map<bigint, number> }[];
}

interface RawVma {
  start: string;
  end: string;
  prot: string;
  class: string;
  can_be_lazy: boolean;
  label?: string;
  shmem_image?: number;
  pgoff: number;
}
interface RawExtent {
  vaddr: string;
  crc32: string[];
}
interface RawImage {
  tasks: { pid: number; comm: string; state: string; vmas: RawVma[]; extents: RawExtent[] }[];
  shmem: { shmid: number; extents: RawExtent[] }[];
}

/** The directory of a fixture. */
export function fixturePath(name: string): string {
  return fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));
}

const temporary: string[] = [];

/** A directory that {@link removeTemporary} removes. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'thaw-test-'));
  temporary.push(path);
  return path;
}

/** A copy of a fixture that a test may damage. */
export function copyFixture(name: string): string {
  const path = join(temporaryDirectory(), 'image');
  cpSync(fixturePath(name), path, { recursive: true });
  return path;
}

/** For `afterEach`. */
export function removeTemporary(): void {
  for (const path of temporary.splice(0)) rmSync(path, { recursive: true, force: true });
}

export function readExpected(name: string): ExpectedImage {
  const path = join(fixturePath(name), 'expected.json');
  const raw = JSON.parse(readFileSync(path, 'utf8')) as RawImage;
  return {
    tasks: raw.tasks.filter((task) => task.state === 'alive').map(toTask),
    shared: raw.shmem.map(({ shmid, extents }) => ({ shmid, stored: toPages(extents) })),
  };
}

function toTask({ pid, comm, vmas, extents }: RawImage['tasks'][number]): ExpectedTask {
  const all = vmas.map(toVma).sort((a, b) => (a.start < b.start ? -1 : 1));
  return {
    pid,
    comm,
    vmas: all.filter((vma) => vma.class !== 'guard' && vma.class !== 'vsyscall'),
    guards: all.filter((vma) => vma.class === 'guard'),
    stored: toPages(extents),
  };
}

function toVma(raw: RawVma): ExpectedVma {
  return {
    start: BigInt(raw.start),
    end: BigInt(raw.end),
    rights: raw.prot,
    class: raw.class,
    canBeLazy: raw.can_be_lazy,
    label: raw.label,
    shmid: raw.shmem_image,
    pgoff: BigInt(raw.pgoff),
  };
}

function toPages(extents: readonly RawExtent[]): Map<bigint, number> {
  const pages = new Map<bigint, number>();
  for (const { vaddr, crc32: crcs } of extents) {
    for (const [i, crc] of crcs.entries()) {
      pages.set(BigInt(vaddr) + BigInt(i) * PAGE, Number.parseInt(crc, 16));
    }
  }
  return pages;
}

/** Every page address of a span. */
function pagesOf({ start, end }: { start: bigint; end: bigint }): bigint[] {
  return Array.from({ length: Number((end - start) / PAGE) }, (_, i) => start + BigInt(i) * PAGE);
}

/** The VMA of an address. */
export function vmaAt(task: ExpectedTask, vaddr: bigint): ExpectedVma {
  const vma = task.vmas.find((candidate) => vaddr >= candidate.start && vaddr < candidate.end);
  if (vma === undefined) throw new Error(`no VMA at 0x${vaddr.toString(16)}`);
  return vma;
}

/** Whether the program may read there (on x86-64, what is writable is readable). */
export function readable(vma: ExpectedVma): boolean {
  return vma.rights.startsWith('r') || vma.rights[1] === 'w';
}

/** Pages of lazy VMAs for which nothing is stored, guards left out. */
export function holesOf(task: ExpectedTask): bigint[] {
  const guarded = new Set(task.guards.flatMap(pagesOf));
  return task.vmas
    .filter((vma) => vma.canBeLazy)
    .flatMap(pagesOf)
    .filter((vaddr) => !task.stored.has(vaddr) && !guarded.has(vaddr));
}

/** Stored pages of VMAs that cannot be lazy: in place before the target runs. */
export function eagerPagesOf(task: ExpectedTask): bigint[] {
  return [...task.stored.keys()].filter((vaddr) => !vmaAt(task, vaddr).canBeLazy);
}

/** Stored pages of lazy VMAs that the program may read: what an access mode touches. */
export function touchablePagesOf(task: ExpectedTask): bigint[] {
  return [...task.stored.keys()].filter((vaddr) => {
    const vma = vmaAt(task, vaddr);
    return vma.canBeLazy && readable(vma);
  });
}
