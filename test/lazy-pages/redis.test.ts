/**
 * redis-server with 100,000 keys: resumed while its memory is missing, and asked at once. Over a Unix
 * socket: CRIU 4.1.1 cannot dump TCP sockets on kernels where those have no SO_PASSCRED (6.16).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { packImage } from '../../src/pack/pack-image.js';
import {
  criuPath,
  dump,
  endAll,
  endStarted,
  errorsIn,
  makeDirectory,
  type Started,
  startReaped,
  startThawReaped,
} from '../support/criu.js';
import { until, within } from '../support/process-facts.js';

const KEYS = 100_000;
const BENCHMARK_MS_MAX = 40_000;

let directory: string;
let image: string;
let pid: number;
let digest: string;

beforeAll(async () => {
  directory = makeDirectory();
  image = join(directory, 'image');
  const redis = startReaped([
    'redis-server',
    ...['--port', '0', '--unixsocket', socketPath(), '--save', '', '--appendonly', 'no'],
    ...['--enable-debug-command', 'yes', '--dir', directory],
    ...['--daemonize', 'no', '--logfile', '/dev/null'],
  ]);
  await until('redis', () => ask('PING') === 'PONG', 10_000);
  ask('DEBUG', 'POPULATE', String(KEYS), 'key', '64');
  digest = ask('DEBUG', 'DIGEST');
  pid = Number(/^process_id:(\d+)/m.exec(ask('INFO', 'server'))?.[1]);
  dump(pid, image);
  await redis.ended;
});
afterEach(endStarted);
afterAll(endAll);

const socketPath = (): string => join(directory, 'redis.sock');

/** What redis-cli prints; empty while nobody answers. */
function ask(...command: string[]): string {
  try {
    const args = ['-s', socketPath(), ...command];
    const options = { encoding: 'utf8', timeout: 20_000, stdio: ['ignore', 'pipe', 'ignore'] };
    return execFileSync('redis-cli', args, options as { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

async function resume(from: string, ...options: string[]): Promise<[Started, string]> {
  const log = join(makeDirectory(), 'criu.log');
  const restorer = ['--restorer', 'criu', '--criu', criuPath(), ...options];
  const criu = ['--', '--manage-cgroups=ignore', '--log-file', log];
  const restored = startThawReaped(['restore', from, ...restorer, ...criu]);
  await until('the resumed redis', () => ask('PING') === 'PONG', 20_000);
  return [restored, log];
}

async function end([restored, log]: [Started, string]): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await within(restored.ended, 20_000);
  await until('a free pid', () => !existsSync(`/proc/${pid}`), 10_000);
  expect(errorsIn(log)).toEqual([]);
}

async function imageOf(form: string): Promise<string> {
  if (form === 'plain') return image;
  const packed = join(makeDirectory(), 'packed');
  await packImage(image, packed, { mode: form === 'page' ? 'page' : { regionPages: 16 } });
  return packed;
}

for (const form of ['plain', 'page', 'region']) {
  test(`from an image in form ${form}: the same data`, async () => {
    const run = await resume(await imageOf(form));
    expect(ask('DBSIZE')).toBe(String(KEYS));
    expect(ask('DEBUG', 'DIGEST')).toBe(digest);
    await end(run);
  });

  test(`in form ${form}, serves redis-benchmark while pages are missing`, async () => {
    // Without a fill, what is not touched stays missing to the end.
    const run = await resume(await imageOf(form), '--fill', 'off');
    const args = ['-s', socketPath(), '-n', '20000', '-r', '1000', '-q', '-t', 'set,get'];
    const said = execFileSync('redis-benchmark', args, {
      encoding: 'utf8',
      timeout: BENCHMARK_MS_MAX,
    });
    expect(said).toMatch(/GET: [\d.]+ requests per second/);
    expect(said).not.toMatch(/error/i);
    expect(residentKib(pid)).toBeLessThan(storedKib());
    expect(ask('DEBUG', 'DIGEST-VALUE', 'key:99999')).not.toBe('');
    await end(run);
  });
}

function residentKib(of: number): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${of}/status`, 'latin1'))?.[1]);
}

function storedKib(): number {
  const [pages] = execFileSync('sh', ['-c', `du -k ${image}/pages-*.img | sort -rn`], {
    encoding: 'utf8',
  }).split('\t');
  return Number(pages);
}
