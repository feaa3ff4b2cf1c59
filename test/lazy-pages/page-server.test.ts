/** `thaw page-server` in the place of `criu page-server --lazy-pages`: its clients are CRIU's own. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Authority, tlsOptionsOf } from '../support/certificates.js';
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
  startProcess,
  startThaw,
} from '../support/criu.js';
import { writeChain } from '../support/image-chain.js';
import { until, within } from '../support/process-facts.js';
import { runThaw } from '../support/run-thaw.js';

const TASKS = 5;

let target: DumpedTarget;

beforeAll(async () => {
  target = await dumpTarget(TASKS);
});
afterEach(() => {
  endStarted();
  resetExchange(target);
});
afterAll(endAll);

interface PageServer extends Started {
  readonly port: number;
  readonly log: () => string;
}

/** Starts `thaw page-server` at a free port of this machine. */
async function startPageServer(image: string, ...options: string[]): Promise<PageServer> {
  const path = join(makeDirectory(), 'page-server.log');
  const args = ['page-server', '--lazy-pages', '-D', image, '--address', '127.0.0.1'];
  const started = startThaw([...args, '--port', '0', '-v4', '-o', path, ...options]);
  const log = (): string => readFileSync(path, 'utf8');
  const port = (): number => Number(/listening at \S+ port (\d+)/.exec(log())?.[1]);
  await until('the page server', () => existsSync(path) && port() > 0, 10_000);
  return { ...started, port: port(), log };
}

/** Restores the target by CRIU, whose daemon gets the pages from `port`. */
async function restoreFrom(port: number, scenario: string, options: readonly string[] = []) {
  const work = makeDirectory();
  const place = ['-D', target.image, '-W', work];
  const server = ['--page-server', '--address', '127.0.0.1', '--port', String(port), ...options];
  const daemon = startProcess(criuPath(), [
    'lazy-pages',
    ...place,
    ...['-o', 'lazy.log', '-v4'],
    ...server,
  ]);
  await until('the daemon', () => existsSync(join(work, 'lazy-pages.socket')), 10_000);
  const restored = restoreWithCriu(target.image, { lazy: true, workDirectory: work });
  giveOrder(target, scenario);
  for (const result of await results(target, TASKS)) expect(result).toMatch(/^ok \d+$/);
  expect(await within(daemon.ended, 30_000)).toBe(0);
  await endTasks(target.pids, restored);
  expect(errorsIn(join(work, 'lazy.log'))).toEqual([]);
  expect(errorsIn(join(work, 'restore.log'))).toEqual([]);
  resetExchange(target);
}

/** The same memory in another form. */
async function inForm(form: string): Promise<string> {
  const image = join(makeDirectory(), 'image');
  if (form === 'plain') return target.image;
  if (form === 'chain') writeChain(target.image, image);
  else {
    const options = form === 'regions' ? ['--region', '64K'] : ['--per-page'];
    expect(await runThaw('pack', target.image, image, ...options)).toMatchObject({ status: 0 });
  }
  return image;
}

describe('criu lazy-pages gets the pages', () => {
  test.each(['plain', 'per page', 'regions', 'chain'])('of a %s image', async (form) => {
    const server = await startPageServer(await inForm(form));
    await restoreFrom(server.port, form === 'plain' ? 'random' : 'sequential');
    expect(await within(server.ended, 10_000)).toBe(0);
    expect(server.log()).toMatch(/closed after [\d,]+ pages .*, headers of 24 bytes/);
    expect(server.log()).not.toContain('Error');
  });
});

test('--persist serves restore after restore, and ends at SIGTERM', async () => {
  const server = await startPageServer(await inForm('regions'), '--persist');
  await restoreFrom(server.port, 'random');
  await restoreFrom(server.port, 'sequential');
  server.child.kill('SIGTERM');
  expect(await within(server.ended, 10_000)).toBe(143);
  expect(server.log().match(/closed after/g)).toHaveLength(2);
  expect(server.log()).not.toContain('Error');
});

test('over TLS, with certificates that both sides check', async () => {
  const authority = new Authority(makeDirectory());
  const names = ['DNS:localhost', 'IP:127.0.0.1'];
  const [ours, theirs] = ['server', 'client'].map((who) =>
    tlsOptionsOf(authority.certify(who, names)),
  );
  const server = await startPageServer(await inForm('regions'), ...(ours ?? []));
  await restoreFrom(server.port, 'random', theirs);
  expect(await within(server.ended, 10_000)).toBe(0);
  expect(server.log()).toMatch(/closed after [\d,]+ pages/);
  expect(server.log()).not.toContain('Error');
});
