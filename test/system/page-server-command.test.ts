/** `thaw page-server` as a user runs it, with a client of the tests' own. */
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, statSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { COMMAND } from '../../src/page-server/wire.js';
import { endAll, endStarted, makeDirectory, startThaw } from '../support/criu.js';
import { PageClient } from '../support/page-client.js';
import { runningComm, until, within } from '../support/process-facts.js';
import { fixturePath, readExpected } from '../support/restore-fixtures.js';
import { runThaw } from '../support/run-thaw.js';

const PID = 31001;
const VADDR = 0x40_1000n;

let work: string;

beforeEach(() => {
  work = makeDirectory();
});
afterEach(endStarted);
afterAll(endAll);

const log = (): string => readFileSync(join(work, 'server.log'), 'utf8');
const ARGS = ['page-server', '--lazy-pages', '-D', fixturePath('pattern'), '-v4'];

async function start(...options: string[]) {
  const place = ['-W', work, '-o', 'server.log', '--address', '127.0.0.1', '--port', '0'];
  const server = startThaw([...ARGS, ...place, ...options]);
  const port = (): number => Number(/listening at \S+ port (\d+)/.exec(log())?.[1]);
  await until('the server', () => existsSync(join(work, 'server.log')) && port() > 0, 10_000);
  return { ...server, port: port() };
}

async function fetchPage(client: PageClient): Promise<void> {
  client.ask(PID, VADDR, 1);
  expect((await within(client.reply()))?.header.pageCount).toBe(1);
}

test('serves one client, and ends with 0', async () => {
  const { port, ended } = await start();
  const client = PageClient.connect(port);
  await fetchPage(client);
  const late = connect(port, '127.0.0.1');
  expect((await once(late, 'error'))[0]).toMatchObject({ code: 'ECONNREFUSED' });
  expect(await within(client.close())).toBe(0);
  expect(await within(ended)).toBe(0);
  expect(log()).toMatch(
    /127\.0\.0\.1 port \d+: closed after 1 page .* in 1 request, headers of 24/,
  );
  expect(log()).not.toContain('Error');
});

test('ends with 1 and the reason when its client is lost', async () => {
  const { port, ended } = await start();
  const client = PageClient.connect(port, 32);
  await fetchPage(client);
  client.socket.destroy();
  expect(await within(ended)).toBe(1);
  expect(log().match(/Error: PEER_LOST: the client ended before/g)).toHaveLength(1);
});

test('--persist: clients that fail end nothing, SIGTERM ends all', async () => {
  const server = await start('--persist');
  const idle = PageClient.connect(server.port);
  await fetchPage(idle);
  const wrong = PageClient.connect(server.port);
  wrong.send({ command: COMMAND.openAsking });
  await within(wrong.end());
  await fetchPage(idle);
  server.child.kill('SIGTERM');
  expect(await within(server.ended)).toBe(143);
  await within(idle.end());
  expect(log()).toContain('Error: PEER_REFUSED: the client wants to store a dump');
});

test('--persist: whatever a client sends, the next is served with right bytes', async () => {
  const server = await start('--persist');
  const stored = readExpected('pattern').tasks[0]?.stored;
  const expectService = async (): Promise<void> => {
    const client = PageClient.connect(server.port, 32);
    client.ask(PID, VADDR, 2 ** 40);
    const { header, bytes } = (await within(client.reply())) ?? {};
    expect(header?.pageCount).toBeGreaterThan(0);
    for (let page = 0; page < (header?.pageCount ?? 0); page++) {
      const sum = crc32(bytes?.subarray(page * 4096, (page + 1) * 4096) ?? '');
      expect(sum).toBe(stored?.get(VADDR + BigInt(page * 4096)));
    }
    expect(await within(client.close())).toBe(0);
  };
  const lies: [RegExp, (client: PageClient) => unknown][] = [
    [/PEER_LOST: .*an end after 23 bytes/, ({ socket }) => socket.end(Buffer.alloc(23, 7))],
    [/PEER_LOST: /, ({ socket }) => socket.resetAndDestroy()],
    [/PEER_REFUSED: .*found command 0xffff/, ({ socket }) => socket.write(Buffer.alloc(999, 255))],
    [/PEER_REFUSED: .*found task 4711/, (client) => client.ask(4711, VADDR, 0xffff_ffff)],
    [/PAGE_NOT_STORED: .*0 pages/, (client) => client.ask(PID, VADDR, 0)],
    [/PAGE_NOT_STORED: /, (client) => client.ask(PID, 2n ** 64n - 4096n, 0xffff_ffff)],
  ];
  for (const [reason, lie] of lies) {
    const before = log().length;
    const silent = PageClient.connect(server.port);
    silent.socket.write(Buffer.alloc(11, 7));
    const client = PageClient.connect(server.port);
    await once(client.socket, 'connect');
    await lie(client);
    await within(client.end());
    await until(String(reason), () => reason.test(log().slice(before)));
    await expectService();
  }
});

test('--daemon: the starter ends when the socket is there, the pid is the server’s', async () => {
  const starter = await start('--daemon', '--pidfile', 'server.pid');
  expect(await within(starter.ended)).toBe(0);
  const pid = Number(readFileSync(join(work, 'server.pid'), 'latin1'));
  expect(runningComm(pid)).toBe('node');
  const client = PageClient.connect(starter.port);
  await fetchPage(client);
  expect(await within(client.close(COMMAND.forceClose))).toBe(0);
  await until('the end of the server', () => runningComm(pid) === undefined, 10_000);
  expect(log()).not.toContain('Error');
});

test('--ps-socket serves a connected socket, --status-fd tells when', async () => {
  const listener = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const near = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  const [far] = (await once(listener, 'connection')) as [Socket];
  listener.close();
  const status = openSync(join(work, 'status'), 'w');
  const options = ['-W', work, '-o', 'server.log', '--ps-socket', '3', '--status-fd', '4'];
  const { ended } = startThaw([...ARGS, ...options], ['ignore', 'ignore', 'ignore', far, status]);
  closeSync(status);
  far.destroy();
  const client = new PageClient(near);
  await fetchPage(client);
  expect(statSync(join(work, 'status')).size).toBe(1);
  expect(await within(client.close(COMMAND.forceClose))).toBe(0);
  expect(await within(ended)).toBe(0);
});

test('says what is wrong with its call', async () => {
  const file = ['page-server', '--lazy-pages', '-D', fixturePath('pattern'), '--ps-socket', '99'];
  const [full, noSocket, noImage] = await Promise.all([
    runThaw('page-server', '-D', work, '--port', '0'),
    runThaw(...file),
    runThaw('page-server', '--lazy-pages', '-D', work),
  ]);
  expect(full).toMatchObject({ status: 1, stderr: expect.stringContaining('To store a dump') });
  expect(noSocket).toMatchObject({ status: 1, stderr: expect.stringContaining('--ps-socket 99') });
  expect(noImage).toMatchObject({ status: 1, stderr: expect.stringContaining('IMAGE_MISSING') });
});
