/** What becomes of tasks resumed by CRIU of which pages cannot be produced. */
import {
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { formatVaddr } from '../../src/address.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { packImage } from '../../src/pack/pack-image.js';
import { planRestore } from '../../src/plan/plan-restore.js';
import { EXTENT_KIND, type TaskPlan } from '../../src/plan/restore-plan.js';
import {
  criuPath,
  type DumpedTarget,
  dumpTarget,
  endAll,
  endStarted,
  endTasks,
  giveOrder,
  makeDirectory,
  resetExchange,
  restoreWithCriu,
  results,
  type Started,
  startThaw,
  startThawReaped,
} from '../support/criu.js';
import { FailingDisk, removeDisks } from '../support/failing-disk.js';
import { runningComm, until, within } from '../support/process-facts.js';
import { awaitPlace, readSurvey } from '../support/survey.js';

const PAGE = 4096;
/** A page of the surveyed memory from where on pages are damaged. */
const FROM_PAGE = 1000;

let target: DumpedTarget;
let pid: number;

beforeAll(async () => {
  target = await dumpTarget();
  pid = target.pids[0] ?? 0;
});
afterEach(() => {
  endStarted();
  resetExchange(target);
});
afterAll(removeDisks);
afterAll(endAll);

const stateOf = (): string =>
  /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1] ?? '?';

/** What the task finds that stops at each failed page, and is let go on each time. */
function surveyOfStopped(): Promise<[number, number][]> {
  const going = setInterval(() => stateOf() === 'T' && process.kill(pid, 'SIGCONT'), 2);
  return readSurvey(target).finally(() => clearInterval(going));
}

/** The plan of the only task, and the pages image that it names first. */
async function planOf(image: string): Promise<{ plan: TaskPlan; file: string }> {
  await using checkpoint = await Checkpoint.open(image);
  const { tasks, sources } = planRestore(checkpoint);
  const [plan] = tasks;
  const [source] = sources;
  if (plan === undefined || source === undefined) throw new Error('no task');
  return { plan, file: source.path };
}

/** The first extent of stored pages that begins behind `vaddr`. */
function extentBehind({ extents }: TaskPlan, vaddr: bigint): number {
  return extents.kind.findIndex(
    (kind, i) => kind === EXTENT_KIND.data && (extents.vaddr[i] ?? 0n) > vaddr,
  );
}

describe('a block of an LZ4 image that is damaged while a task runs', () => {
  let image: string;
  let errors: string;

  async function pack(checksums: boolean): Promise<void> {
    image = join(makeDirectory(), 'packed');
    await packImage(target.image, image, { mode: { regionPages: 16 }, checksums });
  }

  function restore(onError: string, ...fill: string[]): Started {
    errors = join(makeDirectory(), 'stderr');
    const stderr = openSync(errors, 'w');
    const options = ['--restorer', 'criu', '--criu', criuPath(), ...fill];
    const restored = startThawReaped(
      ['restore', image, ...options, '--on-error', onError, '--', '--manage-cgroups=ignore'],
      ['ignore', 'ignore', stderr],
    );
    closeSync(stderr);
    return restored;
  }

  /** Resumes the task from a packed image, and damages a block that it has not touched yet. */
  async function begin(onError: string, checksums: boolean) {
    await pack(checksums);
    const restored = restore(onError, '--fill', 'off');
    giveOrder(target, 'survey');
    return { restored, block: await damage(await awaitPlace(target)) };
  }

  /** The same with a fill, of a block that is damaged before. */
  async function beginFilled(onError: string, order: string) {
    const eager = restoreWithCriu(target.image, { workDirectory: makeDirectory() });
    giveOrder(target, 'survey');
    const place = await awaitPlace(target);
    await endTasks(target.pids, eager);
    resetExchange(target);
    await pack(false);
    const block = await damage(place);
    giveOrder(target, order);
    return { restored: restore(onError), block };
  }

  async function damage(place: bigint) {
    const { plan, file } = await planOf(image);
    const { extents, blocks } = plan;
    const row = extentBehind(plan, place + BigInt(FROM_PAGE * PAGE));
    expect(extents.blockPages[row]).toBe(16);
    expect(extents.skipPages[row]).toBe(0);
    const offset = Number(extents.fileOffset[row]);
    const byteLength = blocks.size[extents.firstBlock[row] ?? 0] ?? 0;
    const pageCount = Math.min(16, extents.pageCount[row] ?? 0);
    expect(byteLength).toBeLessThan(pageCount * PAGE);
    const fd = openSync(file, 'r+');
    writeSync(fd, Buffer.alloc(byteLength, 0xff), 0, byteLength, offset);
    closeSync(fd);
    const vaddr = extents.vaddr[row] ?? 0n;
    const first = Number(vaddr - place) / PAGE;
    return {
      vaddr,
      pageCount,
      runs: [[first, first + pageCount - 1]],
      at: `${file}, byte ${offset}`,
    };
  }

  const lines = (): string[] => readFileSync(errors, 'utf8').split('\n').slice(0, -1);

  /** Waits for the lines that tell of the block's first `count` pages, each as it is touched. */
  async function expectErrors(
    { vaddr, at }: Awaited<ReturnType<typeof damage>>,
    count: number,
    [code, done]: readonly [string, string],
  ): Promise<void> {
    await until('all is told', () => lines().length >= count);
    const told = lines().map((line) => {
      expect(line).toContain(`(${at})`);
      expect(line).toContain(done);
      const [, pages, start] =
        new RegExp(`^thaw: ${code}: (.*) at (\\S+) of task ${pid} cannot be produced`).exec(line) ??
        [];
      return `${pages} at ${start}`;
    });
    const page = (_: unknown, i: number) => `1 page at ${formatVaddr(vaddr + BigInt(i * PAGE))}`;
    expect(told).toEqual(Array.from({ length: count }, page));
  }

  test.each([
    ['PAGE_FAILED', false],
    ['CHECKSUM_MISMATCH', true],
  ])('poison: a touch of its pages is SIGBUS, all else is right: %s', async (code, checksums) => {
    const { restored, block } = await begin('poison', checksums);
    giveOrder(target, 'look');
    expect(await readSurvey(target)).toEqual(block.runs);
    await expectErrors(block, block.pageCount, [code, 'A touch of them is SIGBUS']);
    await endTasks(target.pids, restored);
    expect(await restored.ended).toBe(1);
  });

  test('stop: the task is stopped; when it goes on, a touch is SIGBUS', async () => {
    const { restored, block } = await begin('stop', false);
    const told = ['PAGE_FAILED', 'was stopped (SIGSTOP)'] as const;
    giveOrder(target, 'look');
    await until('it stops', () => stateOf() === 'T');
    await expectErrors(block, 1, told);
    await sleep(100);
    expect(stateOf()).toBe('T');
    expect(existsSync(join(target.exchange, 'survey-0'))).toBe(false);
    expect(await surveyOfStopped()).toEqual(block.runs);
    await expectErrors(block, block.pageCount, told);
    await endTasks(target.pids, restored);
    expect(await restored.ended).toBe(1);
  });

  test('kill: the task is killed, and the command ends', async () => {
    const { restored, block } = await begin('kill', false);
    giveOrder(target, 'look');
    expect(await within(restored.ended, 10_000)).toBe(1);
    expect(runningComm(pid)).toBeUndefined();
    expect(existsSync(join(target.exchange, 'survey-0'))).toBe(false);
    await expectErrors(block, 1, ['PAGE_FAILED', 'was killed']);
    await endTasks(target.pids, restored);
  });

  test('poison, found by the fill: a touch is SIGBUS, all else is right', async () => {
    const { restored, block } = await beginFilled('poison', 'survey');
    await awaitPlace(target);
    await until('all is told', () => lines().length > 0);
    giveOrder(target, 'look');
    expect(await readSurvey(target)).toEqual(block.runs);
    expect(lines()[0]).toContain(
      `at ${formatVaddr(block.vaddr)} of task ${pid} cannot be produced`,
    );
    await endTasks(target.pids, restored);
    expect(await restored.ended).toBe(1);
  });

  test('stop, found by the fill: the task is stopped that touches nothing', async () => {
    const { restored } = await beginFilled('stop', 'idle');
    const told = (): boolean => lines().some((line) => line.includes('was stopped (SIGSTOP)'));
    await until('it is told', told, 20_000);
    await until('it stops', () => stateOf() === 'T');
    process.kill(pid, 'SIGCONT');
    expect(await results(target)).toEqual(['ok 0']);
    await endTasks(target.pids, restored);
    expect(await restored.ended).toBe(1);
  });

  test('kill, found by the fill: the task is killed that touches nothing', async () => {
    const { restored } = await beginFilled('kill', 'idle');
    expect(await within(restored.ended, 20_000)).toBe(1);
    expect(runningComm(pid)).toBeUndefined();
    expect(lines().join('\n')).toContain('was killed');
  });
});

describe('thaw lazy-pages', () => {
  let work: string;
  const log = (): string => readFileSync(join(work, 'lazy.log'), 'utf8');

  async function begin(
    image: string,
    onError = 'poison',
    start = startThaw,
  ): Promise<{ daemon: Started; restored: Started; place: bigint }> {
    work = makeDirectory();
    const where = ['-D', image, '-W', work, '-o', 'lazy.log', '-v4'];
    const daemon = start(['lazy-pages', ...where, '--fill', 'off', '--on-error', onError]);
    await until('the socket', () => existsSync(join(work, 'lazy-pages.socket')));
    const restored = restoreWithCriu(image, { lazy: true, workDirectory: work });
    giveOrder(target, 'survey');
    return { daemon, restored, place: await awaitPlace(target) };
  }

  /** Cuts a pages image inside the surveyed memory: the first page behind the cut, and its byte. */
  async function cut(image: string, place: bigint) {
    const { plan, file } = await planOf(image);
    const row = extentBehind(plan, place + BigInt(FROM_PAGE * PAGE));
    const vaddr = plan.extents.vaddr[row] ?? 0n;
    const offset = Number(plan.extents.fileOffset[row]);
    truncateSync(file, offset);
    return { first: Number(vaddr - place) / PAGE, vaddr, at: `${file}, byte ${offset}` };
  }

  test.each([
    ['poison', 'A touch of them is SIGBUS'],
    ['stop', 'was stopped (SIGSTOP)'],
    ['kill', 'was killed'],
  ])('a pages image that is cut while a task runs: %s', async (onError, done) => {
    const image = join(makeDirectory(), 'image');
    cpSync(target.image, image, { recursive: true });
    const { daemon, restored, place } = await begin(image, onError);
    const { first, vaddr, at } = await cut(image, place);
    giveOrder(target, 'look');
    if (onError === 'poison') expectRun(first, await readSurvey(target));
    if (onError === 'stop') {
      await until('it stops', () => stateOf() === 'T');
      expectRun(first, await surveyOfStopped());
    }
    if (onError === 'kill') await until('its end', () => runningComm(pid) === undefined);
    await endTasks(target.pids, restored);
    expect(await within(daemon.ended, 10_000)).toBe(1);
    const [line] = log()
      .split('\n')
      .filter((text) => text.includes('Error'));
    expect(line).toContain('Error: PAGE_FAILED: ');
    expect(line).toContain(`${formatVaddr(vaddr)} of task ${pid} cannot be produced`);
    expect(line).toContain(`found a pages image that ends before the page (${at})`);
    expect(line).toContain(done);
  });

  /** All pages from `first` on are SIGBUS, none before it. */
  function expectRun(first: number, runs: [number, number][]): void {
    expect(runs).toHaveLength(1);
    expect(runs[0]?.[0]).toBe(first);
    expect(runs[0]?.[1]).toBeGreaterThan(2045);
  }

  test('a disk that errors for a while: the task waits, and goes on', async () => {
    const disk = new FailingDisk();
    const { daemon, restored } = await begin(target.image, 'poison', (args) =>
      disk.runOn(() => startThaw(args)),
    );
    disk.fail();
    giveOrder(target, 'look');
    await until('the stall', () => log().includes('it is tried again for up to 5 s'));
    await sleep(1_000);
    expect(existsSync(join(target.exchange, 'survey-0'))).toBe(false);
    disk.heal();
    expect(await readSurvey(target)).toEqual([]);
    expect(await results(target)).toEqual(['ok 2048']);
    await endTasks(target.pids, restored);
    expect(await within(daemon.ended, 10_000)).toBe(0);
    expect(log()).toMatch(/Warn: EIO when reading .*pages-\d+\.img, byte \d+\): it is tried again/);
    expect(log()).toMatch(/Warn: no read is tried again any more \(.*pages-\d+\.img, byte \d+\)/);
    expect(log()).not.toContain('Error');
  });

  test('a disk that is gone: the task waits for five seconds', async () => {
    const disk = new FailingDisk();
    const { daemon, restored } = await begin(target.image, 'poison', (args) =>
      disk.runOn(() => startThaw(args)),
    );
    disk.fail();
    const before = performance.now();
    giveOrder(target, 'look');
    const [run] = await readSurvey(target);
    expect(performance.now() - before).toBeGreaterThan(4_900);
    expect(performance.now() - before).toBeLessThan(9_000);
    expect(run?.[1]).toBeGreaterThan(2045);
    await endTasks(target.pids, restored);
    expect(await within(daemon.ended, 10_000)).toBe(1);
    expect(log()).toMatch(
      new RegExp(
        `Error: PAGE_FAILED: .* of task ${pid} cannot be produced: found EIO when reading`,
      ),
    );
  });
});
