import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Checkpoint } from '../../src/image/checkpoint.js';
import type { LiveTask } from '../../src/image/task.js';
import { arbitraryImage, BASE, PID, writeRandomImage } from '../support/image-arbitrary.js';
import { makeTempDirectory } from '../support/image-builder.js';
import { fingerprint, readModel } from '../support/image-model.js';

const PAGE = 4096;

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

function taskOf(checkpoint: Checkpoint): LiveTask {
  const task = checkpoint.tasks[0];
  if (task?.state !== 'alive') throw new Error('no live task');
  return task;
}

it('reads every form and every chain as the independent reader does', async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryImage, async (plan) => {
      const { directory, pages } = writeRandomImage(nextRoot(), plan);
      expect(fingerprint(readModel(directory, String(PID)))).toEqual(fingerprint(pages));
      await using checkpoint = await Checkpoint.open(directory);
      const found = new Map<bigint, Uint8Array>();
      for await (const { vaddr, pageCount, bytes } of checkpoint.storedRuns(taskOf(checkpoint))) {
        for (let page = 0; page < pageCount; page++) {
          const number = vaddr / BigInt(PAGE) + BigInt(page);
          expect(found.has(number)).toBe(false);
          found.set(number, bytes.subarray(page * PAGE, (page + 1) * PAGE));
        }
      }
      expect(fingerprint(found)).toEqual(fingerprint(pages));
    }),
    { numRuns: 40 },
  );
});

it('reads any range: stored pages, and zeros between them', async () => {
  await fc.assert(
    fc.asyncProperty(
      arbitraryImage,
      fc.array(fc.tuple(fc.nat(60), fc.nat(60)), { minLength: 4, maxLength: 4 }),
      async (plan, ranges) => {
        const { directory, pages } = writeRandomImage(nextRoot(), plan);
        await using checkpoint = await Checkpoint.open(directory);
        await Promise.all(
          ranges.map(async ([first, pageCount]) => {
            const vaddr = BASE + BigInt(first * PAGE);
            const bytes = await checkpoint.readPages(taskOf(checkpoint), vaddr, pageCount);
            const expected = new Uint8Array(pageCount * PAGE);
            for (let page = 0; page < pageCount; page++) {
              const stored = pages.get(vaddr / BigInt(PAGE) + BigInt(page));
              if (stored !== undefined) expected.set(stored, page * PAGE);
            }
            expect(Buffer.compare(bytes, expected)).toBe(0);
          }),
        );
      },
    ),
    { numRuns: 40 },
  );
});
