/** One restore of real tasks by CRIU, which fork, move and discard their memory while it comes. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packImage } from '../../src/pack/pack-image.js';
import {
  type DumpedTarget,
  dumpTarget,
  endStarted,
  giveOrder,
  makeDirectory,
  resetExchange,
} from '../support/criu.js';
import { killAtRandom } from '../support/pager-kills.js';
import { killIfThere } from '../support/process-facts.js';
import type { SeededRandom } from '../support/seeded-random.js';
import { COMMANDS, complaints, PACES, SCENARIOS, TaskRestore } from '../support/task-restores.js';
import type { Tally } from './tally.js';

const TASKS = 3;
/** Children that a task forks in a scenario. */
const FORKS: Readonly<Record<string, number>> = { fork: 2, storm: 8 };
/** Twice as many forks as by chance. */
const MIXED = [...SCENARIOS, ...Object.keys(FORKS)];

/** Dumped tasks: plain, and packed both ways. */
export interface DumpedTasks {
  readonly dumped: DumpedTarget;
  readonly packed: readonly string[];
}

export async function dumpTasks(): Promise<DumpedTasks> {
  const dumped = await dumpTarget(TASKS);
  const packed: string[] = [];
  for (const mode of ['page', { regionPages: 16 }] as const) {
    const image = join(makeDirectory(), 'packed');
    await packImage(dumped.image, image, { mode });
    packed.push(image);
  }
  return { dumped, packed };
}

/** Restores once, while processes of the pager, or the command, are killed. */
export async function restoreTasks(
  random: SeededRandom,
  tally: Tally,
  { dumped, packed }: DumpedTasks,
): Promise<void> {
  const image = random.pick([dumped.image, dumped.image, ...packed]);
  const command = image === dumped.image ? random.pick(COMMANDS) : 'restore';
  const scenario = random.pick(MIXED);
  resetExchange(dumped);
  giveOrder(dumped, scenario);
  const run = await TaskRestore.start(command, image, random.pick(PACES));
  await killSome(run, random, tally);
  const wrong = await complaints(dumped);
  tally.takeovers += run.pager.takeovers;
  for (const { faults } of run.pager.figures()) tally.faults += faults;
  wrong.push(...(await run.finish(dumped)));
  endStarted();
  if (wrong.length > 0) throw new Error(`${command}, ${scenario}: ${wrong.join('; ')}`);
  tally.taskRestores++;
  tally.forks += TASKS * (FORKS[scenario] ?? 0);
}

async function killSome(run: TaskRestore, random: SeededRandom, tally: Tally): Promise<void> {
  if (random.below(4) === 0) {
    await run.resumed();
    await sleep(random.below(60));
    if (killIfThere(run.node)) tally.countKills(['command']);
    return;
  }
  await run.served();
  const missing = (): boolean => run.isMissing;
  tally.countKills(
    await killAtRandom(run.pager.pgid, random, { killsMax: random.below(9), pauseMs: 15, missing }),
  );
}
