/** `thaw lazy-pages --page-server` when the server goes away: it waits, connects again, or gives up. */
import type { StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { tlsOptions } from '../support/certificates.js';
import {
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
} from '../support/criu.js';
import { CuttingProxy } from '../support/cutting-proxy.js';
import {
  allowLargePipes,
  restorePipeLimit,
  servePages,
  servePagesByThaw,
} from '../support/page-servers.js';
import { pagerProcess, until, within } from '../support/process-facts.js';
import { awaitPlace, readSurvey } from '../support/survey.js';

let target: DumpedTarget;
let work: string;
const proxies: CuttingProxy[] = [];

beforeAll(async () => {
  allowLargePipes();
  target = await dumpTarget();
});
afterEach(async () => {
  endStarted();
  resetExchange(target);
  for (const proxy of proxies.splice(0)) await proxy.goAway();
});
afterAll(restorePipeLimit);
afterAll(endAll);

const log = (): string => readFileSync(join(work, 'lazy.log'), 'utf8');
const linesWith = (text: string): string[] =>
  log()
    .split('\n')
    .filter((line) => line.includes(text));
const timeOf = (line = ''): number => Number(/^\((\d+\.\d+)\)/.exec(line)?.[1]);

async function proxyTo(port: number, afterBytes: readonly number[] = []): Promise<CuttingProxy> {
  const proxy = await CuttingProxy.start(port, { afterBytes });
  proxies.push(proxy);
  return proxy;
}

/** Restores by CRIU, with the pages from a server. */
async function begin(
  options: readonly string[],
  stdio?: StdioOptions,
): Promise<{ daemon: Started; restored: Started }> {
  work = makeDirectory();
  const where = ['-D', target.image, '-W', work, '-o', 'lazy.log', '-v4'];
  const daemon = startThaw(['lazy-pages', ...where, ...options], stdio);
  await until('the socket', () => existsSync(join(work, 'lazy-pages.socket')));
  const restored = restoreWithCriu(target.image, { lazy: true, workDirectory: work });
  return { daemon, restored };
}

/** The same without a fill, until the task is about to look at its memory. */
async function beginSurvey(
  options: readonly string[],
): Promise<{ daemon: Started; restored: Started }> {
  const begun = await begin([...options, '--fill', 'off']);
  giveOrder(target, 'survey');
  await awaitPlace(target);
  return begun;
}

/** The same, with pages from our server through a proxy. */
async function beginSurveyThrough(): Promise<{
  proxy: CuttingProxy;
  daemon: Started;
  restored: Started;
}> {
  const server = await servePagesByThaw(target.image, ['--persist']);
  const proxy = await proxyTo(server.port);
  return { proxy, ...(await beginSurvey(proxy.client)) };
}

/** Ends the tasks, and expects the daemon to end by itself. */
async function expectEnd(
  { daemon, restored }: { daemon: Started; restored: Started },
  status: number,
  milliseconds: number,
): Promise<void> {
  await endTasks(target.pids, restored);
  expect(await within(daemon.ended, milliseconds)).toBe(status);
}

async function verify(scenario: string): Promise<void> {
  giveOrder(target, scenario);
  expect(await results(target)).toEqual([expect.stringMatching(/^ok \d+$/)]);
}

describe('a server that comes back', () => {
  // Cut in a header, in a page, between two pages (24 bytes of header each, 64 KiB a request).
  const cuts = [10, 24 + 100, 24 + 4096, 65_560, 300_001, 1_000_003, 2_500_007];

  test.each([
    ['', () => []],
    [' over TLS', tlsOptions],
  ])('costs nothing, however its connections are cut%s', async (_, options) => {
    const tls = options();
    const server = await servePagesByThaw(target.image, ['--persist', ...tls]);
    const afterBytes = tls.length === 0 ? cuts : cuts.map((bytes) => bytes + 4_000);
    const proxy = await proxyTo(server.port, afterBytes);
    const { daemon, restored } = await begin([...proxy.client, ...tls]);
    await verify('random');
    expect(await within(daemon.ended, 30_000)).toBe(0);
    await endTasks(target.pids, restored);
    expect(proxy.connections).toBe(cuts.length + 1);
    // A loss while the last one is still dealt with is part of that.
    const stalls = linesWith('it is tried again for up to 5 s').length;
    expect(stalls).toBeGreaterThan(1);
    expect(stalls).toBeLessThanOrEqual(cuts.length);
    expect(linesWith('is tried again any more')).toHaveLength(stalls);
    expect(log()).not.toContain('Error');
  });

  test('is waited for while it is down for a second', async () => {
    const { proxy, daemon, restored } = await beginSurveyThrough();
    await proxy.goAway();
    giveOrder(target, 'look');
    await until('the stall', () => linesWith('it is tried again').length === 1);
    await sleep(1_000);
    await proxy.comeBack();
    expect(await results(target)).toEqual(['ok 2048']);
    expect(await readSurvey(target)).toEqual([]);
    await expectEnd({ daemon, restored }, 0, 30_000);
    const label = `page server 127.0.0.1:${proxy.port}`;
    expect(linesWith('it is tried again')[0]).toContain(`Warn: the server hung up (${label}): it`);
    const [resumed] = linesWith('is tried again any more');
    expect(resumed).toContain(`(${label})`);
    const waited = timeOf(resumed) - timeOf(linesWith('it is tried again')[0]);
    expect(waited).toBeGreaterThan(0.9);
    expect(waited).toBeLessThan(2.5);
    expect(log()).not.toContain('Error');
  });

  test('is connected to again by whoever takes over from a killed pager', async () => {
    const server = await servePagesByThaw(target.image, ['--persist']);
    const { daemon, restored } = await beginSurvey(server.client);
    const pager = await pagerOf(daemon);
    process.kill(pagerProcess(pager, 'thaw-pager'), 'SIGKILL');
    giveOrder(target, 'look');
    expect(await results(target)).toEqual(['ok 2048']);
    expect(await readSurvey(target)).toEqual([]);
    await expectEnd({ daemon, restored }, 0, 30_000);
    expect(linesWith('it is tried again')).toHaveLength(1);
    expect(log()).not.toContain('Error');
  });

  test('may be lost again long after, while nobody waits', async () => {
    const { proxy, daemon, restored } = await beginSurveyThrough();
    for (let losses = 1; losses <= 2; losses++) {
      if (losses > 1) await sleep(5_500); // longer than a lost server is tried again
      proxy.cut();
      await until(
        'the end of the stall',
        () => linesWith('tried again any more').length === losses,
      );
    }
    giveOrder(target, 'look');
    expect(await readSurvey(target)).toEqual([]);
    await expectEnd({ daemon, restored }, 0, 30_000);
    expect(log()).not.toContain('Error');
  });

  test('is waited for at SIGTERM too, before the pager is left to itself', async () => {
    const { proxy, daemon, restored } = await beginSurveyThrough();
    await proxy.goAway();
    await until('the stall', () => linesWith('it is tried again').length === 1);
    daemon.child.kill('SIGTERM');
    await sleep(500);
    await proxy.comeBack();
    expect(await within(daemon.ended, 10_000)).toBe(143);
    giveOrder(target, 'look');
    expect(await results(target)).toEqual(['ok 2048']);
    expect(await readSurvey(target)).toEqual([]);
    await endTasks(target.pids, restored);
    expect(log()).not.toContain('Error');
  });
});

describe('a server that stays away', () => {
  test('is waited for five seconds; then what is missing is SIGBUS', async () => {
    const { proxy, daemon, restored } = await beginSurveyThrough();
    await proxy.goAway();
    const label = `page server 127.0.0.1:${proxy.port}`;
    giveOrder(target, 'look');
    const runs = (await readSurvey(target)).flat();
    expect(runs.at(0)).toBeLessThan(20);
    expect(runs.at(-1)).toBeGreaterThan(2045);
    const [lost] = linesWith('Error: SOURCE_LOST');
    expect(lost).toMatch(/no other came about within 5 s: .*then ECONNREFUSED at 127\.0\.0\.1:/);
    expect(lost).toContain(`(${label})`);
    const waited = timeOf(lost) - timeOf(linesWith('it is tried again')[0]);
    expect(waited).toBeGreaterThan(4.5);
    expect(waited).toBeLessThan(7);
    const pid = target.pids[0];
    const failed = linesWith('Error: PAGE_FAILED');
    expect(failed.length).toBeGreaterThan(0);
    for (const line of failed) {
      expect(line).toContain(`of task ${pid} cannot be produced: found the server hung up`);
      expect(line).toContain(label);
    }
    await expectEnd({ daemon, restored }, 1, 10_000);
    expect(linesWith('Error: SOURCE_LOST')).toHaveLength(1);
  });

  test('is not waited for again and again: a connection that brings nothing is none', async () => {
    const { proxy, daemon, restored } = await beginSurveyThrough();
    await proxy.goAway();
    const dead = await hangUpAt(proxy.port);
    giveOrder(target, 'look');
    expect(await readSurvey(target)).not.toEqual([]);
    const [stall] = linesWith('it is tried again');
    const waited = timeOf(linesWith('Error: SOURCE_LOST')[0]) - timeOf(stall);
    // Five seconds from when somebody waits, which is later than the first loss.
    expect(waited).toBeLessThan(15);
    await expectEnd({ daemon, restored }, 1, 10_000);
    dead.close();
  });

  test('is not tried again where the connection came by --ps-socket', async () => {
    const server = await servePagesByThaw(target.image, ['--persist']);
    const proxy = await proxyTo(server.port);
    const socket = connect(proxy.port, '127.0.0.1');
    await once(socket, 'connect');
    const options = ['--ps-socket', '3', '--fill', 'off'];
    const { daemon, restored } = await begin(options, ['ignore', 'ignore', 'ignore', socket]);
    socket.destroy(); // before it reads anything of what is the daemon's
    giveOrder(target, 'survey');
    await awaitPlace(target);
    proxy.cut();
    giveOrder(target, 'look');
    expect(await readSurvey(target)).not.toEqual([]);
    expect(linesWith('it is tried again')).toEqual([]);
    expect(linesWith('Error: SOURCE_LOST')[0]).toContain('(page server at descriptor 3)');
    await expectEnd({ daemon, restored }, 1, 10_000);
  });

  test('is tried again before its first answer, too, and may be one of other headers', async () => {
    const { client } = await servePages(target.image); // hangs up
    await expectStranger(client, 'the server hung up', 5);
    expect(linesWith('it is tried again')).toHaveLength(1);
  });

  test('is not tried again where it never answers anything', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    await expectStranger(['--page-server', '--port', String(port)], 'the server is silent', 10);
    expect(linesWith('it is tried again')).toEqual([]);
    silent.close();
  });

  /** A restore from what is no page server, at least none with these headers, fails after a while. */
  async function expectStranger(
    client: readonly string[],
    found: string,
    seconds: number,
  ): Promise<void> {
    const { daemon, restored } = await begin([...client, '--ps-header', '32']);
    expect(await within(daemon.ended, 30_000)).toBe(1);
    const [lost] = linesWith('Error: SOURCE_LOST');
    expect(lost).toContain(`expected an answer to the first request, found ${found}`);
    expect(lost).toContain('needs --ps-header 24 here');
    const waited = timeOf(lost) - timeOf(linesWith('connected to')[0]);
    expect(waited).toBeGreaterThan(seconds - 1);
    expect(waited).toBeLessThan(seconds + 4);
    await endTasks(target.pids, restored);
  }

  test('criu page-server, which has ended, is tried in vain', async () => {
    const server = await servePages(target.image);
    const proxy = await proxyTo(server.port);
    const { daemon, restored } = await beginSurvey(proxy.client);
    proxy.cut();
    giveOrder(target, 'look');
    expect(await readSurvey(target)).not.toEqual([]);
    await expectEnd({ daemon, restored }, 1, 10_000);
    expect(linesWith('Error: SOURCE_LOST')).toHaveLength(1);
  });
});

/** The process group of a daemon's pager. */
async function pagerOf(daemon: Started): Promise<number> {
  const path = `/proc/${daemon.child.pid}/task/${daemon.child.pid}/children`;
  const [keeper] = readFileSync(path, 'latin1').trim().split(' ').map(Number);
  return keeper ?? -1;
}

/** A listener that hangs up on whoever comes. */
async function hangUpAt(port: number): Promise<Server> {
  const server = createServer((client) => client.destroy());
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return server;
}
