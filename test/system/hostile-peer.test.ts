/**
 * Peers of `thaw lazy-pages` that are no `criu restore`, on its real socket: each is refused with a
 * reason, the daemon goes on, and whoever is honest is served with right bytes.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { LazyPagesServer } from '../../src/lazy-pages/lazy-pages-server.js';
import { serveAsMarked } from '../../src/lazy-pages/served-image.js';
import { native } from '../../src/native.js';
import { Pager } from '../../src/servicer/pager.js';
import { RegisterMode } from '../../src/uffd/flags.js';
import { Mapping } from '../../src/uffd/mapping.js';
import type { Uffd } from '../../src/uffd/uffd.js';
import { UffdBuilder } from '../../src/uffd/uffd-builder.js';
import { endAll, makeDirectory, type Started, startThaw } from '../support/criu.js';
import { PAGE, pageBytes, writeImage } from '../support/image-builder.js';
import { LazyClient } from '../support/lazy-client.js';
import {
  childrenOf,
  openDescriptors,
  pagerProcess,
  runningComm,
  until,
  within,
} from '../support/process-facts.js';

const PID = 31001;
const NOBODY = 65534;
/** Present, and lazy. */
const LAZY_FLAGS = 6;
const STORED = 20;
const PAGES = 32;

let work: string;
let daemon: Started;
let mapping: Mapping;
let bytes: Buffer;

const socketPath = (): string => join(work, 'lazy-pages.socket');
const log = (): string => readFileSync(join(work, 'lazy.log'), 'utf8');
const linesWith = (text: string): number => log().split(text).length - 1;
/** The daemon and its pager. */
const pids = (): number[] => {
  const { pid = -1 } = daemon.child;
  return [pid, ...childrenOf(pid).filter((child) => runningComm(child) === 'thaw-keeper')];
};

beforeAll(async () => {
  work = makeDirectory();
  mapping = Mapping.anonymous(PAGES * PAGE);
  const { vaddr } = mapping;
  const payload = Buffer.concat(Array.from({ length: STORED }, (_, i) => pageBytes(i + 1)));
  bytes = Buffer.concat([payload], PAGES * PAGE);
  const entries = [{ vaddr, pageCount: STORED, flags: LAZY_FLAGS }];
  const vmas = [{ start: vaddr, end: vaddr + BigInt(PAGES * PAGE) }];
  const pagemap = { pagesId: 1, entries, payload };
  writeImage(join(work, 'image'), { tasks: [{ pid: PID, vmas, pagemap }] });
  const place = ['-D', join(work, 'image'), '-W', work, '-o', 'lazy.log', '-v4'];
  daemon = startThaw(['lazy-pages', '--no-default-config', '--persist', ...place]);
  const logged = (): boolean => existsSync(join(work, 'lazy.log'));
  await until('the socket', () => logged() && log().includes('waiting for criu'), 10_000);
  await expectService();
});
afterAll(async () => {
  daemon.child.kill('SIGTERM');
  const status = await within(daemon.ended);
  endAll();
  await mapping.unmap();
  expect(status).toBe(143);
});

const clients: LazyClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.hangUp();
});

async function connect(): Promise<LazyClient> {
  const client = await LazyClient.connect(socketPath());
  clients.push(client);
  return client;
}

/** A userfaultfd for the memory of the image's task. */
function openUffd(): Uffd {
  const uffd = new UffdBuilder().closeOnExec(true).nonBlocking(true).userModeOnly(true).create();
  uffd.register(mapping.vaddr, mapping.byteLength, RegisterMode.MISSING);
  return uffd;
}

/** A restore as it should be: every page comes, and each is right. */
async function expectService(): Promise<void> {
  await mapping.zap(0, mapping.byteLength);
  const whole = `UFFD transferred pages: (${STORED}/${STORED})`;
  const ends = linesWith(whole);
  const uffd = openUffd();
  const client = await connect();
  client.announce(PID, uffd.fd);
  client.restored();
  const found = await within(mapping.read(0, mapping.byteLength));
  expect(Buffer.compare(found, bytes)).toBe(0);
  await until('the end of the task', () => linesWith(whole) > ends);
  uffd.close();
}

/** The errors that a client makes the daemon tell by what `act` does; afterwards others are served. */
async function refusal(act: (client: LazyClient) => unknown): Promise<string[]> {
  const before = log().length;
  const client = await connect();
  await act(client);
  await within(client.ended, 5_000);
  await until('a reason', () => log().slice(before).includes('Error: '));
  const said = log().slice(before).split('\n');
  await expectService();
  return said.filter((line) => line.includes('Error: '));
}

/** Refused, each for `reason`. */
async function expectRefusals(
  reason: RegExp,
  ...lies: readonly ((client: LazyClient) => unknown)[]
): Promise<void> {
  for (const lie of lies) {
    for (const line of await refusal(lie)) expect(line).toMatch(reason);
  }
}

describe('is refused, and the next is served', () => {
  test.each([
    ['a pipe', () => native.socketpair()[0]],
    ['a file', () => openSync('/dev/null', 'r')],
    ['a memfd', () => native.createMemfd('no-uffd', PAGE)],
  ])('%s for a userfaultfd', async (_, open) => {
    const fd = open();
    await expectRefusals(/PAGER_REFUSED: .*the descriptor is not a userfaultfd/, (client) =>
      client.announce(PID, fd),
    );
    closeSync(fd);
  });

  test('no descriptor, two, and as many as a message takes', async () => {
    for (const count of [0, 2, 253]) {
      await expectRefusals(
        RegExp(`HANDOFF_MALFORMED: .*found ${count} descriptors for`),
        (client) => client.announce(PID, ...Array<number>(count).fill(0)),
      );
    }
  });

  test('a descriptor with the pid, instead of behind it', async () => {
    await expectRefusals(/HANDOFF_MALFORMED: .*a descriptor that belongs to no task/, (client) =>
      client.send(Buffer.alloc(4, 1), [0]),
    );
  });

  test('half a message, and then the end', async () => {
    const end = (client: LazyClient): void => client.hangUp();
    await expectRefusals(
      /HANDOFF_MALFORMED: .*found it ended in the middle/,
      (client) => [client.word(PID, 2), end(client)],
      (client) => [client.word(PID), end(client)],
    );
    await expectRefusals(/RESTORE_FAILED: .*found 0 tasks, then the end/, end);
  });

  test('a task that the image does not have, or has not so', async () => {
    await expectRefusals(
      /HANDOFF_MALFORMED: .*expected each task of the image once, found (task|zombie) \d+/,
      (client) => client.announce(PID + 1, 0),
      (client) => client.send(Buffer.from('GET / HTTP/1.1\r\n\r\n')),
      (client) => client.word(-PID),
    );
    await expectRefusals(/HANDOFF_MALFORMED: .*found pid 0/, (client) => client.word(0));
  });

  test('a task that comes twice', async () => {
    const uffd = openUffd();
    await expectRefusals(/HANDOFF_MALFORMED: .*found task 31001/, async (client) => {
      client.announce(PID, uffd.fd);
      client.announce(PID, uffd.fd);
      await client.ended;
      uffd.unregister(mapping.vaddr, mapping.byteLength);
      uffd.close();
    });
  });

  test('the word that all is restored, before it is', async () => {
    await expectRefusals(/HANDOFF_MALFORMED: .*before all of its tasks were there/, (client) =>
      client.restored(),
    );
  });

  test('a userfaultfd of other memory', async () => {
    const other = Mapping.anonymous(PAGE);
    const uffd = new UffdBuilder().nonBlocking(true).userModeOnly(true).create();
    uffd.register(other.vaddr, other.byteLength, RegisterMode.MISSING);
    await expectRefusals(
      /PAGE_FAILED: \d+ pages? .*an address that is not registered/,
      (client) => {
        client.announce(PID, uffd.fd);
        client.restored();
      },
    );
    uffd.close();
    await other.unmap();
  });
});

/** Connects as `uid`, and stays until the other side hangs up. */
async function connectAs(uid: number): Promise<void> {
  const program = `require('net').connect(process.argv[1]).on('error', () => {}).resume()`;
  const options = { uid, gid: uid, stdio: 'ignore', cwd: '/', timeout: 10_000 } as const;
  const child = spawn(process.execPath, ['-e', program, socketPath()], options);
  await within(new Promise((resolve) => child.once('close', resolve)));
}

test('only this user and root may connect', async () => {
  expect(statSync(socketPath()).mode & 0o777).toBe(0o600);
  const before = log().length;
  await connectAs(NOBODY);
  expect(log().slice(before)).not.toContain('user'); // the mode of the socket
  for (const [path, mode] of [
    [work, 0o755],
    [socketPath(), 0o666],
  ] as const)
    chmodSync(path, mode);
  await connectAs(NOBODY);
  await until('a reason', () => log().slice(before).includes('Error: '));
  expect(log().slice(before)).toMatch(
    /Error: PEER_REFUSED: another user connected .*expected user 0 or root, found user 65534, pid/,
  );
  chmodSync(socketPath(), 0o600);
  await expectService();
});

test('those who say nothing, or half of it, keep nobody waiting', async () => {
  for (let round = 0; round < 20; round++) {
    await connect();
    (await connect()).word(PID, 3);
    (await connect()).word(PID);
  }
  await expectService();
});

const limitDescriptors = (pid: number, limit: number): unknown =>
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:`]);

/** Leaves a process no descriptor but those that it has. */
function exhaustDescriptors(pid: number): void {
  const open = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let free = 0;
  while (open.has(free)) free += 1;
  limitDescriptors(pid, free);
}

test('a daemon without descriptors says so once, and goes on when there are some', async () => {
  const { pid = -1 } = daemon.child;
  await sleep(200); // what was served last is let go of
  const before = log().length;
  exhaustDescriptors(pid);
  const some = await Promise.all(Array.from({ length: 12 }, connect));
  await until('a reason', () => log().slice(before).includes('EMFILE'));
  await sleep(1_200);
  const said = log().slice(before);
  expect(said.match(/Error: /g)).toHaveLength(1);
  expect(said).toMatch(/Error: EMFILE: a peer cannot be accepted, and waits: .*ulimit -n/);
  limitDescriptors(pid, 4096);
  for (const client of some) client.hangUp();
  await until('their end', () => log().slice(before).split('then the end').length === 13);
  await expectService();
});

test('a pager without descriptors for what it is sent says so, and goes on', async () => {
  const worker = pagerProcess(pids()[1] ?? -1, 'thaw-pager');
  const client = await connect();
  await sleep(200); // what was served last is let go of, and the pager has the connection
  const before = log().length;
  exhaustDescriptors(worker);
  client.announce(PID, 0);
  await until('a reason', () => log().slice(before).includes('Error: '));
  expect(log().slice(before)).toMatch(/Error: EMFILE: .*could not be received.*ulimit -n/);
  limitDescriptors(worker, 4096);
  await expectService();
});

test('peers come and go, and nothing of them stays', async () => {
  const descriptors = (): number[] => pids().map((pid) => openDescriptors(pid).length);
  await expectService();
  await sleep(200); // what was served last is let go of
  const before = descriptors();
  expect(before).toHaveLength(2);
  for (let round = 0; round < 50; round++) {
    const some = await Promise.all([connect(), connect(), connect(), connect()]);
    some[0]?.announce(PID, 0, 0);
    some[1]?.announce(PID, 0);
    some[2]?.word(PID, 2);
    for (const client of some.slice(2)) client.hangUp();
    await within(Promise.all(some.map(({ ended }) => ended)));
  }
  await expectService();
  await until('as many descriptors', () => descriptors().join() === before.join());
});

describe('a server of this process', () => {
  let pager: Pager;
  let server: LazyPagesServer;
  const refused: ThawError[] = [];

  beforeEach(async () => {
    await using checkpoint = await Checkpoint.open(join(work, 'image'));
    const image = serveAsMarked(checkpoint);
    pager = await Pager.start();
    server = LazyPagesServer.listen({
      image,
      pager,
      workDirectory: makeDirectory(),
      persist: true,
      silenceMs: 500,
    });
    server.on('refused', (error) => refused.push(error as ThawError));
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    refused.length = 0;
    await server.close();
    await pager.close();
  });

  test('hangs up on silence', async () => {
    const silent = await LazyClient.connect(server.socketPath);
    await within(silent.ended);
    expect(refused.map(({ code }) => code)).toEqual(['TIMED_OUT']);
    expect(refused[0]?.message).toMatch(/silent for 0.5 s: expected 1 tasks, found 0 announced/);
    expect(server.sessions.size).toBe(0);
  });

  test('of another user lets root in', async () => {
    vi.spyOn(process, 'getuid').mockReturnValue(1234);
    const root = await LazyClient.connect(server.socketPath);
    await until('a session', () => server.sessions.size === 1);
    root.hangUp();
    await until('its end', () => server.sessions.size === 0);
    expect(refused.map(({ code }) => code)).toEqual(['RESTORE_FAILED']);
  });
});
