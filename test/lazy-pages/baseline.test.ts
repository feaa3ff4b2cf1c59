/** That CRIU itself works on this machine: what the other tests of this folder stand on. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import {
  criuPath,
  type DumpedTarget,
  dumpTarget,
  endAll,
  endStarted,
  endTasks,
  errorsIn,
  giveOrder,
  resetExchange,
  restoreWithCriu,
  results,
  startProcess,
} from '../support/criu.js';
import { within } from '../support/process-facts.js';

let target: DumpedTarget;

beforeAll(async () => {
  target = await dumpTarget(5);
});
afterEach(() => {
  endStarted();
  resetExchange(target);
});
afterAll(endAll);

test('CRIU dumps our target and restores it', async () => {
  expect(errorsIn(join(target.image, 'dump.log'))).toEqual([]);
  const restored = restoreWithCriu(target.image);
  giveOrder(target, 'sequential');
  for (const result of await results(target, 5)) expect(result).toMatch(/^ok \d+$/);
  await endTasks(target.pids, restored);
  expect(errorsIn(join(target.image, 'restore.log'))).toEqual([]);
});

test("CRIU restores it through CRIU's own lazy-pages daemon", async () => {
  const args = ['lazy-pages', '-D', target.image, '-o', 'lazy.log', '-v4'];
  const daemon = startProcess(criuPath(), args);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const restored = restoreWithCriu(target.image, { lazy: true });
  giveOrder(target, 'random');
  for (const result of await results(target, 5)) expect(result).toMatch(/^ok \d+$/);
  expect(await within(daemon.ended, 30_000)).toBe(0);
  await endTasks(target.pids, restored);
  expect(errorsIn(join(target.image, 'restore.log'))).toEqual([]);
});
