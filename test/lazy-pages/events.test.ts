/**
 * What tasks do to their memory while it is missing. Without a fill, so that the figures prove that it
 * was; the target itself checks every page afterwards.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  type DumpedTarget,
  dumpTarget,
  endAll,
  giveOrder,
  resetExchange,
  results,
} from '../support/criu.js';
import { endRestore, endRestores, restoreLazily, sumOfFigures } from '../support/lazy-serving.js';
import { pagerProcess, within } from '../support/process-facts.js';

/** Sizes of the target's regions. */
const MAIN_PAGES = 2048;
const OPS_PAGES = 256;
/** Of these, pages that it never wrote: one in thirteen. */
const stored = (pages: number): number => pages - Math.floor(pages / 13);
/** A resumed task has touched a few pages of its stacks. */
const FEW = 20;

let target: DumpedTarget;

beforeAll(async () => {
  target = await dumpTarget();
});
afterEach(async () => {
  await endRestores();
  resetExchange(target);
});
afterAll(endAll);

/** Restores without a fill, and has the target run a scenario. */
async function run(scenario: string) {
  const restore = await restoreLazily(target, { fill: false });
  const { session } = restore;
  expect(sumOfFigures(session, 'missingPages')).toBeGreaterThan(stored(MAIN_PAGES + OPS_PAGES));
  giveOrder(target, scenario);
  expect(await results(target)).toEqual([expect.stringMatching(/^ok \d+$/)]);
  return restore;
}

describe('memory of every kind', () => {
  for (const scenario of ['sequential', 'random', 'threads']) {
    test(`is right when it is read: ${scenario}`, async () => {
      const restore = await run(scenario);
      const demand = sumOfFigures(restore.session, 'demandPages');
      expect(demand).toBeGreaterThanOrEqual(stored(MAIN_PAGES));
      expect(sumOfFigures(restore.session, 'filledPages')).toBe(0);
      expect(sumOfFigures(restore.session, 'poisonedPages')).toBe(0);
      expect(await endRestore(restore)).toEqual([]);
    });
  }

  test('is all in once the fill is through, and the session ends', async () => {
    const restore = await restoreLazily(target, { fill: true });
    await within(restore.session.finished, 20_000);
    const [task] = restore.session.tasks;
    expect(task?.target.figures()).toMatchObject({ state: 'resident', missingPages: 0 });
    giveOrder(target, 'sequential');
    expect(await results(target)).toEqual([expect.stringMatching(/^ok/)]);
    expect(await endRestore(restore)).toEqual([]);
  });
});

describe('discarded while missing', () => {
  test('by munmap: what is mapped there anew is zero', async () => {
    const restore = await run('munmap');
    const removed = sumOfFigures(restore.session, 'removedPages');
    expect(removed).toBeGreaterThanOrEqual(stored(128) - 1);
    expect(removed).toBeLessThanOrEqual(stored(128) + 1);
    expect(await endRestore(restore)).toEqual([]);
  });

  for (const scenario of ['dontneed', 'free']) {
    test(`by madvise (${scenario}): it reads zero, and its neighbours their bytes`, async () => {
      const restore = await run(scenario);
      const removed = sumOfFigures(restore.session, 'removedPages');
      expect(removed).toBeGreaterThanOrEqual(stored(128) - 1);
      expect(removed).toBeLessThanOrEqual(stored(128) + 1);
      expect(await endRestore(restore)).toEqual([]);
    });
  }
});

describe('mremap while missing', () => {
  for (const scenario of ['grow', 'move']) {
    test(`${scenario}: the bytes come at the new place`, async () => {
      const restore = await run(scenario);
      const demand = sumOfFigures(restore.session, 'demandPages');
      expect(demand).toBeGreaterThanOrEqual(stored(OPS_PAGES));
      expect(sumOfFigures(restore.session, 'removedPages')).toBe(0);
      expect(await endRestore(restore)).toEqual([]);
    });
  }

  test('shrink: the rest comes, what was cut off never does', async () => {
    const restore = await run('shrink');
    const removed = sumOfFigures(restore.session, 'removedPages');
    expect(removed).toBeGreaterThanOrEqual(stored(OPS_PAGES / 2) - 1);
    expect(await endRestore(restore)).toEqual([]);
  });
});

describe('fork while missing', () => {
  test('child and grandchild inherit the bytes, and see none of the others’ writes', async () => {
    const restore = await run('fork');
    const forked = restore.session.tasks.filter((task) => task.forked);
    expect(forked).toHaveLength(2);
    for (const { target: child } of forked) {
      expect(child.figures().dataPages).toBe(restore.session.tasks[0]?.target.figures().dataPages);
      expect(child.figures().demandPages).toBeGreaterThanOrEqual(stored(OPS_PAGES) - FEW);
    }
    expect(await endRestore(restore)).toEqual([]);
  });

  test('eight children that read while their parent does, with the fill running', async () => {
    const restore = await restoreLazily(target, { fill: true });
    giveOrder(target, 'storm');
    expect(await results(target)).toEqual([expect.stringMatching(/^ok/)]);
    await within(restore.session.finished, 20_000);
    expect(sumOfFigures(restore.session, 'poisonedPages')).toBe(0);
    expect(await endRestore(restore)).toEqual([]);
  });

  test('the end of the children is noticed within a second, by nothing but a probe', async () => {
    const restore = await run('fork');
    const forked = restore.session.tasks.filter((task) => task.forked);
    const gone = forked.map((task) => within(task.target.finished, 1_000));
    expect(await Promise.all(gone)).toEqual(['gone', 'gone']);
    expect(await endRestore(restore)).toEqual([]);
  });
});

describe('the end of a task', () => {
  test('by exec is noticed within a second, and its memory let go', async () => {
    const restore = await run('exec');
    const [task] = restore.session.tasks;
    expect(await within(task?.target.finished ?? Promise.reject(), 1_000)).toBe('gone');
    expect(task?.target.figures().missingPages).toBeGreaterThan(stored(MAIN_PAGES));
    expect(await endRestore(restore)).toEqual([]);
  });

  test('by SIGKILL is noticed at once', async () => {
    const restore = await run('idle');
    const [task] = restore.session.tasks;
    process.kill(target.pids[0] ?? 0, 'SIGKILL');
    expect(await within(task?.target.finished ?? Promise.reject(), 500)).toBe('gone');
    await within(restore.session.finished, 1_000);
    expect(await endRestore(restore)).toEqual([]);
  });
});

/** How often the threads of a process have been run after a sleep. */
function wakeUps(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks.reduce((sum, task) => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'latin1');
    return sum + Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1]);
  }, 0);
}

test('an idle pager with nothing missing uses no CPU', async () => {
  const restore = await restoreLazily(target, { fill: true });
  await within(restore.session.finished, 20_000);
  await sleep(500); // the last probe
  const before = wakeUps(pagerProcess(restore.pager.pid, 'thaw-pager'));
  await sleep(1_500);
  expect(wakeUps(pagerProcess(restore.pager.pid, 'thaw-pager'))).toBe(before);
  expect(await endRestore(restore)).toEqual([]);
});
