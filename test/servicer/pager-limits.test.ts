/** A pager that runs out of descriptors or memory: it says so, and goes on for all others. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ThawError } from '../../src/errors.js';
import type { Pager } from '../../src/servicer/pager.js';
import type { PagerTarget } from '../../src/servicer/pager-target.js';
import {
  groupOf,
  openDescriptors,
  pagerProcess,
  runningComm,
  until,
  within,
} from '../support/process-facts.js';
import { removeTemporary } from '../support/restore-fixtures.js';
import { makeMemory, type OwnMemory, releaseMemory } from '../support/restore-own-memory.js';
import { endTargets, noteChildren, startPager } from '../support/restore-targets.js';

const PAGES = 24;

beforeEach(noteChildren);
afterEach(async () => {
  await releaseMemory();
  await endTargets();
  removeTemporary();
});

interface Served {
  readonly memory: OwnMemory;
  readonly target: PagerTarget;
}

/** Sets the soft limit (an option of prlimit(1)) of all of a pager's processes. */
function limit(pager: Pager, option: string, value: number): void {
  for (const pid of groupOf(pager.pid)) {
    try {
      execFileSync('prlimit', ['--pid', String(pid), `--${option}=${value}:`], { stdio: 'pipe' });
    } catch (error) {
      if (runningComm(pid) !== undefined) throw error; // otherwise it has died meanwhile
    }
  }
}

async function add(pager: Pager): Promise<Served> {
  const memory = makeMemory(PAGES);
  const { uffd, plan, sources } = memory;
  return { memory, target: await pager.add({ uffd: uffd.fd, plan, sources }) };
}

/** Adds targets until the pager says no. */
async function addUntilRefused(pager: Pager, most: number): Promise<[Served[], ThawError]> {
  const served: Served[] = [];
  while (served.length < most) {
    try {
      served.push(await within(add(pager)));
    } catch (error) {
      return [served, error as ThawError];
    }
  }
  throw new Error(`${most} targets, and nothing was refused`);
}

async function expectContents({ memory, target }: Served): Promise<void> {
  const { bytes, mapping } = memory;
  const found = await within(mapping.read(0, 2 * bytes.length));
  expect(Buffer.compare(found.subarray(0, bytes.length), bytes)).toBe(0);
  expect(await within(target.finished)).toBe('resident');
}

/** A pager whose worker has all the memory that its threads need. */
async function startWarmPager(): Promise<Pager> {
  const pager = await startPager();
  const faulted = await add(pager);
  await expectContents(faulted);
  const filled = await add(pager);
  await filled.target.fill();
  await expectContents(filled);
  return pager;
}

async function replaceWorker(pager: Pager): Promise<void> {
  const { takeovers } = pager;
  process.kill(pagerProcess(pager.pid, 'thaw-pager'), 'SIGKILL');
  await until('a takeover', () => pager.takeovers > takeovers);
}

it('refuses targets when it has no descriptor left, and goes on', async () => {
  const pager = await startPager();
  const [first] = [await add(pager)];
  const open = openDescriptors(pager.pid).length;
  limit(pager, 'nofile', open + 30);
  const [served, error] = await addUntilRefused(pager, 20);
  expect(error).toMatchObject({ code: 'PAGER_REFUSED', found: 'EMFILE' });
  expect(error.message).toMatch(/it has no descriptor left: .* limit of open files/);
  expect(served.length).toBeGreaterThan(5);
  // Also where another worker has to take over.
  await replaceWorker(pager);
  await expect(add(pager)).rejects.toMatchObject({ code: 'PAGER_REFUSED' });
  for (const one of [first, ...served.slice(1)]) await expectContents(one as Served);
  // What they had is there for others.
  const later = await add(pager);
  await later.target.fill();
  await expectContents(later);
  await expectContents(served[0] as Served);
});

/** Bytes of address space that a process has. */
function addressBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmSize:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

it.each([0, 64])(
  'refuses targets when %d KiB of memory are left to it, and goes on',
  async (kib) => {
    const pager = await startWarmPager();
    const first = await add(pager);
    const worker = pagerProcess(pager.pid, 'thaw-pager');
    limit(pager, 'as', addressBytes(worker) + kib * 1024);
    const [served, error] = await addUntilRefused(pager, 200);
    expect(error).toMatchObject({ code: 'PAGER_REFUSED', found: 'ENOMEM' });
    expect(error.message).toContain('the pager has no room for another target');
    expect(pager.takeovers).toBe(0);
    for (const one of [first, ...served]) {
      await one.target.fill();
      await expectContents(one);
    }
    // A worker that finds no memory for a fault is replaced, and not at each target.
    expect(pager.takeovers).toBeLessThanOrEqual(2 + served.length / 4);
    limit(pager, 'as', 2 ** 60);
    await expectContents(await add(pager));
  },
);

it('has its targets wait while there is no memory for a worker', async () => {
  const pager = await startPager();
  const first = await add(pager);
  limit(pager, 'as', addressBytes(pagerProcess(pager.pid, 'thaw-keeper')) + 1024 * 1024);
  process.kill(pagerProcess(pager.pid, 'thaw-pager'), 'SIGKILL');
  const found = expectContents(first);
  const early = await Promise.race([found.then(() => 'served'), sleep(1_000, 'waits')]);
  expect(early).toBe('waits');
  limit(pager, 'as', 2 ** 60);
  await found;
  await expectContents(await add(pager));
});

it.each([
  ['childPoisoned', 'poisoned', /A touch of them in the child is SIGBUS; the task itself goes on/],
  ['childHeld', 'held', /Whoever touches them in the child waits; the task itself goes on/],
] as const)('says of a forked child why it is not served (%s)', async (told, expected, hint) => {
  const { target } = await add(await startPager());
  const { EMFILE: errno } = constants.errno;
  const heard = new Promise<[ThawError, string]>((resolve) => {
    target.on('pageError', (...failure) => resolve(failure));
  });
  target.tellOfPages({ vaddr: 0x5000n, pageCount: 3, where: 'pages-1.img', errno, action: told });
  const [error, action] = await within(heard);
  expect(action).toBe(expected);
  expect(error.code).toBe('PAGE_FAILED');
  expect(error.message).toMatch(/has forked a child .*no descriptor left .*3 pages .* from 0x5000/);
  expect(error.message).toMatch(hint);
});
