/** `main.ts SECONDS DIRECTORY`, by scripts/soak: everything at once and at random, for a while; then what is wrong or left. */
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeViewDirectory } from '../../src/lazy-pages/view-directory.js';
import { Pager } from '../../src/servicer/pager.js';
import { endAll } from '../support/criu.js';
import { ROLES, replaceProcess } from '../support/pager-kills.js';
import { until, within } from '../support/process-facts.js';
import { killsAndSeed, type SeededRandom, seeded } from '../support/seeded-random.js';
import { type Holdings, processNames, takeStock } from './holdings.js';
import { restoreIntoHosts, restoreUnderFire } from './host-lane.js';
import { report } from './report.js';
import { Tally } from './tally.js';
import { type DumpedTasks, dumpTasks, restoreTasks } from './task-lane.js';

/** Longest that one restore, with all that happens to it, may take. */
const STEP_MS_MAX = 90_000;
/** Of the time, what passes before anything is compared: all caches are full then. */
const WARM_UP = 0.2;
/** Seeds that one lane may use. */
const LANE_SEEDS = 1_000_000;

const [seconds, scratch] = [Number(process.argv[2]), process.argv[3] ?? ''];
const { seed } = killsAndSeed(0);
const tally = new Tally();
let failure: unknown;
let next = 0;

/** Does something again and again until `deadline`, or until anything fails. */
async function lane(
  number: number,
  deadline: number,
  step: (random: SeededRandom) => Promise<void>,
): Promise<void> {
  while (performance.now() < deadline && failure === undefined) {
    try {
      await seeded(seed + number * LANE_SEEDS + next++, (random) =>
        within(step(random), STEP_MS_MAX),
      );
    } catch (error) {
      failure ??= error;
    }
  }
}

/** Kills processes of a pager that others use, so seldom that workers become old. */
async function killNow(random: SeededRandom, pager: Pager): Promise<void> {
  await sleep(random.below(3_000));
  const role = random.pick(ROLES);
  await replaceProcess(pager.pid, role);
  tally.countKills([role]);
}

/** All lanes for some time; then what is held when all of them are at rest. */
async function soak(
  milliseconds: number,
  tasks: DumpedTasks,
  pagers: readonly [Pager, Pager],
): Promise<Holdings> {
  const deadline = performance.now() + milliseconds;
  const [calm, killed] = pagers;
  await Promise.all([
    lane(0, deadline, (random) => restoreUnderFire(random, tally)),
    lane(1, deadline, (random) => restoreIntoHosts(random, tally, calm)),
    lane(2, deadline, (random) => restoreIntoHosts(random, tally, killed)),
    lane(3, deadline, (random) => restoreIntoHosts(random, tally, killed)),
    lane(4, deadline, (random) => killNow(random, killed)),
    lane(5, deadline, (random) => restoreTasks(random, tally, tasks)),
  ]);
  if (failure !== undefined) throw failure;
  // Views of commands that were killed are for the next one to remove.
  await (await makeViewDirectory()).remove();
  return await takeStock(pagers);
}

async function run(): Promise<string[]> {
  const processes = processNames();
  // First of all: its pids are so small that they are never given to anybody else.
  const tasks = await dumpTasks();
  const calm = await Pager.start();
  const killed = await Pager.start();
  const before = await soak(seconds * 1000 * WARM_UP, tasks, [calm, killed]);
  const after = await soak(seconds * 1000 * (1 - WARM_UP), tasks, [calm, killed]);
  tally.takeovers += killed.takeovers;
  const wrong = report(tally, { seconds, seed }, before, after);
  await calm.close();
  await killed.close();
  endAll();
  await until('the end of all processes', () => processNames().length <= processes.length);
  const left = readdirSync(scratch);
  if (left.length > 0) wrong.push(`left in the directory for temporary files: ${left.join(', ')}`);
  return wrong;
}

process.env.TMPDIR = scratch;
const wrong = await run().catch((error) => [error instanceof Error ? error.stack : String(error)]);
endAll();
for (const line of wrong) process.stdout.write(`soak: ${line}\n`);
process.exit(wrong.length === 0 ? 0 : 1);
