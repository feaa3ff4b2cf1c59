/**
 * The inputs that fuzzing starts from (native/fuzz/plan_fuzz.cc): plans of fixtures as they are
 * encoded today, with the blocks behind. UPDATE_FUZZ_CORPUS=1 writes them anew.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { packImage } from '../../src/pack/pack-image.js';
import { encodePlan } from '../../src/plan/plan-columns.js';
import { planRestore } from '../../src/plan/plan-restore.js';
import { fixturePath, removeTemporary, temporaryDirectory } from '../support/restore-fixtures.js';

const CORPUS = fileURLToPath(new URL('../../native/fuzz/corpus/', import.meta.url));

interface Seed {
  readonly name: string;
  readonly fixture: string;
  readonly withPages: boolean;
  readonly checksums?: true;
}

/** Raw pages without checksums are never looked at: such plans do without their pages image. */
const SEEDS: readonly Seed[] = [
  { name: 'raw', fixture: 'malformed/ok-plain', withPages: false },
  { name: 'empty', fixture: 'malformed/ok-no-entries', withPages: false },
  { name: 'chain', fixture: 'pattern-parent-chain/top', withPages: false },
  { name: 'lz4-page', fixture: 'malformed/ok-lz4-page', withPages: true },
  { name: 'lz4-region', fixture: 'malformed/ok-lz4-region', withPages: true },
  { name: 'checksums', fixture: 'malformed/ok-plain', withPages: true, checksums: true },
];

async function makeSeed({ fixture, withPages, checksums }: Seed): Promise<Buffer> {
  let image = fixturePath(fixture);
  if (checksums) {
    image = join(temporaryDirectory(), 'packed');
    await packImage(fixturePath(fixture), image, { checksums, jobs: 1 });
  }
  await using checkpoint = await Checkpoint.open(image);
  const plan = planRestore(checkpoint);
  const [task] = plan.tasks;
  if (task === undefined) throw new Error(`no task in ${fixture}`);
  const pages = withPages ? plan.sources.map(({ path }) => readFileSync(path)) : [];
  return Buffer.concat([encodePlan(task), ...pages]);
}

afterEach(removeTemporary);

beforeAll(async () => {
  if (process.env.UPDATE_FUZZ_CORPUS !== '1') return;
  mkdirSync(CORPUS, { recursive: true });
  for (const seed of SEEDS) writeFileSync(`${CORPUS}${seed.name}`, await makeSeed(seed));
});

it.each(SEEDS)('$name is the plan of its fixture', async (seed) => {
  const bytes = readFileSync(`${CORPUS}${seed.name}`);
  expect(bytes.equals(await makeSeed(seed)), 'run it with UPDATE_FUZZ_CORPUS=1').toBe(true);
});

it('has no other inputs', () => {
  expect(readdirSync(CORPUS).sort()).toEqual(SEEDS.map(({ name }) => name).sort());
});
