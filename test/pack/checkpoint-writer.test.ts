import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { CheckpointWriter, type StorageMode } from '../../src/pack/checkpoint-writer.js';
import type { WrittenRun } from '../../src/pack/pagemap-writer.js';
import { makeTempDirectory, PAGE, pageBytes, writeImage } from '../support/image-builder.js';

const BASE = 0x10_0000n;
const VMA = { start: BASE, end: BASE + BigInt(4000 * PAGE) };

let temp: ReturnType<typeof makeTempDirectory>;

beforeEach(() => {
  temp = makeTempDirectory();
  const pagemap = { pagesId: 1, entries: [], payload: new Uint8Array(0) };
  writeImage(join(temp.path, 'frame'), { tasks: [{ pid: 5, vmas: [VMA], pagemap }] });
});

afterEach(() => {
  temp.remove();
});

interface RunPlan {
  readonly gap: number;
  readonly pageCount: number;
  readonly kind: 'stored' | 'hole';
  readonly lazy: boolean;
  readonly zeroEvery: number;
}

const arbitraryRun: fc.Arbitrary<RunPlan> = fc.record({
  gap: fc.nat(3),
  pageCount: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 250, max: 600 })),
  kind: fc.constantFrom('stored', 'stored', 'hole'),
  lazy: fc.boolean(),
  zeroEvery: fc.constantFrom(1, 2, 1000),
});

function contentOf(page: number, zeroEvery: number): Uint8Array {
  return page % zeroEvery === 0 ? new Uint8Array(PAGE) : pageBytes(page);
}

function layOut(plans: readonly RunPlan[]): (RunPlan & { firstPage: number })[] {
  let page = 0;
  return plans.map((plan) => {
    const firstPage = page + plan.gap;
    page = firstPage + plan.pageCount;
    return { ...plan, firstPage };
  });
}

it('writes what reads back equal', async () => {
  let outputs = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(arbitraryRun, { maxLength: 5 }),
      fc.constantFrom<StorageMode[]>('off', 'page', { regionPages: 3 }, { regionPages: 300 }),
      async (plans, mode) => {
        const output = join(temp.path, `out${outputs++}`);
        const laidOut = layOut(plans);
        const runs = laidOut.map(
          ({ firstPage, pageCount, kind, lazy, zeroEvery }): WrittenRun => ({
            vaddr: BASE + BigInt(firstPage * PAGE),
            pageCount,
            kind,
            lazy,
            read: async (first, target) => {
              for (let page = 0; page < target.length / PAGE; page++) {
                target.set(contentOf(firstPage + first + page, zeroEvery), page * PAGE);
              }
            },
          }),
        );
        await using writer = await CheckpointWriter.create(output, { mode, jobs: 1 });
        await writer.writeInventory();
        for (const name of ['pstree.img', 'core-5.img', 'mm-5.img']) {
          await writer.copy(join(temp.path, 'frame', name), name);
        }
        const counts = await writer.writePagemap({ file: 'pagemap-5.img', pagesId: 1 }, runs);
        expect(existsSync(output)).toBe(false);
        await writer.commit();

        await using checkpoint = await Checkpoint.open(output);
        const [task] = checkpoint.tasks;
        if (task?.state !== 'alive') throw new Error('no live task');
        const extents = [...task.pagemap.extents()];
        expect(extents.map((extent) => [extent.vaddr, extent.pageCount, extent.kind])).toEqual(
          runs.map(({ vaddr, pageCount, kind }) => [
            vaddr,
            pageCount,
            kind === 'stored' ? 'data' : 'hole',
          ]),
        );
        let pages = 0;
        for (const { firstPage, pageCount, kind, lazy, zeroEvery } of laidOut) {
          const vaddr = BASE + BigInt(firstPage * PAGE);
          const bytes = await checkpoint.readPages(task, vaddr, pageCount);
          const expected = Buffer.concat(
            Array.from({ length: pageCount }, (_, page) =>
              kind === 'stored' ? contentOf(firstPage + page, zeroEvery) : new Uint8Array(PAGE),
            ),
          );
          expect(Buffer.compare(bytes, expected)).toBe(0);
          const extent = extents.find((candidate) => candidate.vaddr === vaddr);
          expect(extent?.lazy).toBe(kind === 'stored' && lazy);
          if (kind === 'stored') pages += pageCount;
        }
        expect(counts.pages).toBe(pages);
      },
    ),
    { numRuns: 40 },
  );
});

it('leaves nothing behind when it is disposed of', async () => {
  {
    await using writer = await CheckpointWriter.create(join(temp.path, 'out'), { jobs: 1 });
    await writer.writeInventory();
    expect(readdirSync(temp.path).length).toBe(2);
  }
  expect(readdirSync(temp.path)).toEqual(['frame']);
});
