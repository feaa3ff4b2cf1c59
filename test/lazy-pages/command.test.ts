/** `thaw lazy-pages` as a user runs it, in the place of `criu lazy-pages`. */
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
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
  startProcess,
  startThaw,
} from '../support/criu.js';
import { runningComm, until, within } from '../support/process-facts.js';

const TASKS = 20;
const SOCKET = 'lazy-pages.socket';

let target: DumpedTarget;
let work: string;

beforeAll(async () => {
  target = await dumpTarget(TASKS);
});
afterEach(() => {
  endStarted();
  resetExchange(target);
});
afterAll(endAll);

function lazyPages(...options: string[]) {
  work = makeDirectory();
  return startThaw(['lazy-pages', '-D', target.image, '-W', work, '-o', 'lazy.log', ...options]);
}

const socketThere = () => until('the socket', () => existsSync(join(work, SOCKET)));
const log = (): string => readFileSync(join(work, 'lazy.log'), 'utf8');
const criu = () => restoreWithCriu(target.image, { lazy: true, workDirectory: work });

async function verifyAll(scenario: string): Promise<void> {
  giveOrder(target, scenario);
  for (const result of await results(target, TASKS)) expect(result).toMatch(/^ok \d+$/);
}

describe('a tree of 20 tasks with threads and a zombie', () => {
  test('is served as CRIU’s own tests call the daemon, which ends with 0', async () => {
    const fill = ['--fill-rate', '1G', '--fill-threads', '1', '--window', '16K'];
    const daemon = lazyPages('--no-default-config', '-v4', '--tcp-established', ...fill);
    await socketThere();
    expect(statSync(join(work, SOCKET)).mode & 0o777).toBe(0o600);
    const restored = criu();
    await verifyAll('random');
    expect(await within(daemon.ended, 30_000)).toBe(0);
    await endTasks(target.pids, restored);
    expect(log().match(/UFFD transferred pages: \(\d+\/\d+\)/g)).toHaveLength(TASKS);
    expect(log().match(/\d+: arrival {3}page cache {2}/g)).toHaveLength(TASKS);
    expect(log().match(/\d+: queue {5}\d+ at most; /g)).toHaveLength(TASKS);
    expect(log()).not.toContain('Error');
    expect(existsSync(join(work, SOCKET))).toBe(false);
    expect(errorsIn(join(work, 'restore.log'))).toEqual([]);
  });

  test('goes on when half of it ends in the middle', async () => {
    const daemon = lazyPages('-v3');
    await socketThere();
    const restored = criu();
    await verifyAll('exit-half');
    expect(await within(daemon.ended, 30_000)).toBe(0);
    await endTasks(target.pids, restored);
    expect(errorsIn(join(work, 'restore.log'))).toEqual([]);
  });

  test('--daemon: the starter ends when the socket is there, and no Node stays', async () => {
    const starter = lazyPages('--daemon', '--pidfile', 'lazy.pid', '-v4');
    expect(await within(starter.ended, 20_000)).toBe(0);
    expect(existsSync(join(work, SOCKET))).toBe(true);
    const pid = Number(readFileSync(join(work, 'lazy.pid'), 'latin1'));
    expect(runningComm(pid)).toBe('thaw-keeper');
    const restored = criu();
    await verifyAll('sequential');
    await until('the end of the pager', () => runningComm(pid) === undefined, 30_000);
    await until('the log', () => (log().match(/UFFD transferred/g) ?? []).length === TASKS);
    await endTasks(target.pids, restored);
    expect(log()).not.toContain('Error');
    expect(errorsIn(join(work, 'restore.log'))).toEqual([]);
  });

  test('is served on by the pager when the daemon is killed', async () => {
    const daemon = lazyPages('-v3');
    await socketThere();
    const restored = criu();
    await until('the tasks', () => log().includes('tasks restored'), 30_000);
    daemon.child.kill('SIGKILL');
    await verifyAll('sequential');
    await endTasks(target.pids, restored);
  });
});

test('--persist serves one image five times in a row, and ends at SIGTERM', async () => {
  const daemon = lazyPages('--persist', '-v3');
  await socketThere();
  for (let round = 0; round < 5; round++) {
    const restored = criu();
    await verifyAll(round % 2 === 0 ? 'random' : 'sequential');
    await endTasks(target.pids, restored);
    resetExchange(target);
    expect(errorsIn(join(work, 'restore.log'))).toEqual([]);
  }
  daemon.child.kill('SIGTERM');
  expect(await within(daemon.ended, 10_000)).toBe(143);
  expect(log()).not.toContain('Error');
  expect(log().match(/UFFD transferred pages/g)).toHaveLength(5 * TASKS);
});

/**
 * Restores in namespaces of its own. Paths and pids are those of every other restore: the exchange
 * directory is another one, mounted in its place.
 */
function restoreApart() {
  const exchange = makeDirectory();
  for (let task = 0; task < TASKS; task++) {
    for (const file of [`private-${task}`, `shared-${task}`]) {
      copyFileSync(join(target.exchange, file), join(exchange, file));
    }
  }
  mkdirSync(join(exchange, 'image'));
  const mounts = [
    'mount --make-rprivate /',
    `mount --bind ${target.image} ${exchange}/image`,
    `mount --rbind ${exchange} ${target.exchange}`,
  ];
  const log = join(makeDirectory(), 'restore.log');
  const restored = restoreWithCriu(target.image, {
    lazy: true,
    workDirectory: work,
    wrapper: [
      ...['unshare', '--pid', '--fork', '--mount', '--mount-proc'],
      ...['sh', '-c', `${mounts.join(' && ')} && exec "$0" "$@"`],
    ],
    options: ['-o', log],
  });
  return { exchange, restored, log };
}

test('--persist serves two at once, each in a pid namespace of its own', async () => {
  const daemon = lazyPages('--persist', '-v3');
  await socketThere();
  const runs = [0, 1].map(() => restoreApart());
  for (const run of runs) giveOrder(run, 'sequential');
  for (const run of runs) {
    for (const result of await results(run, TASKS)) expect(result).toMatch(/^ok \d+$/);
  }
  for (const run of runs) {
    await endTasks([], run.restored);
    expect(errorsIn(run.log)).toEqual([]);
  }
  daemon.child.kill('SIGTERM');
  expect(await within(daemon.ended, 10_000)).toBe(143);
  expect(log()).not.toContain('Error');
});

describe('says what is wrong', () => {
  test('with another image’s restore', async () => {
    const other = await dumpTarget();
    const daemon = lazyPages();
    await socketThere();
    const restored = restoreWithCriu(other.image, { lazy: true, workDirectory: work });
    await until('the refusal', () => log().includes('HANDOFF_MALFORMED'));
    expect(log()).toContain('another image directory');
    expect(existsSync(join(work, SOCKET))).toBe(true);
    daemon.child.kill('SIGTERM');
    await within(daemon.ended, 10_000);
    await endTasks(other.pids, restored);
  });

  test('when the restore fails in the middle', async () => {
    const daemon = lazyPages();
    await socketThere();
    const restored = criu();
    await until('the first task', () => existsSync(`/proc/${target.pids[0]}`), 20_000);
    await endTasks([], restored);
    expect(await within(daemon.ended, 20_000)).toBe(1);
    // Between a pid and its descriptor it is half a message.
    expect(log()).toMatch(/Error: (RESTORE_FAILED: criu restore ended before|HANDOFF_MALFORMED)/);
    await until('free pids', () => target.pids.every((pid) => !existsSync(`/proc/${pid}`)));
  });

  test('when another daemon listens there', async () => {
    const first = lazyPages();
    await socketThere();
    const second = startThaw(['lazy-pages', '-D', target.image, '-W', work, '-o', 'second.log']);
    expect(await within(second.ended, 10_000)).toBe(1);
    const said = readFileSync(join(work, 'second.log'), 'utf8');
    expect(said).toContain('SOCKET_UNAVAILABLE: another lazy-pages daemon listens');
    first.child.kill('SIGINT');
    expect(await within(first.ended, 10_000)).toBe(130);
  });

  test('when `criu lazy-pages` listens there, and when it takes the name away', async () => {
    work = makeDirectory();
    const criuDaemon = () => {
      const place = ['--no-default-config', '-D', target.image, '-W', work, '-o', 'criu.log'];
      return startProcess(criuPath(), ['lazy-pages', ...place]);
    };
    const first = criuDaemon();
    await socketThere();
    const refused = startThaw(['lazy-pages', '-D', target.image, '-W', work, '-o', 'lazy.log']);
    expect(await within(refused.ended, 10_000)).toBe(1);
    expect(log()).toContain('another lazy-pages daemon listens in this directory');
    first.child.kill('SIGKILL');
    await first.ended;
    const daemon = lazyPages('-v3');
    await until('the wait', () => existsSync(join(work, 'lazy.log')) && log().includes('waiting'));
    criuDaemon();
    expect(await within(daemon.ended, 10_000)).toBe(1);
    expect(log()).toMatch(/replaced while it was waited at.*end one of the two/);
  });

  test('in a directory that holds no image', async () => {
    work = makeDirectory();
    const daemon = startThaw(['lazy-pages', '-D', work, '-o', 'lazy.log']);
    expect(await within(daemon.ended, 10_000)).toBe(1);
    expect(log()).toContain('IMAGE_MISSING');
  });
});

test('--status-fd gets one zero byte', async () => {
  const directory = makeDirectory();
  const file = join(directory, 'status');
  const fd = openSync(file, 'w');
  work = makeDirectory();
  const args = ['lazy-pages', '-D', target.image, '-W', work, '--status-fd', '3'];
  const daemon = startThaw(args, ['ignore', 'ignore', 'ignore', fd]);
  closeSync(fd);
  await socketThere();
  await until('readiness', () => statSync(file).size > 0);
  expect(readFileSync(file)).toEqual(Buffer.from([0]));
  daemon.child.kill('SIGTERM');
  await within(daemon.ended, 10_000);
});
