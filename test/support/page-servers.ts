/** Page servers of CRIU: what has the pages while the target is restored somewhere else. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { criuPath, makeDirectory, type Started, startProcess, startThaw } from './criu.js';
import { until } from './process-facts.js';

const LISTENING = '0A';

const PIPE_MAX = '/proc/sys/fs/pipe-max-size';
/** More than the memory of any of our targets. */
const PIPE_BYTES_NEEDED = 64 * 1024 * 1024;
let pipeBytesBefore: string | undefined;

/**
 * Lets CRIU's page servers have a pipe as large as a target's memory. They fail without, unless they
 * have CAP_SYS_RESOURCE, which root has on most machines, but not in a container.
 */
export function allowLargePipes(): void {
  const before = readFileSync(PIPE_MAX, 'latin1').trim();
  if (Number(before) >= PIPE_BYTES_NEEDED) return;
  pipeBytesBefore = before;
  writeFileSync(PIPE_MAX, String(PIPE_BYTES_NEEDED));
}

/** Takes {@link allowLargePipes} back. For `afterAll`. */
export function restorePipeLimit(): void {
  if (pipeBytesBefore !== undefined) writeFileSync(PIPE_MAX, pipeBytesBefore);
}

/** A port that nobody listens at. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Waits until somebody listens at `port`, without a connection: a page server takes only one. */
async function listening(port: number): Promise<void> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  await until(`a listener at port ${port}`, () =>
    ['tcp', 'tcp6'].some((table) =>
      readFileSync(`/proc/net/${table}`, 'latin1')
        .split('\n')
        .some((line) => {
          const [, local = '', , state] = line.trim().split(/\s+/);
          return local.endsWith(`:${hex}`) && state === LISTENING;
        }),
    ),
  );
}

/** A server that listens by now. */
export interface PageServer extends Started {
  readonly port: number;
  /** Options of a lazy client. */
  readonly client: readonly string[];
  /** Its log. */
  readonly log: string;
}

async function start(
  command: string,
  image: string,
  options: readonly string[],
): Promise<PageServer> {
  const port = await freePort();
  const log = join(image, `${command}.log`);
  const where = ['--address', '127.0.0.1', '--port', String(port)];
  const args = [command, '-D', image, '-o', log, '-v4', '--lazy-pages', ...where, ...options];
  const started = startProcess(criuPath(), args);
  await listening(port);
  return { ...started, port, log, client: ['--page-server', ...where] };
}

/** `criu page-server --lazy-pages` of a whole image. */
export function servePages(image: string, options: readonly string[] = []): Promise<PageServer> {
  return start('page-server', image, options);
}

/** `thaw page-server --lazy-pages` of a whole image. */
export async function servePagesByThaw(
  image: string,
  options: readonly string[] = [],
): Promise<PageServer> {
  const port = await freePort();
  const log = join(makeDirectory(), 'page-server.log');
  const where = ['--address', '127.0.0.1', '--port', String(port)];
  const args = ['page-server', '--lazy-pages', '-D', image, '-o', log, ...where, ...options];
  const started = startThaw(args);
  await listening(port);
  return { ...started, port, log, client: ['--page-server', ...where] };
}

/** `criu dump --lazy-pages`, which keeps the tasks' pages and serves them. */
export function dumpLazily(
  pid: number,
  image: string,
  options: readonly string[] = [],
): Promise<PageServer> {
  return start('dump', image, ['-t', String(pid), '--manage-cgroups=ignore', ...options]);
}
