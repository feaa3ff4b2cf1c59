/** `thaw restore --restorer criu`: real tasks from images of every form. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { makeViewDirectory } from '../../src/lazy-pages/view-directory.js';
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
  results,
  startThaw,
  startThawReaped,
} from '../support/criu.js';
import { writeChain } from '../support/image-chain.js';
import { childrenOf, runningComm, until, within } from '../support/process-facts.js';
import { runThaw } from '../support/run-thaw.js';

let target: DumpedTarget;
let log: string;

beforeAll(async () => {
  target = await dumpTarget(3);
});
// Views of others come and go.
beforeEach(() => {
  process.env.TMPDIR = makeDirectory();
});
afterEach(() => {
  delete process.env.TMPDIR;
  endStarted();
  resetExchange(target);
});
afterAll(endAll);

const views = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('thaw-view-'));

function restore(image: string, ...options: string[]) {
  log = join(makeDirectory(), 'criu.log');
  const criuOptions = ['--', '--manage-cgroups=ignore', '--log-file', log];
  const args = ['restore', image, '--restorer', 'criu', '--criu', criuPath()];
  return startThawReaped([...args, ...options, ...criuOptions]);
}

async function verify(dumped: DumpedTarget, scenario: string): Promise<void> {
  giveOrder(dumped, scenario);
  const said = await results(dumped, dumped.pids.length);
  for (const result of said) expect(result).toMatch(/^ok \d+$/);
}

describe('resumes the tasks', () => {
  test('of a plain image, and stays until they end', async () => {
    const restored = restore(target.image);
    await verify(target, 'sequential');
    expect(restored.child.exitCode).toBeNull();
    for (const pid of target.pids) if (runningComm(pid)) process.kill(pid, 'SIGKILL');
    expect(await within(restored.ended, 10_000)).toBe(0);
    expect(errorsIn(log)).toEqual([]);
    expect(views()).toEqual([]);
  });

  for (const mode of ['page', { regionPages: 16 }] as const) {
    const more = mode === 'page' ? ', with checksums' : '';
    test(`of an LZ4 image, mode ${JSON.stringify(mode)}${more}`, async () => {
      const packed = join(makeDirectory(), 'packed');
      await packImage(target.image, packed, { mode, checksums: mode === 'page' });
      const restored = restore(packed);
      await verify(target, 'random');
      await endTasks(target.pids, restored);
      expect(errorsIn(log)).toEqual([]);
    });
  }

  test('of a chain of dumps', async () => {
    const top = join(makeDirectory(), 'top');
    writeChain(target.image, top);
    const restored = restore(top);
    await verify(target, 'threads');
    await endTasks(target.pids, restored);
    expect(errorsIn(log)).toEqual([]);
  });

  test('with --detach: no Node stays, and the pager ends when all is in', async () => {
    const command = ['restore', target.image, '--restorer', 'criu', '--criu', criuPath()];
    log = join(makeDirectory(), 'criu.log');
    const options = ['--detach', '--json', '--', '--manage-cgroups=ignore', '--log-file', log];
    const restored = startThawReaped([...command, ...options]);
    await until('the tasks', () => runningComm(target.pids[2] ?? 0) !== undefined, 20_000);
    const isNode = (): boolean => commOf(restored.child.pid).includes('node');
    await until('the end of Node', () => !isNode(), 20_000);
    await verify(target, 'threads');
    await until('the end of the pager', () => !commOf(restored.child.pid).includes('thaw-keeper'));
    expect(views()).toEqual([]);
    await endTasks(target.pids, restored);
    expect(errorsIn(log)).toEqual([]);
  });
});

/** A directory of this process that goes with the test. */
async function disposable(made: ReturnType<typeof makeViewDirectory>) {
  const directory = await made;
  return { path: directory.path, [Symbol.asyncDispose]: () => directory.remove() };
}

/** Names of the processes below the reaper. */
function commOf(reaper: number | undefined): string[] {
  const path = `/proc/${reaper}/task/${reaper}/children`;
  return readFileSync(path, 'latin1')
    .split(' ')
    .filter(Boolean)
    .flatMap((pid) => runningComm(Number(pid)) ?? []);
}

describe('ends in order', () => {
  test('at Ctrl-C: no task, no pager, no view', async () => {
    const options = ['--restorer', 'criu', '--criu', criuPath(), '--', '--manage-cgroups=ignore'];
    const thaw = startThaw(['restore', target.image, ...options]);
    await until('the tasks', () => runningComm(target.pids[2] ?? 0) !== undefined, 20_000);
    thaw.child.kill('SIGINT');
    expect(await within(thaw.ended, 10_000)).toBe(130);
    for (const pid of target.pids) expect(runningComm(pid)).toBeUndefined();
    expect(views()).toEqual([]);
    await until('free pids', () => target.pids.every((pid) => !existsSync(`/proc/${pid}`)), 20_000);
  });

  test('after a SIGKILL the next restore takes the view away, and none that is in use', async () => {
    await using inUse = await disposable(makeViewDirectory());
    expect(views()).toEqual([basename(inUse.path)]);
    const restored = restore(target.image);
    await until('the tasks', () => runningComm(target.pids[2] ?? 0) !== undefined, 20_000);
    const [node = 0] = childrenOf(restored.child.pid ?? 0);
    process.kill(node, 'SIGKILL');
    await until('its end', () => !existsSync(`/proc/${node}`));
    expect(views()).toHaveLength(2);
    await endTasks(target.pids, restored);
    const next = await runThaw('restore', target.image, '--restorer', 'criu', '--criu', '/no/criu');
    expect(next.status).toBe(1);
    expect(views()).toEqual([basename(inUse.path)]);
  });

  test('when CRIU is not there', async () => {
    const ended = await runThaw(
      'restore',
      target.image,
      '--restorer',
      'criu',
      '--criu',
      '/no/criu',
    );
    expect(ended.status).toBe(1);
    expect(ended.stderr).toMatch(/CRIU_MISSING: .*\/no\/criu.*apt install criu/s);
  });

  test('when a pid is taken, by its name', async () => {
    const restored = restore(target.image);
    await verify(target, 'idle');
    const second = await runThaw(
      ...['restore', target.image, '--restorer', 'criu', '--criu', criuPath()],
      ...['--', '--manage-cgroups=ignore'],
    );
    expect(second.status).toBe(1);
    expect(second.stderr).toMatch(/Can't fork for \d+: File exists/);
    expect(second.stderr).toMatch(/pid \d+ is in use/);
    await endTasks(target.pids, restored);
  });

  test('with an option that CRIU gets from us, or the other restorer’s', async () => {
    const criu = ['--restorer', 'criu', '--criu', criuPath()];
    const taken = await runThaw('restore', target.image, ...criu, '--', '-D', '.');
    expect(taken).toMatchObject({ status: 1, stderr: expect.stringContaining('--images-dir') });
    const foreign = await runThaw('restore', target.image, ...criu, '--verify');
    expect(foreign).toMatchObject({ status: 2, stderr: expect.stringContaining('--verify') });
    const host = await runThaw('restore', target.image, '--detach');
    expect(host).toMatchObject({ status: 2, stderr: expect.stringContaining('--detach') });
  });
});
