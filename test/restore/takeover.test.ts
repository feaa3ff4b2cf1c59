/** Killed processes of the pager, while it restores: targets wait, and then go on with right bytes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Restoration } from '../../src/restore/restoration.js';
import type { Pager } from '../../src/servicer/pager.js';
import { ROLES, type Role, replaceProcess, wholeAgain } from '../support/pager-kills.js';
import {
  findPagerProcess,
  groupOf,
  openDescriptors,
  pagerProcess,
  runningComm,
  until,
  within,
} from '../support/process-facts.js';
import { readExpected } from '../support/restore-fixtures.js';
import {
  begin,
  differences,
  endTargets,
  noteChildren,
  readStored,
  startPager,
  taskOf,
} from '../support/restore-targets.js';

beforeEach(noteChildren);
afterEach(endTargets);

/** Kills one process of a pager, and waits until there is another. */
async function replace(pager: Pager, role: Role): Promise<void> {
  const { takeovers } = pager;
  await replaceProcess(pager.pid, role);
  if (role === 'thaw-pager') await until('a takeover', () => pager.takeovers > takeovers);
}

async function expectContents(restoration: Restoration, fixture: string): Promise<void> {
  for (const expected of readExpected(fixture).tasks) {
    const found = await within(readStored(taskOf(restoration, expected), expected, { threads: 4 }));
    expect(differences(found, expected.stored)).toEqual([]);
  }
}

describe('a killed process of the pager', () => {
  it.each(ROLES)('%s: is replaced, and pages come in as before', async (role) => {
    const pager = await startPager();
    const restoration = await begin('family', { pager, fill: false });
    await wholeAgain(pager.pid);
    await replace(pager, role);
    expect(pager.takeovers).toBe(role === 'thaw-pager' ? 1 : 0);
    await expectContents(restoration, 'family');
    await restoration.fill();
    await within(restoration.resident);
  });

  it('is replaced again and again, in every order', async () => {
    const pager = await startPager();
    const restoration = await begin('family', { pager, fill: false });
    await wholeAgain(pager.pid);
    for (const first of ROLES)
      for (const second of ROLES)
        for (const role of [first, second]) {
          await replace(pager, role);
        }
    await expectContents(restoration, 'family');
  });

  it('is told, once each', async () => {
    const pager = await startPager();
    await wholeAgain(pager.pid);
    const told: number[] = [];
    pager.on('takeover', (count) => told.push(count));
    for (let i = 0; i < 3; i++) await replace(pager, 'thaw-pager');
    await until('three messages', () => told.length === 3);
    expect(told).toEqual([1, 2, 3]);
  });

  it('leaves no descriptor behind', async () => {
    const pager = await startPager();
    const restoration = await begin('pattern', { pager, fill: false });
    const open = (): string[] => openDescriptors(pagerProcess(pager.pid, 'thaw-keeper')).sort();
    await wholeAgain(pager.pid);
    await replace(pager, 'thaw-pager');
    const before = open().map((name) => name.replace(/\d+/g, ''));
    for (let i = 0; i < 5; i++) for (const role of ROLES) await replace(pager, role);
    await replace(pager, 'thaw-pager');
    expect(open().map((name) => name.replace(/\d+/g, ''))).toEqual(before);
    await expectContents(restoration, 'pattern');
  });

  it('does not keep the pager from ending', async () => {
    const pager = await startPager();
    await wholeAgain(pager.pid);
    for (const role of ROLES) await replace(pager, role);
    const processes = groupOf(pager.pid);
    expect(processes).toHaveLength(3);
    await within(pager.close());
    await until('the end of all', () => groupOf(pager.pid).length === 0);
  });

  it('does not keep the pager from ending, even before anybody heard of it', async () => {
    const pager = await startPager();
    await wholeAgain(pager.pid);
    const keeper = pagerProcess(pager.pid, 'thaw-keeper');
    const standby = pagerProcess(pager.pid, 'thaw-standby');
    process.kill(keeper, 'SIGKILL');
    // The event loop, which would tell of the killed child, has no turn.
    while (findPagerProcess(pager.pid, 'thaw-keeper') !== standby);
    const worker = pagerProcess(pager.pid, 'thaw-pager');
    process.kill(worker, 'SIGSTOP');
    setTimeout(() => process.kill(worker, 'SIGCONT'), 50);
    await within(pager.close());
    await until('the end of all', () => groupOf(pager.pid).length === 0);
  });

  it('does not keep the pager from ending with the last of its processes', async () => {
    const pager = await startPager();
    await wholeAgain(pager.pid);
    await replace(pager, 'thaw-keeper');
    const keeper = pagerProcess(pager.pid, 'thaw-keeper');
    process.kill(keeper, 'SIGSTOP');
    try {
      let closed = false;
      const closing = pager.close().then(() => {
        closed = true;
      });
      await until(
        'the worker’s end',
        () => findPagerProcess(pager.pid, 'thaw-pager') === undefined,
      );
      await sleep(100);
      expect(closed).toBe(false);
      process.kill(keeper, 'SIGCONT');
      await within(closing);
    } finally {
      if (runningComm(keeper)) process.kill(keeper, 'SIGCONT');
    }
  });

  it('forgets no request: prefetches and looks at figures are done by the next', async () => {
    const pager = await startPager();
    const restoration = await begin('pattern', { pager, fill: false });
    await wholeAgain(pager.pid);
    const [{ target, plan }] = restoration.tasks as [Restoration['tasks'][number]];
    if (target === undefined) throw new Error('no target');
    const worker = pagerProcess(pager.pid, 'thaw-pager');
    process.kill(worker, 'SIGSTOP');
    const asked = [
      target.prefetch(plan.regions.start[5] ?? 0n, plan.regions.end[5] ?? 0n),
      target.settle(),
    ];
    process.kill(worker, 'SIGKILL');
    await within(Promise.all(asked));
    await restoration.fill();
    await within(restoration.resident);
    await expectContents(restoration, 'pattern');
  });
});

it('SIGTERM to any of its processes ends the pager', async () => {
  for (const role of ROLES) {
    const pager = await startPager();
    await wholeAgain(pager.pid);
    const lost = new Promise((resolve) => pager.once('lost', resolve));
    process.kill(pagerProcess(pager.pid, role), 'SIGTERM');
    expect(await within(lost)).toMatchObject({ code: 'PAGER_LOST' });
    await until('the end of all', () => groupOf(pager.pid).length === 0);
  }
});
