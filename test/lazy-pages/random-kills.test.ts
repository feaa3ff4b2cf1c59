/**
 * Our processes killed at random moments while real tasks get their memory, and fork, move and discard
 * it meanwhile: the tasks check every page themselves. THAW_KILLS says how many of the pager's
 * processes, THAW_SEED with which seed the first restore begins.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { packImage } from '../../src/pack/pack-image.js';
import {
  type DumpedTarget,
  dumpTarget,
  endAll,
  endStarted,
  giveOrder,
  makeDirectory,
  resetExchange,
} from '../support/criu.js';
import { KILLS_MAX, killAtRandom } from '../support/pager-kills.js';
import { killIfThere, until } from '../support/process-facts.js';
import { killsAndSeed, type SeededRandom, seeded } from '../support/seeded-random.js';
import { COMMANDS, complaints, PACES, SCENARIOS, TaskRestore } from '../support/task-restores.js';

type CommandName = (typeof COMMANDS)[number];

let target: DumpedTarget;
const packed: string[] = [];

beforeAll(async () => {
  target = await dumpTarget(3);
  for (const mode of ['page', { regionPages: 16 }] as const) {
    const image = join(makeDirectory(), 'packed');
    await packImage(target.image, image, { mode });
    packed.push(image);
  }
});
afterEach(() => {
  endStarted();
  resetExchange(target);
});
afterAll(endAll);

/** Has the next restore run a scenario as soon as its tasks do. */
function orderAny(random: SeededRandom): string {
  const scenario = random.pick(SCENARIOS);
  resetExchange(target);
  giveOrder(target, scenario);
  return scenario;
}

async function expectRight(scenario: string): Promise<void> {
  expect([scenario, ...(await complaints(target))]).toEqual([scenario]);
}

/** Restores while the pager's processes are killed: how many were while pages were missing. */
async function restoreUnderFire(random: SeededRandom, killsMax: number): Promise<number> {
  const image = random.pick([target.image, target.image, ...packed]);
  const name = image === target.image ? random.pick(COMMANDS) : 'restore';
  const scenario = orderAny(random);
  const run = await TaskRestore.start(name, image, random.pick(PACES));
  await run.served();
  const killed = await killAtRandom(run.pager.pgid, random, {
    killsMax,
    pauseMs: 15,
    missing: () => run.isMissing,
  });
  await expectRight(scenario);
  expect(await run.finish(target)).toEqual([]);
  return killed.length;
}

const { kills, seed } = killsAndSeed(50);

test(`tasks have right bytes, ${kills} kills of their pagers later`, {
  timeout: 60_000 + kills * 5_000,
}, async () => {
  let left = kills;
  for (let round = seed; left > 0; round++) {
    left -= await seeded(round, (random) => restoreUnderFire(random, Math.min(left, KILLS_MAX)));
  }
});

/** Kills the command at a random moment after the tasks were let run: were pages missing then? */
async function loseCommand(name: CommandName, random: SeededRandom): Promise<boolean> {
  const image = name === 'restore' ? random.pick([target.image, ...packed]) : target.image;
  const scenario = orderAny(random);
  const run = await TaskRestore.start(name, image, random.pick(PACES));
  await run.resumed();
  await sleep(random.below(60));
  const missing = killIfThere(run.node) && run.isMissing;
  await expectRight(scenario);
  expect(await run.finish(target)).toEqual([]);
  return missing;
}

describe('tasks have right bytes after the end of the command that the user started', () => {
  test.each(COMMANDS)('%s', { timeout: 120_000 }, async (name) => {
    const commands = 10;
    let whileMissing = 0;
    for (let round = seed; round < seed + commands; round++) {
      if (await seeded(round, (random) => loseCommand(name, random))) whileMissing++;
    }
    expect(whileMissing).toBeGreaterThan(0);
  });
});

/** Kills the command at any moment: the restore fails, or the tasks run and have right bytes. */
async function loseCommandEarly(name: CommandName, random: SeededRandom): Promise<void> {
  const scenario = orderAny(random);
  const run = await TaskRestore.start(name, target.image, random.pick(PACES));
  await sleep(random.below(400));
  killIfThere(run.node); // or it has done all of its work
  let status: number | null | undefined;
  void run.criu.ended.then((said) => {
    status = said;
  });
  const checked = (): boolean => existsSync(join(target.exchange, 'result-0'));
  await until('a result, or a failure', () => checked() || status !== undefined, 30_000);
  if (status === undefined) await expectRight(scenario);
  expect(status).not.toBe(0);
  await run.finish(target);
}

test.each(COMMANDS)('%s killed while it restores leaves no wrong byte', async (name) => {
  for (let round = seed; round < seed + 5; round++) {
    await seeded(round, (random) => loseCommandEarly(name, random));
  }
});
