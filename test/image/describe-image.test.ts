import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { describeImage, type ImageDescription } from '../../src/image/describe-image.js';
import { planRestore } from '../../src/plan/plan-restore.js';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
const PAGE = 4096;

it.each([
  'pattern',
  'pattern-legacy',
  'pattern-parent-chain/top',
  'pattern-lz4-page',
  'pattern-lz4-region',
  'family',
  'redis',
])('describes %s as the plan has it', async (name) => {
  await using checkpoint = await Checkpoint.open(join(FIXTURES, name));
  const description = describeImage(checkpoint, { extents: true });
  expect(JSON.parse(JSON.stringify(description))).toEqual(description);
  const plan = planRestore(checkpoint);
  const live = description.tasks.filter(({ state }) => state === 'alive');
  for (const [index, { bytes, vmas }] of live.entries()) {
    const totals = plan.tasks[index]?.totals;
    expect(bytes?.lazy).toBe((totals?.dataPages ?? 0) * PAGE);
    expect(bytes?.eager).toBe((totals?.eagerPages ?? 0) * PAGE);
    expect(bytes?.hole).toBe((totals?.holePages ?? 0) * PAGE);
    expect(bytes?.data).toBe((totals?.pages ?? 0) * PAGE);
    expect(vmas.reduce((sum, { stored }) => sum + stored, 0)).toBe(bytes?.data);
  }
});

async function describeFixture(name: string): Promise<ImageDescription> {
  await using checkpoint = await Checkpoint.open(join(FIXTURES, name));
  return describeImage(checkpoint);
}

it('tells what parents hold', async () => {
  const expected = JSON.parse(
    readFileSync(join(FIXTURES, 'pattern-parent-chain/top/expected.json'), 'utf8'),
  );
  const { tasks, parents } = await describeFixture('pattern-parent-chain/top');
  expect(parents.length).toBe(2);
  const inParent = expected.tasks[0].extents
    .filter(({ layer }: { layer: number }) => layer > 0)
    .reduce((sum: number, extent: { nr_pages: number }) => sum + extent.nr_pages, 0);
  expect(tasks[0]?.bytes?.inParent).toBe(inParent * PAGE);
  expect(tasks[0]?.bytes?.compressionRatio).toBe(1);
});

it('tells how far pages are compressed', async () => {
  const { tasks, shared } = await describeFixture('pattern-lz4-page');
  expect(tasks[0]?.bytes?.compressionRatio).toBeCloseTo((381 * PAGE) / 670837);
  expect(shared[0]?.bytes.compressionRatio).toBeCloseTo((21 * PAGE) / 25313);
});

it('has zombies without memory', async () => {
  const { tasks } = await describeFixture('family');
  const dead = tasks.find(({ state }) => state === 'dead');
  expect(dead).toMatchObject({ pid: 31105, comm: 'family', threads: [], vmas: [], bytes: null });
});
