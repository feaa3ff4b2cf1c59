/** Every page of a restored target is what the dump had, by the fixtures' own account of it. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Checkpoint } from '../../src/image/checkpoint.js';
import type { Access } from '../../src/restore/access.js';
import type { Restoration } from '../../src/restore/restoration.js';
import { readMemory, within } from '../support/process-facts.js';
import {
  copyFixture,
  type ExpectedImage,
  fixturePath,
  holesOf,
  readExpected,
  removeTemporary,
  ZERO_CRC,
} from '../support/restore-fixtures.js';
import {
  begin,
  differences,
  endTargets,
  noteChildren,
  openHolesOf,
  readShared,
  readStored,
  startPager,
  taskOf,
  touchPages,
} from '../support/restore-targets.js';

const DEADLINE_MS = 30_000;
const PLAIN = ['pattern', 'family', 'redis'];
const IMAGES = [
  ...PLAIN,
  'pattern-legacy',
  'pattern-lz4-page',
  'pattern-lz4-region',
  'pattern-parent-chain/top',
];

beforeEach(noteChildren);
afterEach(endTargets);
afterEach(removeTemporary);

/** Compares all of it; answers how many pages that were. */
async function expectRight(
  restoration: Restoration,
  image: ExpectedImage,
  threads = 1,
): Promise<number> {
  let compared = 0;
  expect(restoration.tasks.map(({ task }) => task.pid)).toEqual(image.tasks.map(({ pid }) => pid));
  for (const expected of image.tasks) {
    const restored = taskOf(restoration, expected);
    const found = await within(readStored(restored, expected, { threads }), DEADLINE_MS);
    expect(differences(found, expected.stored)).toEqual([]);
    compared += found.size;
    const holes = await within(touchPages(restored, openHolesOf(expected)), DEADLINE_MS);
    expect(new Set(holes)).toEqual(new Set([ZERO_CRC]));
    expect(restored.plan.totals.holePages).toBe(holesOf(expected).length);
  }
  const shared = await within(readShared(restoration, image), DEADLINE_MS);
  expect(differences(shared.found, shared.expected)).toEqual([]);
  return compared + shared.expected.size;
}

/** Pages by way of arrival add up. */
function expectAccounts(restoration: Restoration): void {
  for (const figures of restoration.figures()) {
    if (figures === undefined) throw new Error('a task without a lazy page');
    const { demandPages, filledPages, presentPages, missingPages, dataPages } = figures;
    expect(demandPages + filledPages + presentPages + missingPages).toBe(dataPages);
    expect([figures.poisonedPages, figures.removedPages]).toEqual([0, 0]);
  }
}

describe.each(IMAGES)('the image %s', (name) => {
  const image = readExpected(name);

  it.each([true, false])('is right in every page (fill %s)', async (fill) => {
    const restoration = await begin(name, { fill });
    const compared = await expectRight(restoration, image);
    const total = image.tasks.reduce((sum, { stored }) => sum + stored.size, 0);
    expect(compared).toBeGreaterThanOrEqual(total + (image.shared[0]?.stored.size ?? 0));
    // The touches brought in what no fill did.
    expect(await within(restoration.resident, DEADLINE_MS)).toBeGreaterThan(0);
    expect(restoration.figures().map((figures) => figures?.state)).toEqual(
      image.tasks.map(() => 'resident'),
    );
    expectAccounts(restoration);
    expect(restoration.pageErrors).toEqual([]);
  });

  it('is right in every page for four threads at once', async () => {
    const restoration = await begin(name, { fill: false });
    await expectRight(restoration, image, 4);
    await within(restoration.resident, DEADLINE_MS);
    expectAccounts(restoration);
  });

  it('is right from outside, once it is resident', async () => {
    const restoration = await begin(name);
    await within(restoration.resident, DEADLINE_MS);
    for (const expected of image.tasks) {
      const { host } = taskOf(restoration, expected);
      const stored = [...expected.stored.keys()];
      const found = new Map(stored.map((vaddr) => [vaddr, crc32(readMemory(host.pid, vaddr))]));
      expect(differences(found, expected.stored)).toEqual([]);
    }
  });

  it('is right by its own verification', async () => {
    const restoration = await begin(name, { fill: false });
    const { tasks, shared } = await within(restoration.verify(), DEADLINE_MS);
    for (const [i, expected] of image.tasks.entries()) {
      expect(tasks[i]).toEqual({
        verified: expected.stored.size,
        holes: expect.any(Number),
        mismatched: 0,
        errors: [],
      });
      expect(tasks[i]?.holes).toBeGreaterThanOrEqual(openHolesOf(expected).length);
    }
    expect(shared.map(({ shmid, pages, verified }) => [shmid, pages, verified])).toEqual(
      image.shared.map(({ shmid, stored }) => [shmid, stored.size, stored.size]),
    );
  });
});

const ACCESSES: readonly Access[] = [
  { kind: 'none' },
  { kind: 'sequential' },
  { kind: 'random' },
  { kind: 'percent', percent: 10 },
];

describe.each(PLAIN)('access to %s', (name) => {
  const image = readExpected(name);
  const cases = ACCESSES.flatMap((access) => [true, false].map((fill) => ({ access, fill })));

  it.each(cases)('$access.kind, fill $fill', async ({ access, fill }) => {
    const restoration = await begin(name, { fill });
    const touched = await within(restoration.touch(access, { seed: 7, threads: 4 }), DEADLINE_MS);
    for (const { touched: count, failed, latencyNs } of touched) {
      expect(failed).toBe(0);
      expect(latencyNs).toHaveLength(count);
    }
    await expectRight(restoration, image);
  });
});

describe('two restores of one image at once', () => {
  const image = readExpected('pattern');

  it('are both right, each with a pager of its own', async () => {
    const both = await Promise.all([begin('pattern'), begin('pattern', { fill: false })]);
    await Promise.all(both.map((restoration) => expectRight(restoration, image)));
    expect(new Set(both.flatMap(({ tasks }) => tasks.map(({ host }) => host.pid))).size).toBe(2);
  });

  it.each([true, false])('are both right with one pager (fill %s)', async (fill) => {
    const pager = await startPager();
    const both = await Promise.all(
      ['pattern', 'pattern-lz4-region', 'pattern'].map((name) => begin(name, { pager, fill })),
    );
    await Promise.all(both.map((restoration) => expectRight(restoration, image)));
    await both[0]?.close();
    // The pager is the caller's: it goes on serving.
    const later = await begin('pattern', { pager, fill });
    await expectRight(later, image);
  });

  it('are both right from one open checkpoint, which stays the caller’s', async () => {
    const checkpoint = await Checkpoint.open(fixturePath('family'));
    const both = await Promise.all([begin(checkpoint), begin(checkpoint)]);
    for (const restoration of both) await expectRight(restoration, readExpected('family'));
    await both[0]?.close();
    expect((await both[1]?.verify())?.tasks.map(({ mismatched }) => mismatched)).toEqual([0, 0, 0]);
    await checkpoint.close();
  });
});

describe('the comparison', () => {
  it('sees a single byte that is different, and where', async () => {
    const directory = copyFixture('pattern');
    const pages = openSync(join(directory, 'pages-2.img'), 'r+');
    writeSync(pages, Buffer.from([0xa5]), 0, 1, 100 * 4096 + 77);
    closeSync(pages);
    const restoration = await begin(directory);
    const [expected] = readExpected('pattern').tasks;
    if (expected === undefined) throw new Error('no task');
    const found = await readStored(taskOf(restoration, expected), expected);
    expect(differences(found, expected.stored)).toHaveLength(1);
  });
});
