/** The page server and clients that keep to the protocol, or do not. */
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import type { LiveTask } from '../../src/image/task.js';
import {
  CriuPageServer,
  type CriuPageServerOptions,
} from '../../src/page-server/criu-page-server.js';
import type { PageSession } from '../../src/page-server/page-session.js';
import { COMMAND, type HeaderLayout, writeHeader } from '../../src/page-server/wire.js';
import { type EntrySpec, makeTempDirectory, writeImage } from '../support/image-builder.js';
import { PageClient } from '../support/page-client.js';
import { until, within } from '../support/process-facts.js';
import {
  copyFixture,
  fixturePath,
  readExpected,
  removeTemporary,
  ZERO_CRC,
} from '../support/restore-fixtures.js';

const PAGE = 4096;
const LAYOUTS: readonly HeaderLayout[] = [24, 32];

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function serve(directory: string, options?: CriuPageServerOptions) {
  const checkpoint = await Checkpoint.open(directory);
  undo.push(() => checkpoint.close());
  const server = new CriuPageServer(checkpoint, options);
  undo.push(() => server.close());
  const { port } = await server.listen({ address: '127.0.0.1', port: 0 });
  const [task] = checkpoint.tasks.filter((it): it is LiveTask => it.state === 'alive');
  if (task === undefined) throw new Error('no task');
  const sessions: PageSession[] = [];
  server.on('session', (session) => sessions.push(session));
  const connect = (layout?: HeaderLayout): PageClient => {
    const client = PageClient.connect(port, layout);
    undo.push(() => client.socket.destroy());
    return client;
  };
  return { server, task, sessions, connect, checkpoint };
}

/** CRC-32 of every page from `vaddr` on, asked for like a client that takes what it gets. */
async function fetchPages(client: PageClient, pid: number, vaddr: bigint, pageCount: number) {
  const sums: number[] = [];
  while (sums.length < pageCount) {
    const at = vaddr + BigInt(sums.length * PAGE);
    client.ask(pid, at, pageCount - sums.length);
    const reply = await within(client.reply());
    if (reply === undefined) throw new Error('the server has ended the session');
    const { pageCount: sent, ...rest } = reply.header;
    expect(rest).toEqual({ command: 6, flags: 4, vaddr: at, id: BigInt(pid) });
    expect(sent).toBeGreaterThan(0);
    for (let page = 0; page < sent; page++) {
      sums.push(crc32(reply.bytes.subarray(page * PAGE, (page + 1) * PAGE)));
    }
  }
  return sums;
}

describe.each([
  'pattern',
  'pattern-legacy',
  'pattern-lz4-page',
  'pattern-lz4-region',
  'pattern-parent-chain/top',
])('%s', (name) => {
  test.each(LAYOUTS)('every page, with headers of %d bytes', async (layout) => {
    const { connect, sessions, task } = await serve(fixturePath(name));
    const truth = readExpected('pattern').tasks[0]?.stored ?? new Map();
    const client = connect(layout);
    let pageCount = 0;
    for (const extent of task.pagemap.extents()) {
      const sums = await fetchPages(client, task.pid, extent.vaddr, extent.pageCount);
      sums.forEach((sum, page) => {
        expect(sum).toBe(truth.get(extent.vaddr + BigInt(page * PAGE)) ?? ZERO_CRC);
      });
      pageCount += extent.pageCount;
    }
    expect(pageCount).toBeGreaterThanOrEqual(truth.size);
    expect(await within(client.close())).toBe(0);
    await within(sessions[0]?.finished ?? Promise.reject(new Error('no session')));
    expect(sessions[0]).toMatchObject({ pageCount, headerLayout: layout });
  });
});

/** An image of one task whose pages, each with content of its own, are the entries given. */
function writePages(entries: readonly EntrySpec[]): string {
  const temp = makeTempDirectory();
  undo.push(temp.remove);
  const stored = entries.flatMap(({ pageCount, flags }) => (flags === 4 ? Number(pageCount) : 0));
  const pages = Array.from({ length: stored.reduce((sum, count) => sum + count, 0) }, (_, page) =>
    Buffer.alloc(PAGE, `${page} `),
  );
  const [first, last] = [entries[0], entries.at(-1)];
  const end = (last?.vaddr ?? 0n) + BigInt(Number(last?.pageCount) * PAGE);
  const vmas = [{ start: first?.vaddr ?? 0n, end }];
  const pagemap = { pagesId: 1, entries, payload: Buffer.concat(pages) };
  writeImage(temp.path, { tasks: [{ pid: 77, vmas, pagemap }] });
  return temp.path;
}

describe('a reply', () => {
  const BASE = 0x10_0000n;
  const at = (page: number): bigint => BASE + BigInt(page * PAGE);

  test('has what is stored without a gap, holes as zeros, and 4 MiB at most', async () => {
    const image = writePages([
      { vaddr: at(0), pageCount: 3, flags: 4 },
      { vaddr: at(3), pageCount: 2, flags: 4 },
      { vaddr: at(6), pageCount: 1500, flags: 4 },
    ]);
    const { connect } = await serve(image);
    const client = connect();
    client.ask(77, at(1), 2000);
    client.ask(77, at(6), 1500);
    client.ask(77, at(6 + 1024), 0xffff_ffff);
    const replies = [await client.reply(), await client.reply(), await client.reply()];
    expect(replies.map((reply) => reply?.header.pageCount)).toEqual([4, 1024, 476]);
    const content = Array.from({ length: 4 }, (_, page) => Buffer.alloc(PAGE, `${page + 1} `));
    expect(replies[0]?.bytes.equals(Buffer.concat(content))).toBe(true);
    expect(replies[2]?.bytes.subarray(-PAGE).equals(Buffer.alloc(PAGE, '1504 '))).toBe(true);
  });

  test('may be asked for again, and comes in the order of the requests', async () => {
    const { connect } = await serve(writePages([{ vaddr: BASE, pageCount: 64, flags: 4 }]));
    const client = connect(32);
    const order = Array.from({ length: 300 }, (_, i) => (i * 37) % 64);
    for (const page of order) client.ask(77, at(page), 1);
    for (const page of order) {
      const reply = await within(client.reply());
      expect(reply?.header.vaddr).toBe(at(page));
      expect(reply?.bytes.equals(Buffer.alloc(PAGE, `${page} `))).toBe(true);
    }
    expect(await within(client.close(COMMAND.forceClose))).toBe(0);
  });

  test('waits while the client takes nothing: little is read ahead for it', async () => {
    const image = writePages([{ vaddr: BASE, pageCount: 1024, flags: 4 }]);
    const { connect, sessions, server } = await serve(image);
    const client = connect();
    client.socket.pause();
    const asked = 24;
    for (let i = 0; i < asked; i++) client.ask(77, BASE, 1024);
    await once(server, 'session');
    await until('the first replies', () => (sessions[0]?.pageCount ?? 0) >= 2048);
    await sleep(300);
    const ahead = sessions[0]?.pageCount ?? 0;
    expect(ahead).toBeLessThan((16 * 1024 * 1024) / PAGE);
    client.socket.resume();
    for (let i = 0; i < asked; i++) {
      expect((await within(client.reply()))?.header.pageCount).toBe(1024);
    }
    expect(await within(client.close())).toBe(0);
  });

  test('comes from a region that is decoded once, though other places are asked for in between', async () => {
    const image = copyFixture('pattern-lz4-region');
    undo.push(removeTemporary);
    const { connect, task } = await serve(image);
    const [place, other] = [...task.pagemap.extents()].filter(
      ({ blockPages, pageCount }) => blockPages > 0 && pageCount > 8,
    );
    if (place === undefined || other === undefined) throw new Error('no regions');
    const client = connect();
    const first = await fetchPages(client, task.pid, place.vaddr, 1);
    await fetchPages(client, task.pid, other.vaddr, 1);
    const pages = readFileSync(join(image, `pages-${place.pagesId}.img`));
    writeFileSync(join(image, `pages-${place.pagesId}.img`), pages.fill(0xff));
    const rest = await fetchPages(client, task.pid, place.vaddr + BigInt(PAGE), 7);
    const { stored } = readExpected('pattern').tasks[0] ?? {};
    [...first, ...rest].forEach((sum, page) => {
      expect(sum).toBe(stored?.get(place.vaddr + BigInt(page * PAGE)));
    });
  });
});

describe('a session', () => {
  test('may be closed before anything was asked for, in either layout', async () => {
    const { connect, sessions } = await serve(fixturePath('pattern'));
    for (const layout of LAYOUTS) expect(await within(connect(layout).close())).toBe(0);
    for (const { finished } of sessions) await within(finished);
    expect(sessions).toHaveLength(2);
  });

  test('may come byte by byte', async () => {
    const { connect, task } = await serve(fixturePath('pattern'));
    const client = connect(32);
    const { vaddr = 0n } = [...task.pagemap.extents()][0] ?? {};
    const bytes = Buffer.alloc(64);
    writeHeader(
      bytes,
      { command: COMMAND.get, flags: 0, pageCount: 1, vaddr, id: BigInt(task.pid) },
      32,
    );
    writeHeader(
      bytes.subarray(32),
      { command: COMMAND.close, flags: 0, pageCount: 0, vaddr: 0n, id: 0n },
      32,
    );
    client.socket.setNoDelay(true);
    for (const byte of bytes) {
      client.socket.write(Uint8Array.of(byte));
      await sleep(1);
    }
    expect((await within(client.reply()))?.header.pageCount).toBe(1);
    expect((await within(client.read(4)))?.readInt32LE(0)).toBe(0);
  });

  test('ends with its client, and tells so, while others go on', async () => {
    const { connect, sessions, task, server } = await serve(fixturePath('pattern'));
    const { vaddr = 0n } = [...task.pagemap.extents()][0] ?? {};
    const good = connect();
    await fetchPages(good, task.pid, vaddr, 1);
    const bad = connect();
    await fetchPages(bad, task.pid, vaddr, 1);
    bad.socket.destroy();
    await expect(within(sessions[1]?.finished ?? good.end())).rejects.toMatchObject({
      code: 'PEER_LOST',
    });
    await fetchPages(good, task.pid, vaddr, 1);
    expect(server.sessions.size).toBe(1);
    const over = within(sessions[0]?.finished ?? good.end());
    await server.close();
    await expect(over).rejects.toMatchObject({ code: 'ABORTED' });
    await within(good.end());
  });
});

describe('is refused', () => {
  /** Why the session of `act` ended; a client before and behind it is served as ever. */
  async function refusal(
    act: (client: PageClient, task: LiveTask) => unknown,
    options?: CriuPageServerOptions,
    image = fixturePath('pattern'),
  ): Promise<ThawError> {
    const { connect, sessions, task } = await serve(image, options);
    const { vaddr = 0n } = [...task.pagemap.extents()][0] ?? {};
    const layout = options?.headerLayout;
    const before = connect(layout);
    await fetchPages(before, task.pid, vaddr, 1);
    const client = connect(layout);
    await act(client, task);
    await within(client.end());
    const behind = connect(layout);
    await fetchPages(behind, task.pid, vaddr, 1);
    await fetchPages(before, task.pid, vaddr, 1);
    return within(
      sessions[1]?.finished.then(
        () => Promise.reject(new Error('the session ended in order')),
        (error) => error,
      ) ?? Promise.reject(new Error('no session')),
    );
  }

  test('a page that the image does not have', async () => {
    const error = await refusal((client, { pid }) => client.ask(pid, 0x1000n, 2));
    expect(error.code).toBe('PAGE_NOT_STORED');
    expect(error.message).toContain(
      'expected at least one page, at a page border; the image has pages from 0x401000 on, ' +
        'found 2 pages from 0x1000 of task 31001',
    );
  });

  test('an address inside a page, and no pages', async () => {
    const inside = await refusal((client, { pid }) => client.ask(pid, 0x40_1001n, 1));
    expect(inside).toMatchObject({ code: 'PAGE_NOT_STORED' });
    const none = await refusal((client, { pid }) => client.ask(pid, 0x40_1000n, 0));
    expect(none).toMatchObject({ code: 'PAGE_NOT_STORED' });
  });

  test('a task that the image does not have', async () => {
    const first = await refusal((client) => client.ask(4711, 0x40_1000n, 1));
    expect(first.code).toBe('PEER_REFUSED');
    expect(first.message).toMatch(/expected pages of task 31001, found task 4711/);
    const later = await refusal((client, { pid }) => {
      client.ask(pid, 0x40_1000n, 1);
      client.ask(4711, 0x40_1000n, 1);
    });
    expect(later.code).toBe('PAGE_NOT_STORED');
  });

  test('a client that stores a dump', async () => {
    const error = await refusal((client) =>
      client.send({ command: COMMAND.openAsking, id: 0x7919_01n }),
    );
    expect(error).toMatchObject({ code: 'PEER_REFUSED', what: 'the client wants to store a dump' });
  });

  test('another protocol', async () => {
    const error = await refusal((client) =>
      client.socket.write('GET / HTTP/1.1\r\nHost: thaw\r\n\r\n'),
    );
    expect(error.code).toBe('PEER_REFUSED');
    expect(error.found).toBe('command 0x4547');
  });

  test('bytes behind a close', async () => {
    for (const request of [true, false]) {
      const error = await refusal(async (client, { pid }) => {
        if (request) await fetchPages(client, pid, 0x40_1000n, 1);
        client.send({ command: COMMAND.close });
        client.socket.write(request ? Buffer.alloc(8) : 'and more');
      });
      expect(error).toMatchObject({ code: 'PEER_REFUSED', expected: 'the end of the connection' });
    }
  });

  test('an end in the middle of a header', async () => {
    const error = await refusal((client) => client.socket.end(Buffer.alloc(23, 7)));
    expect(error).toMatchObject({ code: 'PEER_LOST', found: 'an end after 23 bytes of a header' });
  });

  test('silence in the middle of a header, and after a close', async () => {
    const setTimeout = Socket.prototype.setTimeout;
    vi.spyOn(Socket.prototype, 'setTimeout').mockImplementation(function (this: Socket, ms) {
      return setTimeout.call(this, ms / 100);
    });
    undo.push(() => vi.restoreAllMocks());
    const half = await refusal((client) => client.socket.write(Buffer.alloc(8)));
    expect(half).toMatchObject({ code: 'TIMED_OUT', found: '8 bytes' });
    const closed = await refusal((client) => client.send({ command: COMMAND.close }));
    expect(closed).toMatchObject({ code: 'TIMED_OUT', expected: 'the end of the connection' });
  });

  test('a block that does not decode, by its address', async () => {
    const image = copyFixture('pattern-lz4-region');
    undo.push(removeTemporary);
    const checkpoint = await Checkpoint.open(image);
    const [task] = checkpoint.tasks.filter((it): it is LiveTask => it.state === 'alive');
    const extents = [...(task?.pagemap.extents() ?? [])];
    await checkpoint.close();
    const damaged = extents.findLast(
      ({ blockPages, pageCount }) => blockPages > 0 && pageCount > 8,
    );
    if (damaged === undefined) throw new Error('no regions');
    const file = openSync(join(image, `pages-${damaged.pagesId}.img`), 'r+');
    writeSync(file, Buffer.alloc(64, 0xff), 0, 64, damaged.fileOffset);
    closeSync(file);
    const error = await refusal((client, { pid }) => client.ask(pid, damaged.vaddr, 1), {}, image);
    expect(error.code).toBe('LZ4_CORRUPT');
    expect(error.where).toContain(`address 0x${damaged.vaddr.toString(16)}`);
  });
});

test('a layout that is set is not guessed', async () => {
  const { connect, task, sessions } = await serve(fixturePath('pattern'), { headerLayout: 24 });
  const client = connect(32);
  client.ask(task.pid, 0x40_1000n, 1);
  await within(client.end());
  await expect(sessions[0]?.finished).rejects.toMatchObject({ code: 'PAGE_NOT_STORED' });
});

test('many clients at once get each what it asked for', async () => {
  const { connect, task, server } = await serve(fixturePath('pattern-lz4-region'));
  const { stored } = readExpected('pattern').tasks[0] ?? {};
  const extents = [...task.pagemap.extents()].filter(({ kind }) => kind === 'data');
  const clients = Array.from({ length: 24 }, (_, i) => connect(i % 2 === 0 ? 24 : 32));
  await Promise.all(
    clients.map(async (client, index) => {
      const turned = [...extents.slice(index), ...extents.slice(0, index)];
      for (const { vaddr, pageCount } of turned) {
        const sums = await fetchPages(client, task.pid, vaddr, pageCount);
        expect(sums).toEqual(sums.map((_, page) => stored?.get(vaddr + BigInt(page * PAGE))));
      }
      expect(await within(client.close())).toBe(0);
    }),
  );
  await until('the end of all sessions', () => server.sessions.size === 0);
});

describe('listening', () => {
  /** A server that does not listen yet. */
  async function makeServer(): Promise<CriuPageServer> {
    const checkpoint = await Checkpoint.open(fixturePath('pattern'));
    undo.push(() => checkpoint.close());
    const server = new CriuPageServer(checkpoint);
    undo.push(() => server.close());
    return server;
  }

  const LOCAL = { address: '127.0.0.1', port: 0 };

  test('says where it cannot', async () => {
    const { port } = await (await makeServer()).listen(LOCAL);
    const second = await makeServer();
    await expect(second.listen({ ...LOCAL, port })).rejects.toMatchObject({
      code: 'SOCKET_UNAVAILABLE',
      found: 'EADDRINUSE',
      where: `address 127.0.0.1, port ${port}`,
    });
    await expect(within(second.listen({ address: 'a b', port: 0 }))).rejects.toMatchObject({
      code: 'SOCKET_UNAVAILABLE',
      found: 'ENOTFOUND',
    });
    await second.listen(LOCAL);
  });

  test.each([[70_000], [-1], [1.5], [Number.NaN], [undefined], ['80']])(
    'refuses the port %s',
    async (port) => {
      const server = await makeServer();
      await expect(server.listen({ port } as { port: number })).rejects.toMatchObject({
        name: 'ThawError',
        code: 'INVALID_ARGUMENT',
        expected: 'a whole number from 0 to 65535',
        found: String(port),
      });
      await server.listen(LOCAL);
    },
  );

  test.each([[''], [5], [null]])('does not take %j for every address', async (address) => {
    const server = await makeServer();
    await expect(server.listen({ address, port: 0 } as typeof LOCAL)).rejects.toMatchObject({
      name: 'ThawError',
      code: 'INVALID_ARGUMENT',
    });
  });

  test('is refused while it goes on or begins, and possible again behind its end', async () => {
    const server = await makeServer();
    const refusal = { name: 'ThawError', code: 'INVALID_ARGUMENT' };
    const first = server.listen({ address: 'localhost', port: 0 });
    await expect(server.listen(LOCAL)).rejects.toMatchObject(refusal);
    const { port } = await within(first);
    await expect(server.listen(LOCAL)).rejects.toMatchObject({
      ...refusal,
      found: expect.stringContaining(`port ${port}`),
    });
    server.stopListening();
    await within(server.listen(LOCAL));
  });

  test.each(['localhost', '127.0.0.1', undefined])(
    'at %s, stopped before it has begun, tells so',
    async (address) => {
      const server = await makeServer();
      const stopped = server.listen({ address, port: 0 });
      server.stopListening();
      const next = server.listen(LOCAL);
      await expect(within(stopped)).rejects.toMatchObject({ code: 'ABORTED' });
      expect(await within(next)).toMatchObject({ address: '127.0.0.1' });
      await server.close();
      await server.close();
    },
  );

  test('that never began may be ended', async () => {
    const server = await makeServer();
    server.stopListening();
    await within(server.close());
  });
});
