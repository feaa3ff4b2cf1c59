import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import type { LiveTask, PageOwner } from '../../src/image/task.js';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
const PAGE = 4096;

interface ExpectedExtent {
  vaddr: string;
  nr_pages: number;
  layer: number;
  crc32: string[];
}

interface Expected {
  inventory: { img_version: number; compress: number; compress_region_size: number };
  tasks: {
    pid: number;
    ppid: number;
    pgid: number;
    sid: number;
    threads: number[];
    state: string;
    comm: string;
    vmas?: {
      start: string;
      end: string;
      prot: string;
      flags: string;
      status: string;
      class: string;
      can_be_lazy: boolean;
      pgoff: number;
      madv: string;
      file?: string;
      shmem_image?: number;
    }[];
    extents: ExpectedExtent[];
  }[];
  shmem: { shmid: number; extents: ExpectedExtent[] }[];
}

interface MalformedCase {
  dir: string;
  outcome: 'ok' | 'error' | 'either';
  class: string | null;
  also?: string[];
  detect: 'open' | 'read' | null;
}

function readExpected(name: string): Expected {
  return JSON.parse(readFileSync(join(FIXTURES, name, 'expected.json'), 'utf8'));
}

const checkpoints: Checkpoint[] = [];

async function openFixture(name: string): Promise<Checkpoint> {
  const checkpoint = await Checkpoint.open(join(FIXTURES, name));
  checkpoints.push(checkpoint);
  return checkpoint;
}

afterEach(async () => {
  await Promise.all(checkpoints.splice(0).map((checkpoint) => checkpoint.close()));
});

function formatCrc(bytes: Uint8Array): string {
  return crc32(bytes).toString(16).padStart(8, '0');
}

function crcOfPages(bytes: Uint8Array): string[] {
  return Array.from({ length: bytes.length / PAGE }, (_, page) =>
    formatCrc(bytes.subarray(page * PAGE, (page + 1) * PAGE)),
  );
}

/** CRC32s by address, of what one call a stored extent and of what the stream gives. */
async function collectCrcs(
  checkpoint: Checkpoint,
  owner: PageOwner,
): Promise<{ called: Map<bigint, string>; streamed: Map<bigint, string> }> {
  const called = new Map<bigint, string>();
  const streamed = new Map<bigint, string>();
  const add = (crcs: Map<bigint, string>, vaddr: bigint, bytes: Uint8Array): void => {
    crcOfPages(bytes).forEach((crc, page) => {
      crcs.set(vaddr + BigInt(page * PAGE), crc);
    });
  };
  for (const { vaddr, pageCount, kind } of owner.pagemap.extents()) {
    if (kind === 'data') add(called, vaddr, await checkpoint.readPages(owner, vaddr, pageCount));
  }
  for await (const { vaddr, bytes } of checkpoint.storedRuns(owner)) add(streamed, vaddr, bytes);
  return { called, streamed };
}

function expectedCrcs(extents: readonly ExpectedExtent[]): Map<bigint, string> {
  const crcs = new Map<bigint, string>();
  for (const { vaddr, crc32: pages } of extents) {
    pages.forEach((crc, page) => {
      crcs.set(BigInt(vaddr) + BigInt(page * PAGE), crc);
    });
  }
  return crcs;
}

function taskOf(checkpoint: Checkpoint, pid: number): LiveTask {
  const task = checkpoint.tasks.find((candidate) => candidate.pid === pid);
  if (task?.state !== 'alive') throw new Error(`no live task ${pid}`);
  return task;
}

const IMAGES = [
  'pattern',
  'family',
  'redis',
  'pattern-legacy',
  'pattern-parent-chain/top',
  'pattern-lz4-page',
  'pattern-lz4-region',
];

describe.each(IMAGES)('fixture %s', (name) => {
  const expected = readExpected(name);

  it('has every page of every live task', async () => {
    const checkpoint = await openFixture(name);
    for (const { pid, state, extents } of expected.tasks) {
      if (state !== 'alive') continue;
      const { called, streamed } = await collectCrcs(checkpoint, taskOf(checkpoint, pid));
      expect(called).toEqual(expectedCrcs(extents));
      expect(streamed).toEqual(called);
    }
  });

  it('has every page of every shared object', async () => {
    const checkpoint = await openFixture(name);
    expect(checkpoint.sharedObjects.map(({ shmid }) => shmid)).toEqual(
      expected.shmem.map(({ shmid }) => shmid),
    );
    for (const [index, { extents }] of expected.shmem.entries()) {
      const object = checkpoint.sharedObjects[index];
      if (object === undefined) throw new Error('no object');
      const { called, streamed } = await collectCrcs(checkpoint, object);
      expect(called).toEqual(expectedCrcs(extents));
      expect(streamed).toEqual(called);
    }
  });

  it('describes inventory, tasks and VMAs', async () => {
    const checkpoint = await openFixture(name);
    const { inventory } = expected;
    expect(checkpoint.inventory).toEqual({
      version: inventory.img_version,
      compress: ['off', 'page', 'region'][inventory.compress],
      regionPages: inventory.compress === 1 ? 1 : inventory.compress_region_size / PAGE,
    });
    expect(checkpoint.tasks.length).toBe(expected.tasks.length);
    for (const [index, task] of expected.tasks.entries()) {
      const { pid, ppid, pgid, sid, state, comm } = task;
      const threads = state === 'dead' ? [] : task.threads;
      expect(checkpoint.tasks[index]).toMatchObject({ pid, ppid, pgid, sid, state, comm, threads });
      expect(describeVmas(checkpoint, index)).toEqual(
        (task.vmas ?? []).map((vma) => ({
          start: BigInt(vma.start),
          end: BigInt(vma.end),
          prot: vma.prot,
          flags: Number(vma.flags),
          status: Number(vma.status),
          lazy: vma.can_be_lazy,
          pgoff: BigInt(vma.pgoff),
          madv: BigInt(vma.madv),
          file: vma.file,
          shmid: vma.shmem_image,
          guard: vma.class === 'guard',
          vsyscall: vma.class === 'vsyscall',
        })),
      );
    }
  });

  it('knows which dump of the chain owns each extent', async () => {
    const checkpoint = await openFixture(name);
    for (const { pid, state, extents } of expected.tasks) {
      if (state !== 'alive') continue;
      const found = [...taskOf(checkpoint, pid).pagemap.extents()];
      expect(found.map(({ vaddr, pageCount, layer }) => [vaddr, pageCount, layer])).toEqual(
        extents.map(({ vaddr, nr_pages, layer }) => [BigInt(vaddr), nr_pages, layer]),
      );
    }
  });
});

function describeVmas(checkpoint: Checkpoint, index: number): unknown[] {
  return (checkpoint.tasks[index]?.vmas ?? []).map((vma) => {
    const file = vma.fileId === undefined ? undefined : checkpoint.files.get(vma.fileId);
    return {
      start: vma.start,
      end: vma.end,
      prot: ['r', 'w', 'x'].map((letter, bit) => (vma.prot & (1 << bit) ? letter : '-')).join(''),
      flags: vma.flags,
      status: vma.status,
      lazy: vma.canBeLazy,
      pgoff: vma.pgoff,
      madv: vma.madv.reduce((bitmap, bit) => bitmap | (1n << BigInt(bit)), 0n),
      file: file?.type === 'regular' ? file.name : undefined,
      shmid: vma.shmid,
      guard: vma.guard,
      vsyscall: vma.class === 'vsyscall',
    };
  });
}

it('gives the size, the mode and the build-id of files', async () => {
  const checkpoint = await openFixture('family');
  expect(checkpoint.files.get(1)).toEqual({
    type: 'regular',
    id: 1,
    name: '/opt/thaw-fixtures/family',
    size: 880592n,
    mode: 0o100755,
    buildId: 'd88cfa2b064482baef655d62abfb0ff144722ec6',
  });
  expect(checkpoint.files.get(2)).toEqual({ type: 'memfd', id: 2, inodeId: 1 });
});

describe('malformed images', () => {
  const manifest: { cases: MalformedCase[] } = JSON.parse(
    readFileSync(join(FIXTURES, 'malformed/manifest.json'), 'utf8'),
  );

  async function readAll(checkpoint: Checkpoint): Promise<void> {
    for (const task of checkpoint.tasks) {
      if (task.state === 'dead') continue;
      for await (const run of checkpoint.storedRuns(task)) expect(run.bytes.length).not.toBe(0);
    }
  }

  it('are all listed', () => {
    expect(manifest.cases.length).toBe(79);
  });

  it.each(manifest.cases)('$dir: $outcome', async ({ dir, outcome, class: name, also, detect }) => {
    let stage = 'open';
    let failure: unknown;
    try {
      const checkpoint = await openFixture(join('malformed', dir));
      stage = 'read';
      await readAll(checkpoint);
    } catch (error) {
      failure = error;
    }
    if (failure === undefined) {
      expect(outcome).not.toBe('error');
      return;
    }
    expect(outcome).not.toBe('ok');
    if (!(failure instanceof ThawError)) throw failure;
    const codes = [name ?? '', ...(also ?? [])].map((code) => code.toUpperCase());
    expect(codes).toContain(failure.code);
    expect(stage).toBe(detect);
    expect(failure.where).toContain(dir);
  });
});
