import { cpSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { NO_CHECKSUM } from '../../src/image/checksums.js';
import { type PackOptions, packImage } from '../../src/pack/pack-image.js';
import { encodePlan } from '../../src/plan/plan-columns.js';
import { type PlanOptions, planRestore } from '../../src/plan/plan-restore.js';
import {
  EXTENT_KIND,
  NO_OBJECT,
  REGION_KIND,
  type RestorePlan,
  type TaskPlan,
} from '../../src/plan/restore-plan.js';
import { arbitraryImage, BASE, PID, writeRandomImage } from '../support/image-arbitrary.js';
import {
  makeTempDirectory,
  PAGE,
  pageBytes,
  type VmaSpec,
  writeImage,
} from '../support/image-builder.js';
import { writeChain } from '../support/image-chain.js';
import { fingerprint, readModel } from '../support/image-model.js';
import {
  decodePlan,
  type PlannedPage,
  resolveExtents,
  storedPages,
} from '../support/image-plan.js';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
const PAGE_BIG = 4096n;

let temp: ReturnType<typeof makeTempDirectory>;
let runs = 0;

beforeAll(() => {
  temp = makeTempDirectory();
});

afterAll(() => {
  temp.remove();
});

function nextRoot(): string {
  const root = join(temp.path, String(runs++));
  mkdirSync(root);
  return root;
}

async function planOf(directory: string, options?: PlanOptions): Promise<RestorePlan> {
  await using checkpoint = await Checkpoint.open(directory);
  return planRestore(checkpoint, options);
}

function soleTask(plan: RestorePlan): TaskPlan {
  const task = plan.tasks[0];
  if (task === undefined) throw new Error('no task');
  return task;
}

/** The lazy pages by page number: every page of a lazy region that no guard covers. */
function lazyPages({ regions, guards }: TaskPlan): Set<bigint> {
  const pages = new Set<bigint>();
  regions.start.forEach((start, region) => {
    if (regions.lazy[region] !== 1) return;
    for (let vaddr = start; vaddr < (regions.end[region] ?? 0n); vaddr += PAGE_BIG) {
      pages.add(vaddr / PAGE_BIG);
    }
  });
  guards.start.forEach((start, guard) => {
    for (let vaddr = start; vaddr < (guards.end[guard] ?? 0n); vaddr += PAGE_BIG) {
      pages.delete(vaddr / PAGE_BIG);
    }
  });
  return pages;
}

function isGuarded({ guards }: TaskPlan, page: bigint): boolean {
  const vaddr = page * PAGE_BIG;
  return guards.start.some((start, guard) => start <= vaddr && vaddr < (guards.end[guard] ?? 0n));
}

/** What holds for every plan of every image. */
function expectSound(plan: RestorePlan, directory: string): void {
  for (const task of plan.tasks) {
    const pages = resolveExtents(plan, task.extents, task.blocks);
    const lazy = lazyPages(task);
    const model = readModel(directory, String(task.pid));
    for (const page of model.keys()) if (isGuarded(task, page)) model.delete(page);
    expect(fingerprint(storedPages(pages))).toEqual(fingerprint(model));
    expect([...lazy].filter((page) => !pages.has(page))).toEqual([]);
    const others = [...pages].filter(([page]) => !lazy.has(page));
    expect(others.filter(([, { kind }]) => kind !== EXTENT_KIND.eager)).toEqual([]);
    expectInsideRegions(task);
    expectTotals(task);
    expectEncoded(plan, task);
  }
}

function expectInsideRegions({ regions, extents }: TaskPlan): void {
  const outside = [...extents.vaddr].filter((vaddr, extent) => {
    const end = vaddr + BigInt(extents.pageCount[extent] ?? 0) * PAGE_BIG;
    return !regions.start.some(
      (start, region) => start <= vaddr && end <= (regions.end[region] ?? 0n),
    );
  });
  expect(outside).toEqual([]);
}

function expectTotals({ extents, totals, regions }: TaskPlan): void {
  const sums = [0, 0, 0];
  const dataBefore: (number | undefined)[] = [];
  extents.kind.forEach((kind, extent) => {
    dataBefore.push(sums[EXTENT_KIND.data]);
    sums[kind] = (sums[kind] ?? 0) + (extents.pageCount[extent] ?? 0);
  });
  expect([...extents.pageIndex]).toEqual(dataBefore);
  const [dataPages = 0, holePages = 0, eagerPages = 0] = sums;
  const pages = dataPages + eagerPages;
  const expected = { regions: regions.start.length, pages, dataPages, holePages, eagerPages };
  expect(totals).toEqual(expected);
}

/** The encoded plan has the lazy regions, and the same pages for them. */
function expectEncoded(plan: RestorePlan, task: TaskPlan): void {
  const bytes = encodePlan(task);
  const decoded = decodePlan(bytes);
  expect(decoded.byteLength).toBe(BigInt(bytes.length));
  expect(decoded.sourceCount).toBe(plan.sources.length);
  const lazy = lazyPages(task);
  const rows = [...task.regions.lazy.keys()].filter((row) => task.regions.lazy[row] === 1);
  expect([...decoded.regionStart]).toEqual(rows.map((row) => task.regions.start[row]));
  expect([...decoded.regionEnd]).toEqual(rows.map((row) => task.regions.end[row]));
  const own = resolveExtents(plan, task.extents, task.blocks);
  const handed = resolveExtents(plan, decoded.extents, decoded.blocks);
  const inLazy = new Map([...own].filter(([page]) => lazy.has(page)));
  expect(describePages(handed)).toEqual(describePages(inLazy));
  const { kind, source } = decoded.extents;
  expect([...source].filter((index, row) => kind[row] !== EXTENT_KIND.data && index > 0)).toEqual(
    [],
  );
  const samples = [0n];
  let sum = 0n;
  decoded.blocks.size.forEach((size, block) => {
    sum += BigInt(size);
    if ((block + 1) % 64 === 0) samples.push(sum);
  });
  expect([...decoded.blocks.sample]).toEqual(samples);
}

/** Kinds of pages by number, and what the bytes of data are. */
function describePages(pages: ReadonlyMap<bigint, PlannedPage>): unknown {
  const data = new Map([...pages].filter(([, { kind }]) => kind === EXTENT_KIND.data));
  const kinds = [...pages].map(([page, { kind }]) => `${page}: ${kind}`);
  return { kinds, data: fingerprint(storedPages(data)) };
}

describe('random images', () => {
  it('lose no byte, have none twice, and no extent crosses a VMA', async () => {
    await fc.assert(
      fc.asyncProperty(
        arbitraryImage,
        fc.constantFrom<PlanOptions[]>({}, { laziness: 'entry' }),
        async (image, options) => {
          const { directory } = writeRandomImage(nextRoot(), image);
          expectSound(await planOf(directory, options), directory);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('have the LAZY pages as data and the others eager, if entries decide', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryImage, async (image) => {
        const { directory } = writeRandomImage(nextRoot(), image);
        await using checkpoint = await Checkpoint.open(directory);
        const plan = planRestore(checkpoint, { laziness: 'entry' });
        const pages = resolveExtents(plan, soleTask(plan).extents, soleTask(plan).blocks);
        const lazy = lazyPages(soleTask(plan));
        for (const extent of checkpoint.tasks[0]?.pagemap?.extents() ?? []) {
          if (extent.kind === 'hole') continue;
          for (let page = 0n; page < extent.pageCount; page++) {
            const number = extent.vaddr / PAGE_BIG + page;
            if (isGuarded(soleTask(plan), number)) continue;
            const isData = extent.lazy && lazy.has(number);
            expect(pages.get(number)?.kind).toBe(isData ? EXTENT_KIND.data : EXTENT_KIND.eager);
          }
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('checksums', () => {
  it('stand beside the pages and blocks that they are of, in random images', async () => {
    await fc.assert(
      fc.asyncProperty(
        arbitraryImage,
        fc.constantFrom<PackOptions['mode'][]>('page', { regionPages: 3 }),
        async (image, mode) => {
          const root = nextRoot();
          const layers = image.layers.map((layer) => ({ ...layer, version1: false }));
          const { directory } = writeRandomImage(root, { ...image, layers });
          const packed = join(root, 'packed');
          await packImage(directory, packed, { mode, checksums: true, jobs: 1 });
          expectSound(await planOf(packed), packed);
        },
      ),
      { numRuns: 10 },
    );
  });

  it('are those of the dump that has the bytes, in a chain of which one has none', async () => {
    const root = nextRoot();
    const [base, top, packed] = ['base', 'top', 'packed'].map((name) => join(root, name));
    if (base === undefined || top === undefined || packed === undefined) return;
    cpSync(join(FIXTURES, 'pattern'), base, { recursive: true });
    writeChain(base, top);
    await packImage(base, packed, { checksums: true, jobs: 1 });
    rmSync(base, { recursive: true });
    renameSync(packed, base);
    await packImage(top, packed, { mode: { regionPages: 4 }, checksums: true, jobs: 1 });
    for (const [directory, ownChecked] of [
      [top, false],
      [packed, true],
    ] as const) {
      const plan = await planOf(directory);
      expectSound(plan, directory);
      const { extents } = soleTask(plan);
      const own: boolean[] = [];
      const parents: boolean[] = [];
      extents.kind.forEach((kind, row) => {
        if (kind === EXTENT_KIND.hole) return;
        const { path = '' } = plan.sources[extents.source[row] ?? 0] ?? {};
        const list = dirname(path) === directory ? own : parents;
        list.push(extents.firstChecksum[row] !== NO_CHECKSUM);
      });
      expect([...new Set(own)]).toEqual([ownChecked]);
      expect([...new Set(parents)]).toEqual([true]);
    }
  });
});

describe.each([
  ['pattern', [[364, 1118, 17]], 21],
  ['pattern-legacy', [[364, 1118, 17]], 21],
  ['pattern-lz4-page', [[364, 1118, 17]], 21],
  ['pattern-lz4-region', [[364, 1118, 17]], 21],
  ['pattern-parent-chain/top', [[364, 1118, 17]], 21],
  [
    'family',
    [
      [81, 65, 8],
      [78, 72, 8],
      [114, 105, 8],
    ],
    8,
  ],
  ['redis', [[837, 10691, 281]], 0],
])('fixture %s', (name, totals, sharedPages) => {
  it('has all its pages', async () => {
    const directory = join(FIXTURES, name);
    const plan = await planOf(directory);
    expectSound(plan, directory);
    expect(plan.tasks.map(({ totals: t }) => [t.dataPages, t.holePages, t.eagerPages])).toEqual(
      totals,
    );
    const shared = plan.shared.map((object) => object.pages).reduce((sum, pages) => sum + pages, 0);
    expect(shared).toBe(sharedPages);
    for (const object of plan.shared) {
      const pages = storedPages(resolveExtents(plan, object.extents, object.blocks));
      const model = readModel(directory, `shmem-${object.shmid}`);
      expect(fingerprint(pages)).toEqual(fingerprint(model));
    }
  });
});

it('has the kinds, the advice and the objects of regions', async () => {
  const { regions } = soleTask(await planOf(join(FIXTURES, 'pattern')));
  const expected = JSON.parse(readFileSync(join(FIXTURES, 'pattern/expected.json'), 'utf8'));
  const vmas = expected.tasks[0].vmas.filter(
    (vma: { class: string }) => !['guard', 'vsyscall'].includes(vma.class),
  );
  const kinds: Record<string, number> = {
    file_private: REGION_KIND.filePrivate,
    file_shared: REGION_KIND.fileShared,
    memfd: REGION_KIND.shared,
    vvar: REGION_KIND.special,
    vdso: REGION_KIND.special,
  };
  for (const [row, vma] of vmas.entries()) {
    expect(regions.start[row]).toBe(BigInt(vma.start));
    expect(regions.kind[row]).toBe(kinds[vma.class] ?? REGION_KIND.anonymousPrivate);
    expect(regions.lazy[row]).toBe(Number(vma.can_be_lazy));
    expect(regions.advice[row]).toBe(BigInt(vma.madv));
    expect(regions.objectId[row]).toBe(vma.shmem_image ?? vma.shmid);
    expect(regions.objectOffset[row]).toBe(BigInt(vma.pgoff));
  }
});

it('names one object for all tasks that map it', async () => {
  const plan = await planOf(join(FIXTURES, 'family'));
  expect(plan.shared.map(({ shmid, byteLength }) => [shmid, byteLength])).toEqual([[4366, 32768n]]);
  for (const { regions } of plan.tasks) {
    expect([...regions.objectId].filter((id) => id === 4366).length).toBe(1);
  }
});

it('says so when the image does not have the object of a region', async () => {
  const { regions } = soleTask(await planOf(join(FIXTURES, 'malformed/ok-plain')));
  const row = regions.kind.indexOf(REGION_KIND.shared);
  expect(regions.objectId[row]).toBe(NO_OBJECT);
});

describe('extents of plain pages', () => {
  const anonymous = (first: number, pages: number): VmaSpec => ({
    start: BASE + BigInt(first * PAGE),
    end: BASE + BigInt((first + pages) * PAGE),
  });

  async function planPages(vmas: VmaSpec[], entries: [number, number][]): Promise<TaskPlan> {
    const root = nextRoot();
    const payload = entries.flatMap(([first, count]) =>
      Array.from({ length: count }, (_, page) => pageBytes(first + page)),
    );
    const pagemap = {
      pagesId: 1,
      payload: Buffer.concat(payload),
      entries: entries.map(([first, pageCount]) => ({
        vaddr: BASE + BigInt(first * PAGE),
        pageCount,
        flags: 4,
      })),
    };
    writeImage(root, { tasks: [{ pid: PID, vmas, pagemap }] });
    return soleTask(await planOf(root));
  }

  function rowsOf({ extents }: TaskPlan): [number, number, number][] {
    return [...extents.vaddr].map((vaddr, row) => [
      Number((vaddr - BASE) / PAGE_BIG),
      extents.pageCount[row] ?? 0,
      extents.kind[row] ?? 0,
    ]);
  }

  it('join entries that touch', async () => {
    const plan = await planPages(
      [anonymous(0, 8)],
      [
        [0, 2],
        [2, 3],
        [6, 1],
      ],
    );
    expect(rowsOf(plan)).toEqual([
      [0, 5, 0],
      [5, 1, 1],
      [6, 1, 0],
      [7, 1, 1],
    ]);
  });

  it('are split where one VMA ends and the next begins', async () => {
    const plan = await planPages([anonymous(0, 2), anonymous(2, 2)], [[1, 2]]);
    expect(rowsOf(plan)).toEqual([
      [0, 1, 1],
      [1, 1, 0],
      [2, 1, 0],
      [3, 1, 1],
    ]);
  });

  it('cover a region that is larger than an extent can be', async () => {
    const pages = 2 ** 33;
    const start = 0x1000_0000n;
    const plan = await planPages([{ start, end: start + BigInt(pages) * PAGE_BIG }], []);
    expect(plan.totals.holePages).toBe(pages);
    expect([...plan.extents.pageCount]).toEqual([2 ** 31, 2 ** 31, 2 ** 31, 2 ** 31]);
    expect(plan.extents.vaddr[3]).toBe(start + 3n * 2n ** 31n * PAGE_BIG);
  });
});
