import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { planRestore } from '../../src/plan/plan-restore.js';
import { arbitraryImage, PID, writeRandomImage } from '../support/image-arbitrary.js';
import { makeTempDirectory } from '../support/image-builder.js';
import { fingerprint, type PageModel, readModel } from '../support/image-model.js';

const PAGE = 4096;
const FIXTURES = join(import.meta.dirname, '../../fixtures');

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

const arbitraryDamage = fc.record({
  layer: fc.nat(),
  file: fc.nat(),
  cut: fc.option(fc.nat(), { freq: 3, nil: undefined }),
  flips: fc.array(fc.tuple(fc.nat(), fc.nat(7)), { minLength: 1, maxLength: 3 }),
});

type Damage = typeof arbitraryDamage extends fc.Arbitrary<infer T> ? T : never;

/** Flips bits of one file of `directory`, or cuts it. */
function damageFile(directory: string, damage: Damage): void {
  const files = readdirSync(directory)
    .filter((name) => name.endsWith('.img'))
    .sort();
  const path = join(directory, files[damage.file % files.length] ?? '');
  const bytes = readFileSync(path);
  if (bytes.length === 0) return;
  if (damage.cut !== undefined) {
    writeFileSync(path, bytes.subarray(0, damage.cut % bytes.length));
    return;
  }
  for (const [position, bit] of damage.flips) {
    const index = position % bytes.length;
    bytes[index] = (bytes[index] ?? 0) ^ (1 << bit);
  }
  writeFileSync(path, bytes);
}

/** All stored pages of a task, or the ThawError that refuses them. */
async function readPid(directory: string, pid: number): Promise<PageModel | ThawError | undefined> {
  try {
    await using checkpoint = await Checkpoint.open(directory);
    planRestore(checkpoint);
    const task = checkpoint.tasks.find((candidate) => candidate.pid === pid);
    if (task?.state !== 'alive') return undefined;
    const pages: PageModel = new Map();
    for await (const { vaddr, pageCount, bytes } of checkpoint.storedRuns(task)) {
      for (let page = 0; page < pageCount; page++) {
        const number = vaddr / BigInt(PAGE) + BigInt(page);
        pages.set(number, bytes.subarray(page * PAGE, (page + 1) * PAGE));
      }
    }
    return pages;
  } catch (error) {
    if (error instanceof ThawError) return error;
    throw error;
  }
}

async function expectRefusedOrExact(directory: string, pid: number): Promise<void> {
  const found = await readPid(directory, pid);
  if (found === undefined) return;
  if (found instanceof ThawError) {
    expect(found.where ?? '').not.toBe('');
    return;
  }
  expect(fingerprint(found)).toEqual(fingerprint(readModel(directory, String(pid))));
}

it('refuses damaged images, or has exactly the bytes that an independent reader has', async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryImage, arbitraryDamage, async (plan, damage) => {
      const root = nextRoot();
      writeRandomImage(root, plan);
      damageFile(join(root, `layer${damage.layer % plan.layers.length}`), damage);
      await expectRefusedOrExact(join(root, 'layer0'), PID);
    }),
    { numRuns: 80 },
  );
});

it.each(['ok-lz4-page', 'ok-lz4-region', 'ok-version-1'])('does so for %s', async (name) => {
  await fc.assert(
    fc.asyncProperty(arbitraryDamage, async (damage) => {
      const directory = join(nextRoot(), 'image');
      cpSync(join(FIXTURES, 'malformed', name), directory, { recursive: true });
      damageFile(directory, damage);
      await expectRefusedOrExact(directory, 31001);
    }),
    { numRuns: 30 },
  );
});
