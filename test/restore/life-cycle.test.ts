/** What ends when something ends: hosts, the pager, the process that restores. */
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Restoration } from '../../src/restore/restoration.js';
import { restore } from '../../src/restore/restore.js';
import { Pager } from '../../src/servicer/pager.js';
import {
  childrenOf,
  openDescriptors,
  runningComm,
  until,
  within,
} from '../support/process-facts.js';
import { builtModule, endScripts, Script } from '../support/process-script.js';
import { fixturePath, readExpected, touchablePagesOf } from '../support/restore-fixtures.js';
import {
  begin,
  differences,
  endTargets,
  noteChildren,
  readStored,
  startPager,
  taskOf,
  touchPages,
} from '../support/restore-targets.js';

beforeEach(noteChildren);
afterEach(endTargets);
afterEach(endScripts);

const family = readExpected('family');
const SEQUENTIAL = { kind: 'sequential' } as const;

function hostPids(restoration: Restoration): number[] {
  return restoration.tasks.map(({ host }) => host.pid);
}

function pagerPid(): number {
  const pids = childrenOf(process.pid).filter((pid) => runningComm(pid) === 'thaw-keeper');
  expect(pids).toHaveLength(1);
  return pids[0] ?? -1;
}

async function allGone(pids: readonly number[]): Promise<void> {
  await until(
    'hosts and pager end',
    () => pids.every((pid) => runningComm(pid) === undefined),
    2_000,
  );
}

describe('the end of the process that restored', () => {
  it.each([
    ['right after', 'true', ''],
    ['with pages missing', 'false', ''],
    ['while its hosts wait for pages', 'false', 'restoration.touch({ kind: "sequential" });'],
  ])('%s ends its hosts and its pager', async (_, fill, more) => {
    const script = new Script(`
      import { restore } from ${builtModule('restore/restore.js')};
      import { Pager } from ${builtModule('servicer/pager.js')};
      const pager = await Pager.start();
      const image = ${JSON.stringify(fixturePath('family'))};
      const restoration = await restore(image, { pager, fill: ${fill} });
      if (${more !== ''}) process.kill(-pager.pid, 'SIGSTOP');
      ${more}
      const hosts = restoration.tasks.map(({ host }) => host.pid);
      console.log(JSON.stringify([pager.pid, ...hosts]));
      setInterval(() => {}, 1000);
    `);
    const pids = (await script.next()) as number[];
    expect(pids.map((pid) => runningComm(pid))).toEqual([
      'thaw-keeper',
      ...family.tasks.map(() => 'thaw-host'),
    ]);
    await script.kill();
    // A stopped pager ends once it goes on.
    if (more !== '') process.kill(-(pids[0] as number), 'SIGCONT');
    await allGone(pids);
  });

  it('does not wait for a restoration that nobody waits for', async () => {
    const script = new Script(`
      import { restore } from ${builtModule('restore/restore.js')};
      const restoration = await restore(${JSON.stringify(fixturePath('pattern'))});
      await restoration.close();
      console.log('1');
    `);
    expect(await script.next()).toBe(1);
    expect(await script.exited(2_000)).toBe(0);
    expect(script.errors).toBe('');
  });
});

describe('the end of a host', () => {
  it('is told at once, and the others go on', async () => {
    const restoration = await begin('family', { fill: false });
    const [victim, ...others] = restoration.tasks;
    process.kill(victim?.host.pid ?? -1, 'SIGKILL');
    await expect(within(restoration.resident)).rejects.toMatchObject({ code: 'HOST_LOST' });
    expect(victim?.target?.figures().state).toBe('gone');
    await restoration.fill();
    for (const { target } of others)
      expect(await within(target?.finished ?? Promise.reject())).toBe('resident');
    for (const expected of family.tasks.slice(1)) {
      const found = await within(readStored(taskOf(restoration, expected), expected));
      expect(differences(found, expected.stored)).toEqual([]);
    }
    await expect(within(restoration.touch(SEQUENTIAL))).rejects.toMatchObject({
      code: 'HOST_LOST',
    });
  });

  it('is a loss', async () => {
    const restoration = await begin('family', { fill: false });
    const loss = restoration.loss();
    process.kill(hostPids(restoration)[1] ?? -1, 'SIGKILL');
    await expect(within(loss)).rejects.toMatchObject({ code: 'HOST_LOST' });
  });

  it('ends a touch that waits for a page', async () => {
    const pager = await startPager();
    const restoration = await begin('pattern', { pager, fill: false });
    process.kill(-pager.pid, 'SIGSTOP');
    try {
      const touching = restoration.touch(SEQUENTIAL, { threads: 4 });
      touching.catch(() => {});
      for (const pid of hostPids(restoration)) process.kill(pid, 'SIGKILL');
      await expect(within(touching)).rejects.toMatchObject({ code: 'HOST_LOST' });
    } finally {
      process.kill(-pager.pid, 'SIGCONT');
    }
  });
});

describe('the end of the pager', () => {
  it('is an error of everything that needs it, and close() still ends the hosts', async () => {
    const restoration = await begin('family', { fill: false });
    const pids = hostPids(restoration);
    process.kill(-pagerPid(), 'SIGKILL');
    const lost = expect.objectContaining({ code: 'PAGER_LOST' });
    await expect(within(restoration.resident)).rejects.toEqual(lost);
    await expect(within(restoration.fill())).rejects.toEqual(lost);
    await expect(within(restoration.touch(SEQUENTIAL))).rejects.toEqual(lost);
    await expect(within(restoration.verify())).rejects.toEqual(lost);
    expect(restoration.figures()[0]?.dataPages).toBeGreaterThan(0);
    await within(restoration.close());
    await allGone(pids);
  });

  it('ends a touch and a prefetch that wait for a page', async () => {
    const restoration = await begin('pattern', { fill: false });
    const pid = pagerPid();
    process.kill(-pid, 'SIGSTOP');
    const touching = restoration.touch(SEQUENTIAL);
    const [{ target, plan }] = restoration.tasks as [Restoration['tasks'][number]];
    const prefetching = target?.prefetch(plan.regions.start[5] ?? 0n, plan.regions.end[5] ?? 0n);
    prefetching?.catch(() => {});
    process.kill(-pid, 'SIGKILL');
    const lost = expect.objectContaining({ code: 'PAGER_LOST' });
    await expect(within(touching)).rejects.toEqual(lost);
    await expect(within(prefetching ?? Promise.resolve())).rejects.toEqual(lost);
  });

  it('is a loss, also where its owner closes it, as long as pages are missing', async () => {
    const pager = await startPager();
    const missing = await begin('pattern', { pager, fill: false });
    const resident = await begin('pattern', { pager });
    await within(resident.resident);
    const lost = vi.fn();
    resident.loss().catch(lost);
    const told = expect(within(missing.loss())).rejects.toMatchObject({ code: 'PAGER_LOST' });
    await pager.close();
    await told;
    expect(lost).not.toHaveBeenCalled();
  });

  it('does not matter to what is resident', async () => {
    const restoration = await begin('family');
    await within(restoration.resident);
    process.kill(-pagerPid(), 'SIGKILL');
    const verified = await within(restoration.verify());
    expect(verified.tasks.map(({ mismatched }) => mismatched)).toEqual([0, 0, 0]);
  });

  it('is told to those who share it, and does not keep them from closing', async () => {
    const pager = await Pager.start();
    const lost = new Promise((resolve) => pager.once('lost', resolve));
    const both = [
      await begin('pattern', { pager, fill: false }),
      await begin('family', { pager, fill: false }),
    ];
    process.kill(-pager.pid, 'SIGKILL');
    expect(await within(lost)).toMatchObject({ code: 'PAGER_LOST' });
    const pids = both.flatMap(hostPids);
    for (const restoration of both) await within(restoration.close());
    await allGone(pids);
    await pager.close();
  });
});

describe('the end of the thread that restored', () => {
  it.each([
    ['terminate()', 'worker.terminate()'],
    ['process.exit()', "worker.postMessage('exit')"],
    ['close() and process.exit()', "worker.postMessage('close')"],
  ])('by %s ends its hosts and its pager, and leaves nothing of them', async (_, end) => {
    const thread = `
      import { parentPort } from 'node:worker_threads';
      import { restore } from ${builtModule('restore/restore.js')};
      const image = ${JSON.stringify(fixturePath('family'))};
      const restoration = await restore(image, { fill: false });
      parentPort.once('message', async (end) => {
        if (end === 'close') await restoration.close();
        process.exit();
      });
      parentPort.postMessage(restoration.tasks.map(({ host }) => host.pid));`;
    const script = new Script(`
      import { existsSync, readdirSync, readFileSync } from 'node:fs';
      import { once } from 'node:events';
      import { Worker } from 'node:worker_threads';
      const descriptors = [];
      for (let round = 0; round < 3; round++) {
        const worker = new Worker(${JSON.stringify(thread)}, { eval: true });
        const exited = once(worker, 'exit');
        const [hosts] = await once(worker, 'message');
        const threads = readdirSync('/proc/self/task');
        const children = threads.flatMap((thread) =>
          readFileSync('/proc/self/task/' + thread + '/children', 'latin1').trim().split(' '));
        if (!hosts.every((pid) => children.includes(String(pid)))) throw new Error('no hosts');
        ${end};
        await exited;
        const left = () => children.filter((pid) => pid !== '' && existsSync('/proc/' + pid));
        for (let i = 0; i < 400 && left().length > 0; i++) await new Promise((r) => setTimeout(r, 5));
        if (left().length > 0) throw new Error('left: ' + left());
        descriptors.push(readdirSync('/proc/self/fd').length);
      }
      console.log(JSON.stringify(descriptors));`);
    const [first, ...others] = (await script.next()) as number[];
    expect(others).toEqual([first, first]);
    expect(script.errors).toBe('');
  });
});

describe('close', () => {
  it('may be called again, at the same time or later', async () => {
    const restoration = await begin('pattern');
    const pids = [...hostPids(restoration), pagerPid()];
    await within(Promise.all([restoration.close(), restoration.close()]));
    expect(pids.map((pid) => runningComm(pid))).toEqual([undefined, undefined]);
    await within(restoration.close());
  });

  it('of a pager may be called again, at the same time or later', async () => {
    const pager = await Pager.start();
    await within(Promise.all([pager.close(), pager.close()]));
    await within(pager.close());
  });

  it('settles what waits, with a pager of its own', async () => {
    const restoration = await begin('pattern', { fill: false });
    const { resident } = restoration;
    await restoration.close();
    await expect(within(resident)).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('settles what waits, with a pager that goes on', async () => {
    const pager = await startPager();
    const restoration = await begin('pattern', { pager, fill: false });
    const { resident } = restoration;
    await restoration.close();
    await expect(within(resident)).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('ends a touch that waits for a page', async () => {
    const pager = await startPager();
    const restoration = await begin('pattern', { pager, fill: false });
    process.kill(-pager.pid, 'SIGSTOP');
    const touching = restoration.touch(SEQUENTIAL);
    touching.catch(() => {});
    const closing = restoration.close();
    await expect(within(touching)).rejects.toMatchObject({ code: 'ABORTED' });
    process.kill(-pager.pid, 'SIGCONT');
    await within(closing);
  });

  it('is no loss', async () => {
    const restoration = await begin('pattern', { fill: false });
    const lost = vi.fn();
    restoration.loss().catch(lost);
    await within(restoration.close());
    await setImmediate();
    expect(lost).not.toHaveBeenCalled();
  });

  it('leaves the last figures to be read', async () => {
    const restoration = await begin('pattern');
    await within(restoration.resident);
    // Pages only: a thread that was reading when another brought the last page counts that later.
    const pages = () => {
      const [figures] = restoration.figures();
      if (figures === undefined) throw new Error('no figures');
      const { state, dataPages, missingPages, demandPages, filledPages } = figures;
      return { state, dataPages, missingPages, installed: demandPages + filledPages };
    };
    const before = pages();
    expect(before.dataPages).toBeGreaterThan(0);
    const { dataPages } = before;
    expect(before).toEqual({ state: 'resident', dataPages, missingPages: 0, installed: dataPages });
    await restoration.close();
    expect(pages()).toEqual(before);
  });
});

/** A signal that is aborted from then on that it was looked at so many times. */
function abortedAfter(looks: number): AbortSignal {
  let looked = 0;
  return {
    get aborted() {
      return looked++ >= looks;
    },
  } as AbortSignal;
}

describe('an aborted restore', () => {
  it('rejects with ABORTED before it has begun, and at its very end', async () => {
    const before = AbortSignal.abort();
    await expect(within(begin('pattern', { signal: before }))).rejects.toMatchObject({
      code: 'ABORTED',
    });
    // One task: the second look comes when all of it stands.
    await expect(within(begin('pattern', { signal: abortedAfter(1) }))).rejects.toMatchObject({
      code: 'ABORTED',
    });
    expect(childrenOf(process.pid).map((pid) => runningComm(pid))).not.toContain('thaw-host');
  });

  it('ends what it began: descriptors and processes', async () => {
    await begin('family').then((restoration) => restoration.close());
    const before = openDescriptors().length;
    const aborted = within(begin('family', { signal: abortedAfter(2) }));
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    expect(openDescriptors()).toHaveLength(before);
  });
});

describe('touches', () => {
  it('at the same time are answered each with its own', async () => {
    const restoration = await begin('family', { fill: false });
    const [expected] = family.tasks as [(typeof family.tasks)[number]];
    const pages = touchablePagesOf(expected);
    const restored = taskOf(restoration, expected);
    const parts = [0, 1, 2, 3].map((part) => pages.filter((_, i) => i % 4 === part));
    const answers = await within(Promise.all(parts.map((part) => touchPages(restored, part))));
    for (const [i, part] of parts.entries()) {
      expect(answers[i]).toEqual(part.map((vaddr) => expected.stored.get(vaddr)));
    }
  });
});

describe('restores one after the other', () => {
  it('leave neither descriptors nor processes behind', async () => {
    const run = async (): Promise<void> => {
      const restoration = await restore(fixturePath('pattern'));
      await within(restoration.resident);
      await restoration.close();
    };
    await run();
    const descriptors = openDescriptors().sort();
    const children = childrenOf(process.pid);
    for (let round = 0; round < 20; round++) await run();
    expect(openDescriptors().sort()).toEqual(descriptors);
    expect(childrenOf(process.pid)).toEqual(children);
  });

  it('leave no descriptor in a pager that they share', async () => {
    const pager = await startPager();
    const run = async (): Promise<void> => {
      const restoration = await begin('pattern', { pager });
      await within(restoration.resident);
      await restoration.close();
    };
    // Targets are let go of soon after they are dropped.
    const idle = async (): Promise<string[]> => {
      const open = (): string[] => openDescriptors(pager.pid).sort();
      const ofTargets = /thaw-plan|\/pages-\d+\.img/;
      await until('no plan, no pages', () => !open().some((name) => ofTargets.test(name)));
      return open();
    };
    await run();
    const before = await idle();
    for (let round = 0; round < 10; round++) await run();
    expect(await idle()).toEqual(before);
  });
});
