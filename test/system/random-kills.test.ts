/**
 * Processes killed at random moments of restores into hosts: the pager's, and the command. THAW_KILLS
 * says how many of the pager's, THAW_SEED with which seed the first restore begins.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Restoration } from '../../src/restore/restoration.js';
import { KILLS_MAX, killAtRandom } from '../support/pager-kills.js';
import { groupOf, killIfThere, processesIn, until, within } from '../support/process-facts.js';
import { FORMS, touchInAnyOrder } from '../support/random-touches.js';
import { fixturePath, removeTemporary, temporaryDirectory } from '../support/restore-fixtures.js';
import { begin, endTargets, noteChildren, startPager } from '../support/restore-targets.js';
import { killsAndSeed, type SeededRandom, seeded } from '../support/seeded-random.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

beforeEach(noteChildren);
afterEach(endTargets);
afterEach(removeTemporary);

/** Restores while the pager's processes are killed: how many were while pages were missing. */
async function restoreUnderFire(random: SeededRandom, killsMax: number): Promise<number> {
  const fixture = random.pick(FORMS);
  const fill = random.below(3) === 0;
  const pager = await startPager(fill ? { fillRate: 4 * 2 ** 20 } : {});
  let restoration: Restoration | undefined;
  const missing = (): boolean =>
    restoration?.figures().some((figures) => (figures?.missingPages ?? 0) > 0) ?? true;
  const killing = killAtRandom(pager.pid, random.split(), {
    killsMax,
    pauseMs: 8,
    missing,
  });
  killing.catch(() => {}); // told where it is waited for
  const windowBytes = random.pick([4096, 16_384, 65_536]);
  restoration = await within(begin(fixture, { pager, fill, windowBytes }));
  expect(await touchInAnyOrder(restoration, fixture, random)).toEqual([]);
  const killed = await killing;
  const workers = killed.filter((role) => role === 'thaw-pager').length;
  // One that is killed before it serves has taken nothing over.
  await until('a takeover', () => workers === 0 || pager.takeovers > 0);
  expect(pager.takeovers).toBeLessThanOrEqual(workers);
  await restoration.fill();
  await within(restoration.resident);
  expect(restoration.pageErrors).toEqual([]);
  await within(restoration.close());
  await within(pager.close());
  await until('the end of the pager', () => groupOf(pager.pid).length === 0);
  return killed.length;
}

/** The built `thaw restore`, which waits for pages, and with what it starts has `directory` as its own. */
function startCommand(directory: string, image: string): ChildProcess {
  const options = ['--fill', 'off', '--access', 'random', '--keep'];
  return spawn(process.execPath, [MAIN, 'restore', image, ...options], {
    cwd: directory,
    env: { ...process.env, TMPDIR: directory },
    stdio: 'ignore',
  });
}

describe('hosts', () => {
  const { kills, seed } = killsAndSeed(150);

  it(`have right bytes, ${kills} kills of their pagers later`, {
    timeout: 60_000 + kills * 1_000,
  }, async () => {
    let left = kills;
    for (let round = seed; left > 0; round++) {
      left -= await seeded(round, (random) => restoreUnderFire(random, Math.min(left, KILLS_MAX)));
    }
  });

  it('end with their command, killed at any moment, and leave no file', async () => {
    const commands = 20;
    const directory = realpathSync(temporaryDirectory());
    for (let round = seed; round < seed + commands; round++) {
      await seeded(round, async (random) => {
        const command = startCommand(directory, fixturePath(random.pick(FORMS)));
        const ended = once(command, 'exit');
        await sleep(random.below(600));
        command.kill('SIGKILL');
        try {
          await within(ended);
          await until('the end of all', () => processesIn(directory).length === 0);
        } finally {
          for (const pid of processesIn(directory)) killIfThere(pid);
        }
        expect(readdirSync(directory)).toEqual([]);
      });
    }
  });
});
