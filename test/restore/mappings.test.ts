/** A restored target has the image's memory map, and only the pages that it needs. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pagesToTouch } from '../../src/restore/access.js';
import type { RestoredTask } from '../../src/restore/restoration.js';
import {
  mappingsOf,
  mergeNeighbours,
  outside,
  residentPages,
  within,
} from '../support/process-facts.js';
import {
  type ExpectedTask,
  eagerPagesOf,
  readExpected,
  touchablePagesOf,
} from '../support/restore-fixtures.js';
import {
  begin,
  endTargets,
  noteChildren,
  openHolesOf,
  taskOf,
  touchPages,
} from '../support/restore-targets.js';

const DEADLINE_MS = 30_000;
const PLAIN = ['pattern', 'family', 'redis'];

beforeEach(noteChildren);
afterEach(endTargets);

/** A host's mappings without its own block. */
function imageMappings({ host, hostBlock }: RestoredTask) {
  return outside(mappingsOf(host.pid), hostBlock);
}

/** Resident pages of a host, by pagemap, in the image's regions. */
function residentOf(restored: RestoredTask): bigint[] {
  return residentPages(restored.host.pid, imageMappings(restored));
}

function sorted(vaddrs: Iterable<bigint>): bigint[] {
  return [...vaddrs].sort((a, b) => (a < b ? -1 : 1));
}

function anonymousPages(restored: RestoredTask): number {
  return imageMappings(restored).reduce((sum, { anonymousPages: pages }) => sum + pages, 0);
}

describe.each([...PLAIN, 'pattern-lz4-region', 'pattern-parent-chain/top'])(
  'maps of %s',
  (name) => {
    it('are those of the image, in addresses and rights', async () => {
      const restoration = await begin(name);
      await within(restoration.resident, DEADLINE_MS);
      for (const expected of readExpected(name).tasks) {
        const restored = taskOf(restoration, expected);
        expect(mergeNeighbours(imageMappings(restored))).toEqual(mergeNeighbours(expected.vmas));
      }
    });

    it('keep the host’s own block clear of every region', async () => {
      const restoration = await begin(name, { fill: false });
      for (const expected of readExpected(name).tasks) {
        const { host, hostBlock } = taskOf(restoration, expected);
        expect(outside(expected.vmas, hostBlock)).toEqual(expected.vmas);
        const own = mappingsOf(host.pid).filter(
          ({ start, end }) => start < hostBlock.end && end > hostBlock.start,
        );
        expect(own.length).toBeGreaterThan(0);
        expect(own.every(({ start }) => start >= hostBlock.start)).toBe(true);
        expect(own.every(({ end }) => end <= hostBlock.end)).toBe(true);
      }
    });
  },
);

describe('shared memory', () => {
  it('is one object for all hosts that map it', async () => {
    const restoration = await begin('family', { fill: false });
    const inodes = readExpected('family').tasks.flatMap((expected) => {
      const { host } = taskOf(restoration, expected);
      const maps = readFileSync(`/proc/${host.pid}/maps`, 'latin1').split('\n');
      return expected.vmas
        .filter(({ shmid }) => shmid !== undefined)
        .map(({ start }) => {
          const line = maps.find((text) => text.startsWith(`${start.toString(16)}-`));
          expect(line).toMatch(/ ...s /);
          return line?.split(/ +/)[4];
        });
    });
    expect(inodes).toHaveLength(3);
    expect(new Set(inodes).size).toBe(1);
  });
});

describe.each(PLAIN)('laziness of %s', (name) => {
  const image = readExpected(name);

  it('leaves nothing but eager pages in memory before a touch', async () => {
    const restoration = await begin(name, { fill: false });
    for (const expected of image.tasks) {
      const resident = residentOf(taskOf(restoration, expected));
      expect(sorted(resident)).toEqual(sorted(eagerPagesOf(expected)));
    }
    expect(restoration.figures().map((figures) => [figures?.faults, figures?.state])).toEqual(
      image.tasks.map(() => [0, 'serving']),
    );
  });

  it.each([1, 4])('adds exactly the pages that are touched (%i threads)', async (threads) => {
    const restoration = await begin(name, { fill: false });
    const access = { kind: 'percent', percent: 20 } as const;
    const summaries = await within(restoration.touch(access, { seed: 3, threads }), DEADLINE_MS);
    for (const [i, expected] of image.tasks.entries()) {
      const restored = taskOf(restoration, expected);
      const touchable = touchablePagesOf(expected);
      const touched = pagesToTouch(restored.task, restored.plan, access, 3);
      expect(touched).toHaveLength(Math.round(touchable.length / 5));
      expect(summaries[i]?.touched).toBe(touched.length);
      expect(touchable).toEqual(expect.arrayContaining([...touched]));
      const resident = residentOf(restored);
      expect(sorted(resident)).toEqual(sorted([...eagerPagesOf(expected), ...touched]));
      // Counted after the thread that waited was woken.
      await expect.poll(() => restoration.figures()[i]?.demandPages).toBe(touched.length);
    }
  });

  it('gives holes the zero page: anonymous memory is the stored pages', async () => {
    const restoration = await begin(name);
    await within(restoration.resident, DEADLINE_MS);
    for (const expected of image.tasks) {
      const restored = taskOf(restoration, expected);
      expect(anonymousPages(restored)).toBe(expected.stored.size);
      await within(touchPages(restored, openHolesOf(expected)), DEADLINE_MS);
      expect(anonymousPages(restored)).toBe(expected.stored.size);
    }
  });

  it('gives holes the zero page while pages are missing, and counts them', async () => {
    const restoration = await begin(name, { fill: false });
    for (const [i, expected] of image.tasks.entries()) {
      const restored = taskOf(restoration, expected);
      const holes = openHolesOf(expected);
      await within(touchPages(restored, holes), DEADLINE_MS);
      await expect.poll(() => restoration.figures()[i]?.zeroedPages).toBe(holes.length);
      expect(restoration.figures()[i]).toMatchObject({ faults: holes.length, demandPages: 0 });
      expect(anonymousPages(restored)).toBe(eagerPagesOf(expected).length);
    }
  });
});

describe('an image whose pages are compressed', () => {
  it('brings in no page of a block that nobody touched', async () => {
    const image = readExpected('pattern-lz4-page');
    const [expected] = image.tasks as [ExpectedTask];
    const restoration = await begin('pattern-lz4-page', { fill: false });
    const restored = taskOf(restoration, expected);
    const touched = touchablePagesOf(expected).filter((_, i) => i % 9 === 4);
    await within(touchPages(restored, touched), DEADLINE_MS);
    expect(sorted(residentOf(restored))).toEqual(sorted([...eagerPagesOf(expected), ...touched]));
  });

  it('has its zero pages as zero pages', async () => {
    const [expected] = readExpected('pattern-lz4-region').tasks as [ExpectedTask];
    const restoration = await begin('pattern-lz4-region');
    await within(restoration.resident, DEADLINE_MS);
    expect(anonymousPages(taskOf(restoration, expected))).toBeLessThan(expected.stored.size);
  });
});
