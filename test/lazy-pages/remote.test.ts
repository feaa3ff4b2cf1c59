/** `thaw lazy-pages --page-server`: pages that a page server of CRIU has. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { tlsOptions } from '../support/certificates.js';
import {
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
  startTarget,
  startThaw,
} from '../support/criu.js';
import {
  allowLargePipes,
  dumpLazily,
  restorePipeLimit,
  servePages,
  servePagesByThaw,
} from '../support/page-servers.js';
import { runningComm, until, within } from '../support/process-facts.js';

const TASKS = 4;
const APART = ['unshare', '--pid', '--fork', '--mount', '--mount-proc'];

let work: string;

afterEach(endStarted);
beforeAll(allowLargePipes);
afterAll(restorePipeLimit);
afterAll(endAll);

async function lazyPages(image: string, options: readonly string[]) {
  work = makeDirectory();
  const daemon = startThaw([
    ...['lazy-pages', '-D', image, '-W', work, '-o', 'lazy.log', '-v4'],
    ...options,
  ]);
  await until('the socket', () => existsSync(join(work, 'lazy-pages.socket')));
  return daemon;
}
const log = (): string => readFileSync(join(work, 'lazy.log'), 'utf8');

async function verifyAll(target: Pick<DumpedTarget, 'exchange'>, scenario: string): Promise<void> {
  giveOrder(target, scenario);
  for (const result of await results(target, TASKS)) expect(result).toMatch(/^ok \d+$/);
}

describe('criu dump --lazy-pages', () => {
  test.each(['random', 'sequential', 'exit-half'])('serves a restore: %s', async (scenario) => {
    const { exchange, pids, ended } = await startTarget(TASKS);
    const image = join(exchange, 'image');
    mkdirSync(image);
    const server = await dumpLazily(pids[0] ?? 0, image);
    const daemon = await lazyPages(image, server.client);
    // The dumped tasks still have their pids here.
    const restored = restoreWithCriu(image, { lazy: true, workDirectory: work, wrapper: APART });
    await verifyAll({ exchange }, scenario);
    expect(await within(daemon.ended, 30_000)).toBe(0);
    expect(await within(server.ended, 10_000)).toBe(0);
    await ended;
    await endTasks([], restored);
    expect(log()).toContain(`connected to page server 127.0.0.1:${server.port}`);
    expect(log()).not.toContain('Error');
    expect(errorsIn(server.log)).toEqual([]);
    expect(errorsIn(join(work, 'restore.log'))).toEqual([]);
  });

  test('leaves an image that says where its pages are', async () => {
    const { exchange, pids } = await startTarget();
    const image = join(exchange, 'image');
    mkdirSync(image);
    await dumpLazily(pids[0] ?? 0, image);
    work = makeDirectory();
    const daemon = startThaw(['lazy-pages', '-D', image, '-W', work, '-o', 'lazy.log']);
    expect(await within(daemon.ended, 10_000)).toBe(1);
    expect(log()).toMatch(/Error: PAGES_MISSING: .*--page-server --address/);
  });
});

describe('criu page-server --lazy-pages', () => {
  let target: DumpedTarget;
  beforeAll(async () => {
    target = await dumpTarget(TASKS);
  });
  afterEach(() => resetExchange(target));

  test.each(['random', 'sequential'])('serves a restore: %s', async (scenario) => {
    await serveRestore(target, scenario, []);
  });

  test('so does thaw page-server', async () => {
    await serveRestore(target, 'random', [], servePagesByThaw);
  });

  test('serves a restore over TLS', () => serveRestore(target, 'random', tlsOptions()));

  test.each([
    ['an authority that we do not trust', tlsOptions],
    ['a server without TLS', () => []],
  ])('is refused over TLS: %s', async (_, serverOptions) => {
    const server = await servePages(target.image, serverOptions());
    const daemon = await lazyPages(target.image, [...server.client, ...tlsOptions()]);
    const restored = restoreWithCriu(target.image, { lazy: true, workDirectory: work });
    expect(await within(daemon.ended, 30_000)).toBe(1);
    expect(log()).toMatch(/Error: SOURCE_UNREACHABLE: the TLS session .*--tls-cacert/);
    await endTasks(target.pids, restored);
  });

  test.each([
    ['the pager goes on', () => []],
    ['over TLS the daemon stays until all is in', tlsOptions],
  ])('outlives SIGTERM: %s', async (_, options) => {
    const tls = options();
    const server = await servePages(target.image, tls);
    const daemon = await lazyPages(target.image, [...server.client, ...tls]);
    const restored = restoreWithCriu(target.image, { lazy: true, workDirectory: work });
    await until('the tasks', () => log().includes('tasks restored'), 30_000);
    daemon.child.kill('SIGTERM');
    await verifyAll(target, 'sequential');
    await within(daemon.ended, 20_000);
    expect(await within(server.ended, 20_000)).toBe(0);
    await endTasks(target.pids, restored);
    expect(log()).not.toContain('Error');
    expect(errorsIn(server.log)).toEqual([]);
  });

  test('--daemon: Node stays, and ends with the last page', async () => {
    const server = await servePages(target.image);
    const options = [...server.client, '--daemon', '--pidfile', 'lazy.pid'];
    const starter = await lazyPages(target.image, options);
    expect(await within(starter.ended, 20_000)).toBe(0);
    const pid = Number(readFileSync(join(work, 'lazy.pid'), 'latin1'));
    const restored = restoreWithCriu(target.image, { lazy: true, workDirectory: work });
    await verifyAll(target, 'random');
    expect(await within(server.ended, 20_000)).toBe(0);
    await until('the end of the daemon', () => runningComm(pid) === undefined, 20_000);
    await endTasks(target.pids, restored);
    expect(log()).not.toContain('Error');
  });

  test('a server that dies costs pages, not their content', async () => {
    const server = await servePages(target.image);
    const daemon = await lazyPages(target.image, server.client);
    const restored = restoreWithCriu(target.image, { lazy: true, workDirectory: work });
    await until('the first task', () => log().includes('connected to'), 30_000);
    server.child.kill('SIGKILL');
    expect(await within(daemon.ended, 30_000)).toBe(1);
    expect(log()).toContain('Error: SOURCE_LOST');
    await endTasks(target.pids, restored);
  });

  test('no server: says where, and what to start', async () => {
    const client = ['--page-server', '--address', '127.0.0.1', '--port', '1'];
    const daemon = await lazyPages(target.image, client);
    const restored = restoreWithCriu(target.image, { lazy: true, workDirectory: work });
    expect(await within(daemon.ended, 30_000)).toBe(1);
    expect(log()).toMatch(/Error: SOURCE_UNREACHABLE: .*ECONNREFUSED at 127.0.0.1:1/);
    await endTasks(target.pids, restored);
  });

  async function serveRestore(
    target: DumpedTarget,
    scenario: string,
    tls: readonly string[],
    serve = servePages,
  ): Promise<void> {
    const server = await serve(target.image, tls);
    const daemon = await lazyPages(target.image, [...server.client, ...tls]);
    const restored = restoreWithCriu(target.image, { lazy: true, workDirectory: work });
    await verifyAll(target, scenario);
    expect(await within(daemon.ended, 30_000)).toBe(0);
    expect(await within(server.ended, 10_000)).toBe(0);
    await endTasks(target.pids, restored);
    expect(log()).not.toContain('Error');
    expect(errorsIn(server.log)).toEqual([]);
    expect(errorsIn(join(work, 'restore.log'))).toEqual([]);
  }
});
