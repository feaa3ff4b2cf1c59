/** Bytes that cannot be produced: never wrong content, never a hang, and the error says where. */
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { packImage } from '../../src/pack/pack-image.js';
import { EXTENT_KIND } from '../../src/plan/restore-plan.js';
import type { Restoration, RestoredTask } from '../../src/restore/restoration.js';
import { Pager } from '../../src/servicer/pager.js';
import { openDescriptors, readMemory, until, within } from '../support/process-facts.js';
import {
  copyFixture,
  type ExpectedTask,
  fixturePath,
  PAGE,
  readExpected,
  removeTemporary,
  temporaryDirectory,
  touchablePagesOf,
} from '../support/restore-fixtures.js';
import {
  begin,
  endTargets,
  noteChildren,
  readForbidden,
  taskOf,
  touchPages,
} from '../support/restore-targets.js';

beforeEach(noteChildren);
afterEach(endTargets);
afterEach(removeTemporary);

const SEQUENTIAL = { kind: 'sequential' } as const;

function onlyTask(name: string): ExpectedTask {
  const [expected] = readExpected(name).tasks;
  if (expected === undefined) throw new Error('no task');
  return expected;
}

/** Where the pager takes each lazy stored page from, by the plan: byte of the pages image. */
function placesOf({ plan }: RestoredTask): Map<bigint, number> {
  const places = new Map<bigint, number>();
  const { vaddr, pageCount, kind, fileOffset } = plan.extents;
  for (let i = 0; i < kind.length; i++) {
    if (kind[i] !== EXTENT_KIND.data) continue;
    for (let page = 0n; page < (pageCount[i] ?? 0); page++) {
      places.set((vaddr[i] ?? 0n) + page * PAGE, Number((fileOffset[i] ?? 0n) + page * PAGE));
    }
  }
  return places;
}

/** Touches every page that may be, and sorts them by what came of it. */
async function touchAll(restored: RestoredTask, expected: ExpectedTask) {
  const pages = touchablePagesOf(expected);
  const found = await within(touchPages(restored, pages, { threads: 4 }));
  const failed = pages.filter((_, i) => found[i] === 'failed');
  const wrong = pages.filter((vaddr, i) => {
    return found[i] !== 'failed' && found[i] !== expected.stored.get(vaddr);
  });
  return { failed, wrong };
}

/** The addresses that page errors name, each of one page or a run of them. */
function errorAddresses(restoration: Restoration): bigint[] {
  return restoration.pageErrors.flatMap((error) => {
    const match = /^(\d+) pages? at (0x[0-9a-f]+) of task \d+ cannot be produced$/.exec(error.what);
    expect(match).not.toBeNull();
    const [count = 0n, start = 0n] = (match ?? []).slice(1).map(BigInt);
    return Array.from({ length: Number(count) }, (_, i) => start + BigInt(i) * PAGE);
  });
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : 1);

describe('a pages image that is cut after it was opened', () => {
  const expected = onlyTask('pattern');

  it.each([
    ['between two pages', 0],
    ['inside a page', 100],
  ])('%s: the pages behind fail, the others are right', async (_, extra) => {
    const directory = copyFixture('pattern');
    const restoration = await begin(directory, { fill: false });
    const restored = taskOf(restoration, expected);
    const places = placesOf(restored);
    const file = join(directory, 'pages-2.img');
    const left = Math.floor(statSync(file).size / 4096 / 2) * 4096 + extra;
    truncateSync(file, left);

    const { failed, wrong } = await touchAll(restored, expected);
    expect(wrong).toEqual([]);
    const cut = touchablePagesOf(expected).filter(
      (vaddr) => (places.get(vaddr) ?? 0) + 4096 > left,
    );
    expect(cut.length).toBeGreaterThan(10);
    expect(failed).toEqual(cut);

    await until('every failure is told', () => errorAddresses(restoration).length >= cut.length);
    expect(errorAddresses(restoration).sort(ascending)).toEqual(cut);
    for (const error of restoration.pageErrors) {
      const vaddr = BigInt(/0x[0-9a-f]+/.exec(error.what)?.[0] ?? 0);
      expect(error.code).toBe('PAGE_FAILED');
      expect(error.where).toBe(`${file}, byte ${places.get(vaddr)}`);
      expect(error.message).toContain(`of task ${expected.pid} `);
      expect(error.message).toContain('ends before the page');
    }
    expect(restoration.figures()[0]?.poisonedPages).toBe(cut.length);
  });

  it('fails the same way for the background fill, which goes on behind it', async () => {
    const directory = copyFixture('pattern');
    const restoration = await begin(directory, { fill: false });
    const restored = taskOf(restoration, expected);
    const places = placesOf(restored);
    const left = Math.floor(places.size / 3) * 4096;
    truncateSync(join(directory, 'pages-2.img'), left);
    await restoration.fill();
    await within(restoration.resident);
    const cut = [...places].filter(([, place]) => place + 4096 > left).map(([vaddr]) => vaddr);
    expect(restoration.figures()[0]?.poisonedPages).toBe(cut.length);
    const { failed, wrong } = await touchAll(restored, expected);
    expect(wrong).toEqual([]);
    expect(failed).toEqual(touchablePagesOf(expected).filter((vaddr) => cut.includes(vaddr)));
    // From outside there is nothing to be read either.
    for (const vaddr of cut) expect(() => readMemory(restored.host.pid, vaddr)).toThrow();
  });

  it('fails pages without the right to be read, too', async () => {
    const directory = copyFixture('pattern');
    const restoration = await begin(directory, { fill: false });
    const restored = taskOf(restoration, expected);
    truncateSync(join(directory, 'pages-2.img'), 0);
    const none = expected.vmas.find(({ label }) => label === 'none');
    const stored = [...expected.stored.keys()].filter(
      (vaddr) => none !== undefined && vaddr >= none.start && vaddr < none.end,
    );
    expect(stored.length).toBeGreaterThan(0);
    const found = await within(readForbidden(restored, stored));
    expect(found).toEqual(stored.map(() => 'failed'));
    expect(restoration.figures()[0]?.poisonedPages).toBe(stored.length);
  });

  it('is counted by a touch of everything and found by a verification', async () => {
    const directory = copyFixture('pattern');
    const restoration = await begin(directory, { fill: false });
    truncateSync(join(directory, 'pages-2.img'), 4096 * 200);
    const [summary] = await within(restoration.touch(SEQUENTIAL, { threads: 2 }));
    expect(summary?.failed).toBeGreaterThan(100);
    expect(summary?.latencyNs).toHaveLength((summary?.touched ?? 0) - (summary?.failed ?? 0));
    expect(restoration.pageErrors.length).toBeGreaterThan(0);
    const [counts] = (await within(restoration.verify())).tasks;
    expect(counts?.mismatched).toBeGreaterThan(100);
    expect(counts?.errors.length).toBeGreaterThan(0);
  });
});

describe.each(['pattern-lz4-page', 'pattern-lz4-region'])('a corrupt block of %s', (name) => {
  const expected = onlyTask(name);

  it.each([true, false])('fails alone (fill %s)', async (fill) => {
    const directory = copyFixture(name);
    const { pages, offset, byteLength, file } = await findBlock(directory);
    const fd = openSync(file, 'r+');
    // A literal run that never ends.
    writeSync(fd, Buffer.alloc(byteLength, 0xff), 0, byteLength, offset);
    closeSync(fd);

    const restoration = await begin(directory, { fill });
    const { failed, wrong } = await touchAll(taskOf(restoration, expected), expected);
    expect(wrong).toEqual([]);
    expect(failed).toEqual(touchablePagesOf(expected).filter((vaddr) => pages.has(vaddr)));
    expect(failed.length).toBeGreaterThan(0);
    await until('it is told', () => errorAddresses(restoration).length >= failed.length);
    expect(errorAddresses(restoration).every((vaddr) => pages.has(vaddr))).toBe(true);
    expect(restoration.pageErrors[0]?.where).toBe(`${file}, byte ${offset}`);
    expect(restoration.pageErrors[0]?.message).toContain('not what LZ4 wrote');
  });
});

describe('an image with checksums that is overwritten while it is served', () => {
  const expected = onlyTask('pattern');

  it.each([true, false])('has the damaged pages fail, and no other (fill %s)', async (fill) => {
    const directory = join(temporaryDirectory(), 'packed');
    await packImage(fixturePath('pattern'), directory, { checksums: true, jobs: 1 });
    const restoration = await begin(directory, { fill: false });
    const restored = taskOf(restoration, expected);
    const file = join(directory, 'pages-2.img');
    const bytes = readFileSync(file);
    // Every stored byte from the middle on: most of it decodes, to something else.
    const middle = bytes.length >> 1;
    for (let byte = middle; byte < bytes.length; byte++)
      bytes.writeUInt8(bytes.readUInt8(byte) ^ 1, byte);
    const fd = openSync(file, 'r+');
    writeSync(fd, bytes, middle, bytes.length - middle, middle);
    closeSync(fd);
    if (fill) {
      await restoration.fill();
      await within(restoration.resident);
    }
    const { failed, wrong } = await touchAll(restored, expected);
    expect(wrong).toEqual([]);
    expect(failed.length).toBeGreaterThan(10);
    expect(failed.length).toBeLessThan(touchablePagesOf(expected).length);
    await until('it is told', () => errorAddresses(restoration).length >= failed.length);
    for (const error of restoration.pageErrors) {
      expect(error.code).toBe('CHECKSUM_MISMATCH');
      expect(error.where).toMatch(new RegExp(`^${file}, byte \\d+$`));
    }
  });

  it('is restored as any other when it is whole', async () => {
    const directory = join(temporaryDirectory(), 'packed');
    const mode = { regionPages: 16 };
    await packImage(fixturePath('pattern'), directory, { mode, checksums: true, jobs: 1 });
    const restoration = await begin(directory, { fill: true });
    expect(await touchAll(taskOf(restoration, expected), expected)).toEqual({
      failed: [],
      wrong: [],
    });
    expect(restoration.pageErrors).toEqual([]);
  });
});

/** An LZ4 block in the middle of the plan: its bytes, and the pages that it holds. */
async function findBlock(directory: string) {
  const probe = await begin(directory, { fill: false });
  const [{ plan }] = probe.tasks as [RestoredTask];
  const { extents, blocks } = plan;
  for (let i = 0; i < extents.kind.length; i++) {
    const blockPages = extents.blockPages[i] ?? 0;
    const pageCount = extents.pageCount[i] ?? 0;
    if (extents.kind[i] !== EXTENT_KIND.data || blockPages === 0 || pageCount < 8) continue;
    if (extents.skipPages[i] !== 0) continue;
    const index = blockPages === 1 ? 5 : 0;
    const first = extents.firstBlock[i] ?? 0;
    const size = blocks.size[first + index] ?? 0;
    const held = Math.min(blockPages, pageCount - index * blockPages);
    if (size === 0 || size === held * 4096) continue;
    const before = blocks.size.subarray(first, first + index).reduce((sum, part) => sum + part, 0);
    const start = (extents.vaddr[i] ?? 0n) + BigInt(index * blockPages) * PAGE;
    const pages = new Set(Array.from({ length: held }, (_, page) => start + BigInt(page) * PAGE));
    const file = probe.plan.sources[extents.source[i] ?? 0]?.path ?? '';
    await probe.close();
    return { pages, offset: Number(extents.fileOffset[i]) + before, byteLength: size, file };
  }
  throw new Error('no block was found');
}

describe.each(['lz4-corrupt', 'lz4-bad-offset', 'lz4-short-output', 'lz4-long-output', 'lz4-bomb'])(
  'the malformed image %s',
  (name) => {
    it.each([true, false])('fails in the page that is damaged (fill %s)', async (fill) => {
      const control = await begin('malformed/ok-lz4-page', { fill: false });
      const restoration = await begin(`malformed/${name}`, { fill });
      const pages = [...placesOf(control.tasks[0] as RestoredTask).keys()];
      const right = await within(touchPages(control.tasks[0] as RestoredTask, pages));
      expect(right).not.toContain('failed');
      const found = await within(touchPages(restoration.tasks[0] as RestoredTask, pages));
      expect(found.filter((crc) => crc === 'failed')).toHaveLength(1);
      expect(found).toEqual(right.map((crc, i) => (found[i] === 'failed' ? 'failed' : crc)));
      await until('it is told', () => restoration.pageErrors.length > 0);
      expect(restoration.pageErrors[0]?.code).toBe('PAGE_FAILED');
    });
  },
);

describe('an image that cannot be restored', () => {
  const cases: [string, () => string, string][] = [
    ['is not there', () => join(temporaryDirectory(), 'nothing'), 'IMAGE_MISSING'],
    ['is a directory of something else', () => temporaryDirectory(), 'IMAGE_MISSING'],
    ['is a file', () => fixturePath('README.md'), 'IMAGE_MISSING'],
    [
      'has a pagemap that is cut',
      () => fixturePath('malformed/pagemap-cut-in-record'),
      'RECORD_TRUNCATED',
    ],
    [
      'has a pages image that is short',
      () => fixturePath('malformed/pages-truncated'),
      'PAGES_TRUNCATED',
    ],
    ['has no pages image', () => fixturePath('malformed/pages-missing'), 'PAGES_MISSING'],
  ];

  it.each(cases)('%s: one clear error, nothing left running or open', async (_, make, code) => {
    const path = make();
    await expect(within(begin(path))).rejects.toMatchObject({ code });
    const before = openDescriptors();
    await expect(within(begin(path))).rejects.toThrow(/\S/);
    expect(openDescriptors()).toEqual(before);
  });

  it('is an error of its own while the pager does not start either', async () => {
    const failure = new ThawError('PAGER_START_FAILED', { what: 'no pager' });
    const start = vi.spyOn(Pager, 'start').mockImplementation(() => Promise.reject(failure));
    try {
      const missing = join(temporaryDirectory(), 'nothing');
      await expect(within(begin(missing))).rejects.toMatchObject({ code: 'IMAGE_MISSING' });
      await expect(within(begin('pattern'))).rejects.toBe(failure);
      expect(start).toHaveBeenCalledTimes(2);
    } finally {
      start.mockRestore();
    }
  });

  it('has lost its pages image since it was opened', async () => {
    const directory = copyFixture('pattern');
    const checkpoint = await Checkpoint.open(directory);
    removeTemporary();
    await expect(within(begin(checkpoint))).rejects.toMatchObject({ code: 'PAGES_MISSING' });
    await checkpoint.close();
  });
});
