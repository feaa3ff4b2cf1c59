/** Restores into hosts of every form of image, touched in an order that a seed decides. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Restoration, RestoredTask } from '../../src/restore/restoration.js';
import { within } from './process-facts.js';
import { type ExpectedTask, readExpected } from './restore-fixtures.js';
import { differences, readStored, taskOf } from './restore-targets.js';
import type { SeededRandom } from './seeded-random.js';

/** Fixtures of every form, plain and LZ4. */
export const FORMS: readonly string[] = [
  ...['pattern', 'family', 'redis', 'pattern-legacy', 'pattern-parent-chain/top'],
  ...['pattern-lz4-page', 'pattern-lz4-region'],
];

/** Pages that were compared, and the longest that a thread of a host waited for one. */
export interface Touched {
  pages: number;
  longestWaitNs: number;
}

/**
 * Touches every stored page of a restored fixture once, some at a time in any order, tasks at the same
 * time. Resolves to what differs from `expected.json`: an empty list when all is well.
 */
export async function touchInAnyOrder(
  restoration: Restoration,
  fixture: string,
  random: SeededRandom,
  touched: Touched = { pages: 0, longestWaitNs: 0 },
): Promise<string[]> {
  const tasks = readExpected(fixture).tasks.map((expected) =>
    touchTask(taskOf(restoration, expected), expected, random.split(), touched),
  );
  return (await Promise.all(tasks)).flat();
}

async function touchTask(
  restored: RestoredTask,
  expected: ExpectedTask,
  random: SeededRandom,
  touched: Touched,
): Promise<string[]> {
  const wrong: string[] = [];
  const left = random.shuffled([...expected.stored]);
  const mostAtATime = 1 + random.below(60);
  while (left.length > 0) {
    const stored = new Map(left.splice(0, 1 + random.below(mostAtATime)));
    const threads = 1 + random.below(4);
    const onLatencies = (latencyNs: Uint32Array): void => {
      touched.longestWaitNs = Math.max(touched.longestWaitNs, ...latencyNs);
    };
    const found = readStored(restored, { ...expected, stored }, { threads, onLatencies });
    wrong.push(...differences(await within(found), stored));
    touched.pages += stored.size;
    await sleep(random.below(4));
  }
  return wrong;
}
