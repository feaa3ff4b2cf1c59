/**
 * Our processes killed at random moments while real tasks get their memory, and fork, move and discard
 * it meanwhile: the tasks check every page themselves. THAW_KILLS says how many of the pager's
 * processes, THAW_SEED with which seed the first restore begins.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { packImage } from '../../src/pack/pack-image.js';
import {
  criuPath,
  type DumpedTarget,
  dumpTarget,
  endAll,
  endStarted,
  endTasks,
  errorsIn,
  giveOrder,
  makeDirectory,
  resetExchange,
  restoreWithCriu,
  results,
  type Started,
  startThawReaped,
} from '../support/criu.js';
import { ObservedPager } from '../support/pager-arena.js';
import { KILLS_MAX, killAtRandom } from '../support/pager-kills.js';
import { childrenOf, until, within } from '../support/process-facts.js';
import { killsAndSeed, type SeededRandom, seeded } from '../support/seeded-random.js';

const SCENARIOS = [
  ...['sequential', 'random', 'threads', 'fork', 'storm'],
  ...['grow', 'shrink', 'move', 'munmap', 'dontneed', 'free'],
];
/** Slow enough to be killed in the middle: one page a fault, or a fill of some hundred ms. */
const PACES: readonly string[][] = [
  ['--fill', 'off', '--window', '4K'],
  ['--fill-rate', '16M', '--window', '16K'],
];
/** What CRIU logs once the tasks run. */
const RESUMED = /Restore finished successfully/;
const COMMANDS = ['lazy-pages', 'restore'] as const;

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

/** A restore under way: the command that the user started, its pager, and CRIU. */
interface Restore {
  readonly command: Started;
  readonly node: number;
  readonly pager: ObservedPager;
  /** Ends with the tasks. */
  readonly criu: Started;
  readonly log: string;
}

/** `thaw lazy-pages` beside `criu restore`, or `thaw restore`, which starts CRIU itself. */
async function restore(
  name: (typeof COMMANDS)[number],
  image: string,
  options: readonly string[],
): Promise<Restore> {
  const work = makeDirectory();
  const log = join(work, 'restore.log');
  const command = startThawReaped(
    name === 'restore'
      ? [
          ...['restore', image, '--restorer', 'criu', '--criu', criuPath(), ...options],
          ...['--', '--manage-cgroups=ignore', '--log-file', log],
        ]
      : ['lazy-pages', '-D', image, '-W', work, '-o', 'lazy.log', '-v3', ...options],
  );
  const node = await firstChild(command);
  const pager = await ObservedPager.startedBy(node);
  if (name === 'restore') return { command, node, pager, criu: command, log };
  await until('the socket', () => existsSync(join(work, 'lazy-pages.socket')));
  const criu = restoreWithCriu(image, { lazy: true, workDirectory: work });
  return { command, node, pager, criu, log };
}

/** What the reaper runs. */
async function firstChild({ child }: Started): Promise<number> {
  const children = (): number[] => childrenOf(child.pid ?? -1);
  await until('the command', () => children().length > 0);
  return children()[0] ?? -1;
}

/** Ends the tasks; all of ours ends with them. */
async function finish({ command, pager, criu, log }: Restore): Promise<void> {
  await endTasks(target.pids, criu);
  await within(command.ended);
  expect(pager.ended).toBe(true);
  pager[Symbol.dispose]();
  expect(errorsIn(log)).toEqual([]);
}

const isMissing = ({ pager }: Restore): boolean => (pager.missingPages() ?? 0) > 0;
const served = (pager: ObservedPager) =>
  until('a task', () => pager.missingPages() !== undefined, 20_000);

async function expectRight(scenario: string): Promise<void> {
  for (const said of await results(target, target.pids.length)) {
    expect(`${scenario}: ${said}`).toMatch(/: ok \d+$/);
  }
}

/** Restores while the pager's processes are killed: how many were while pages were missing. */
async function restoreUnderFire(random: SeededRandom, killsMax: number): Promise<number> {
  const image = random.pick([target.image, target.image, ...packed]);
  const name = image === target.image ? random.pick(COMMANDS) : 'restore';
  const scenario = random.pick(SCENARIOS);
  resetExchange(target);
  giveOrder(target, scenario);
  const run = await restore(name, image, random.pick(PACES));
  await served(run.pager);
  const killed = await killAtRandom(run.pager.pgid, random, {
    killsMax,
    pauseMs: 15,
    wanted: () => isMissing(run),
  });
  await expectRight(scenario);
  await finish(run);
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
async function loseCommand(
  name: (typeof COMMANDS)[number],
  random: SeededRandom,
): Promise<boolean> {
  const image = name === 'restore' ? random.pick([target.image, ...packed]) : target.image;
  const scenario = random.pick(SCENARIOS);
  resetExchange(target);
  giveOrder(target, scenario);
  const run = await restore(name, image, random.pick(PACES));
  const resumed = (): boolean =>
    existsSync(run.log) && RESUMED.test(readFileSync(run.log, 'latin1'));
  await until('the tasks', resumed, 20_000);
  await sleep(random.below(60));
  process.kill(run.node, 'SIGKILL');
  const missing = isMissing(run);
  await expectRight(scenario);
  await finish(run);
  return missing;
}

describe('tasks have right bytes after the end of the command that the user started', () => {
  test.each(COMMANDS)('%s', { timeout: 120_000 }, async (name) => {
    const commands = 10;
    let whileMissing = 0;
    for (let round = seed; round < seed + commands; round++) {
      if (await seeded(round, (random) => loseCommand(name, random))) whileMissing++;
    }
    expect(whileMissing).toBeGreaterThan(commands / 3);
  });
});

/** Kills the command at any moment: the restore fails, or the tasks run and have right bytes. */
async function loseCommandEarly(
  name: (typeof COMMANDS)[number],
  random: SeededRandom,
): Promise<void> {
  resetExchange(target);
  giveOrder(target, 'sequential');
  const run = await restore(name, target.image, ['--fill', 'off', '--window', '4K']);
  await sleep(random.below(400));
  process.kill(run.node, 'SIGKILL');
  let status: number | null | undefined;
  void run.criu.ended.then((said) => {
    status = said;
  });
  const checked = (): boolean => existsSync(join(target.exchange, 'result-0'));
  await until('a result, or a failure', () => checked() || status !== undefined, 30_000);
  if (status === undefined) await expectRight('sequential');
  expect(status).not.toBe(0);
  await endTasks(target.pids, run.criu);
  await within(run.command.ended);
  await until('the end of the pager', () => run.pager.ended);
  run.pager[Symbol.dispose]();
}

test.each(COMMANDS)('%s killed while it restores leaves no wrong byte', async (name) => {
  for (let round = seed; round < seed + 5; round++) {
    await seeded(round, (random) => loseCommandEarly(name, random));
  }
});
