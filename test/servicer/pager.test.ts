/** The pager as a library: it serves a uffd of anyone, refuses what is wrong, and goes on. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ThawError } from '../../src/errors.js';
import { native } from '../../src/native.js';
import type { TaskPlan } from '../../src/plan/restore-plan.js';
import type { Pager } from '../../src/servicer/pager.js';
import { CLOSE_COMMAND } from '../../src/servicer/remote-source.js';
import { openDescriptors, pagerProcess, until, within } from '../support/process-facts.js';
import { removeTemporary, temporaryDirectory } from '../support/restore-fixtures.js';
import { makeMemory, type OwnMemory, releaseMemory } from '../support/restore-own-memory.js';
import { endTargets, noteChildren, startPager } from '../support/restore-targets.js';

beforeEach(noteChildren);
afterEach(async () => {
  await releaseMemory();
  await endTargets();
  removeTemporary();
});

function add(pager: Pager, memory: OwnMemory, changes: object = {}) {
  const { uffd, plan, sources } = memory;
  return pager.add({ uffd: uffd.fd, plan, sources, ...changes });
}

/** Hundredths of a second that a process has computed. */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** KiB of a file that are in the page tables of a process, where it has the file mapped. */
function mappedKib(pid: number, path: string): number {
  const [, entry = ''] = readFileSync(`/proc/${pid}/smaps`, 'latin1').split(` ${path}\n`);
  return Number(/^Rss: +(\d+) kB/m.exec(entry)?.[1] ?? 0);
}

/** Whether the pager has the pages image of `memory` open. */
function hasOpen(pager: Pager, { sources }: OwnMemory): boolean {
  return openDescriptors(pager.pid).includes(sources[0].path);
}

/** Many times faster than toEqual. */
function expectSame(found: Uint8Array, expected: Uint8Array): void {
  expect(Buffer.compare(found, expected)).toBe(0);
}

/** Has the pager serve memory of its own and compares all of it. */
async function expectServing(pager: Pager): Promise<void> {
  const memory = makeMemory(24);
  const target = await add(pager, memory);
  const { mapping, bytes } = memory;
  const half = bytes.length;
  expectSame(await within(mapping.read(half, half)), new Uint8Array(half));
  expectSame(await within(mapping.read(0, half)), bytes);
  expect(await within(target.finished)).toBe('resident');
  expect(target.figures()).toMatchObject({ state: 'resident', dataPages: 24, zeroedPages: 24 });
}

describe('a pager', () => {
  it('serves a uffd of its user by demand', async () => {
    const pager = await startPager();
    await expectServing(pager);
    await expectServing(pager);
  });

  it('fills what nobody touches, and lets go of it', async () => {
    const pager = await startPager();
    const memory = makeMemory(100);
    const target = await add(pager, memory);
    expect(target.figures()).toMatchObject({ state: 'serving', missingPages: 100 });
    await target.fill();
    expect(await within(target.finished)).toBe('resident');
    expect(target.figures()).toMatchObject({ filledPages: 100, demandPages: 0, faults: 0 });
    // Not registered any more: a discarded page is a plain zero page, without the pager.
    await pager.close();
    await memory.mapping.zap(0, 4096);
    expect(await within(memory.mapping.read(0, 4096))).toEqual(new Uint8Array(4096));
  });

  it('maps a pages image ahead of its targets, and serves them from there', async () => {
    const pager = await startPager();
    const memory = makeMemory(600);
    const { sources, bytes, mapping } = memory;
    await pager.prepare(sources);
    const worker = pagerProcess(pager.pid, 'thaw-pager');
    await until('all of it is mapped', () => mappedKib(worker, sources[0].path) === 600 * 4);
    const target = await add(pager, memory);
    expectSame(await within(mapping.read(0, bytes.length)), bytes);
    await within(target.finished);
    expect(target.figures()).toMatchObject({ demandPages: 600, rawBytes: 600 * 4096 });
  });

  it('is not left to itself where it would end at once', async () => {
    const pager = await startPager();
    const refusal = { code: 'INVALID_ARGUMENT', expected: 'a pager of which outlive() was called' };
    await expect(pager.leave()).rejects.toMatchObject(refusal);
    await expectServing(pager);
  });

  it('says what is wrong with a pages image ahead of its targets', async () => {
    const pager = await startPager();
    const path = join(temporaryDirectory(), 'pages-9.img');
    await expect(pager.prepare([{ path, byteLength: 4096 }])).rejects.toMatchObject({
      code: 'PAGES_MISSING',
      where: path,
    });
    await expect(pager.prepare(undefined as never)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      expected: expect.stringMatching(/^sources/),
    });
    await expectServing(pager);
  });

  it('closes a pages image once no target takes pages from it', async () => {
    const pager = await startPager();
    const memory = makeMemory(24);
    const { uffd, plan } = makeMemory(24);
    const first = await add(pager, memory);
    const second = await pager.add({ uffd: uffd.fd, plan, sources: memory.sources });
    await first.fill();
    expect(await within(first.finished)).toBe('resident');
    await first.drop();
    await second.settle();
    expect(hasOpen(pager, memory)).toBe(true);
    await second.drop();
    await until('the file is closed', () => !hasOpen(pager, memory));
  });

  it('keeps a pages image that was prepared, until it is released', async () => {
    const pager = await startPager();
    const memory = makeMemory(24);
    const prepared = await pager.prepare(memory.sources);
    const target = await add(pager, memory);
    await target.fill();
    expect(await within(target.finished)).toBe('resident');
    await target.drop();
    await expectServing(pager);
    expect(hasOpen(pager, memory)).toBe(true);
    await prepared.release();
    await until('the file is closed', () => !hasOpen(pager, memory));
    await prepared.release();
    await expectServing(pager);
  });

  it('closes the pages images of a target that it refuses, and of a preparation that fails', async () => {
    const pager = await startPager();
    const memory = makeMemory(24);
    const file = openSync(memory.sources[0].path, 'r');
    await expect(add(pager, memory, { uffd: file })).rejects.toMatchObject({
      code: 'PAGER_REFUSED',
    });
    closeSync(file);
    await until('the file is closed', () => !hasOpen(pager, memory));
    const missing = { path: join(temporaryDirectory(), 'pages-9.img'), byteLength: 4096 };
    await expect(pager.prepare([...memory.sources, missing])).rejects.toMatchObject({
      code: 'PAGES_MISSING',
    });
    await until('the file is closed', () => !hasOpen(pager, memory));
    await expectServing(pager);
  });

  it('brings a range in when it is asked to, and no more', async () => {
    const pager = await startPager();
    const memory = makeMemory(64);
    const target = await add(pager, memory, { windowBytes: 4096 });
    const { vaddr } = memory.mapping;
    await within(target.prefetch(vaddr + 0x8000n, vaddr + 0x10000n));
    expect(target.figures()).toMatchObject({ filledPages: 8, missingPages: 56 });
    for (const [start, end] of [
      [vaddr, vaddr],
      [vaddr + 1n, vaddr + 0x1000n],
      [vaddr, vaddr + 0xfffn],
    ] as const) {
      await expect(target.prefetch(start, end)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    // Where nothing of the plan is, there is nothing to bring.
    await within(target.prefetch(vaddr - 0x10000n, vaddr));
    expect(target.figures().missingPages).toBe(56);
  });

  it('forgets a target that is dropped', async () => {
    const pager = await startPager();
    const target = await add(pager, makeMemory(8));
    const prefetching = target.finished;
    await target.drop();
    await target.drop();
    expect(await within(prefetching)).toBe('dropped');
    expect(target.figures()).toMatchObject({ state: 'serving', missingPages: 8 });
    await expect(target.fill()).rejects.toMatchObject({ code: 'PAGER_REFUSED' });
    await expectServing(pager);
  });

  it('neither serves nor spins for a target that is dropped, and takes it again', async () => {
    const pager = await startPager();
    const memory = makeMemory(8);
    await (await add(pager, memory)).drop();
    const reading = memory.mapping.read(0, 8 * 4096);
    const before = cpuTicks(pagerProcess(pager.pid, 'thaw-pager'));
    await sleep(300);
    expect(cpuTicks(pagerProcess(pager.pid, 'thaw-pager')) - before).toBeLessThan(10);
    await add(pager, memory);
    expectSame(await within(reading), memory.bytes);
  });

  it('keeps no descriptor of a target that has ended', async () => {
    const pager = await startPager();
    await expectServing(pager);
    const before = openDescriptors(pager.pid).filter((name) => name.includes('userfaultfd'));
    expect(before).toEqual([]);
  });
});

describe('the fill of a pager', () => {
  it('brings in no more a second than it may', async () => {
    const bytesPerSecond = 1_048_576;
    const pieceBytes = 65_536; // the first piece is free
    const pager = await startPager({ fillRate: bytesPerSecond });
    const target = await add(pager, makeMemory(64));
    await target.fill();
    await within(target.finished);
    const { startedNs, residentNs, filledPages } = target.figures();
    expect(filledPages).toBe(64);
    const paidBytes = filledPages * 4096 - pieceBytes;
    expect(residentNs - startedNs).toBeGreaterThanOrEqual((paidBytes / bytesPerSecond) * 1e9);
  });

  it('leaves what the program asks for out of that', async () => {
    const pager = await startPager({ fillRate: 1 });
    const memory = makeMemory(64);
    const target = await add(pager, memory);
    await target.fill();
    // A second piece would take it 18 hours.
    expectSame(await within(memory.mapping.read(0, memory.bytes.length)), memory.bytes);
    expect(await within(target.finished)).toBe('resident');
    expect(target.figures().filledPages).toBeLessThanOrEqual(16);
  });

  it.each([1, 4])('comes to its end with %i threads', async (fillThreads) => {
    const pager = await startPager({ fillThreads });
    const memory = makeMemory(300);
    const target = await add(pager, memory);
    await target.fill();
    expect(await within(target.finished)).toBe('resident');
    expect(target.figures().filledPages).toBe(300);
    expectSame(await within(memory.mapping.read(0, memory.bytes.length)), memory.bytes);
  });

  it.each([
    [{ fillThreads: 0 }, /fillThreads .* 1 to 4, found 0/],
    [{ fillThreads: 5 }, /fillThreads .* 1 to 4, found 5/],
    [{ fillThreads: 1.5 }, /found 1.5/],
    [{ fillRate: -1 }, /fillRate .* found -1/],
    [{ fillRate: Number.NaN }, /found NaN/],
    [{ fillRate: Number.POSITIVE_INFINITY }, /found Infinity/],
  ])('is not started with %j', async (options, message) => {
    const started = startPager(options);
    await expect(started).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(started).rejects.toThrow(message);
  });
});

describe('the window of a target', () => {
  it('bounds what one fault brings in', async () => {
    const pager = await startPager();
    const pages = 1024;
    const sweep = async (windowBytes?: number) => {
      const memory = makeMemory(pages);
      const limit = windowBytes === undefined ? {} : { windowBytes };
      const target = await add(pager, memory, limit);
      expectSame(await within(memory.mapping.read(0, memory.bytes.length)), memory.bytes);
      await target.settle();
      expect(target.figures()).toMatchObject({ demandPages: pages, filledPages: 0 });
      return target.figures();
    };
    expect(await sweep(4096)).toMatchObject({ faults: pages, windowFaults: 0 });
    const bounded = await sweep(16_384);
    expect(bounded.faults).toBeGreaterThanOrEqual(pages / 4);
    expect(bounded.faults).toBeLessThan(pages);
    // The others show that it is the bound that makes it so.
    expect((await sweep()).faults).toBeLessThan(pages / 4);
  });
});

describe('a pager and ranges that nobody registered', () => {
  it('tells of their pages: they cannot have come', async () => {
    const pager = await startPager();
    const memory = makeMemory(8);
    memory.uffd.unregister(memory.mapping.vaddr, 3 * 4096);
    const target = await add(pager, memory);
    const errors: ThawError[] = [];
    target.on('pageError', (error) => errors.push(error));
    await target.fill();
    await within(target.finished);
    expect(target.figures()).toMatchObject({ filledPages: 5, removedPages: 3 });
    expect(errors.map(({ code, found }) => [code, found])).toEqual([
      ['PAGE_FAILED', 'an address that is not registered with the userfaultfd, or not mapped'],
    ]);
    expect(errors[0]?.message).toContain('3 pages at 0x');
  });
});

describe('a pager refuses', () => {
  const refused = (reason: string, found?: string) =>
    expect.objectContaining({
      code: 'PAGER_REFUSED',
      message: expect.stringContaining(reason),
      found,
    });

  it.each([
    ['a pipe', () => openSync(makeFifo(), 'r+')],
    ['a file', () => openSync('/dev/null', 'r')],
    ['a memfd', () => native.createMemfd('not-a-uffd', 4096)],
    ['a socket', () => native.socketpair()[0]],
  ])('%s in place of a userfaultfd', async (_, open) => {
    const pager = await startPager();
    const fd = open();
    await expect(add(pager, makeMemory(4), { uffd: fd })).rejects.toEqual(
      refused('the descriptor is not a userfaultfd'),
    );
    closeSync(fd);
    await expectServing(pager);
  });

  it.each([
    ['a number that is no open descriptor', { uffd: 9999 }, 'EBADF'],
    ['a negative number', { uffd: -1 }, 'INVALID_ARGUMENT'],
    ['an object', { uffd: {} as unknown as number }, 'INVALID_ARGUMENT'],
    ['a pidfd that is none', { pidfd: 1 }, 'INVALID_ARGUMENT'],
    ['no pidfd to kill by', { onError: 'kill' as const }, 'INVALID_ARGUMENT'],
    ['no plan', { plan: undefined as unknown as TaskPlan }, 'INVALID_ARGUMENT'],
  ])('%s without losing its other targets', async (_, options, code) => {
    const pager = await startPager();
    await expect(add(pager, makeMemory(4), options)).rejects.toMatchObject({ code });
    await expectServing(pager);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])('a silence of %d ms', async (ms) => {
    const pager = await startPager();
    const [fd, peer] = native.socketpair(true);
    const handoff = { connection: fd, targets: [], zombies: 0, fill: false, silenceMs: ms };
    const remote = { fd, wideHeader: true, closeCommand: CLOSE_COMMAND.own, label: 'peer' };
    const refusal = { code: 'INVALID_ARGUMENT', expected: '0 to 2147483647', found: `${ms}` };
    await expect(pager.handOff(handoff)).rejects.toMatchObject(refusal);
    const adding = pager.addRemoteSource({ ...remote, firstAnswerMs: ms });
    await expect(adding).rejects.toMatchObject(refusal);
    closeSync(fd);
    closeSync(peer);
    await expectServing(pager);
  });

  it('pages images that are too short, too few, or none at all', async () => {
    const pager = await startPager();
    const memory = makeMemory(16);
    const directory = temporaryDirectory();
    const short = join(directory, 'short.img');
    writeFileSync(short, memory.bytes.subarray(0, 15 * 4096));
    const withSources = (paths: string[]) => ({
      sources: paths.map((path) => ({ path, byteLength: 0 })),
    });
    await expect(add(pager, memory, withSources([short]))).rejects.toEqual(
      refused('contradicts itself', 'an extent lies outside its pages image'),
    );
    await expect(add(pager, memory, withSources([]))).rejects.toEqual(
      refused('contradicts itself', 'its columns do not fit'),
    );
    await expect(add(pager, memory, withSources([short, short]))).rejects.toEqual(
      refused('contradicts itself', 'its columns do not fit'),
    );
    for (const path of [directory, makeFifo(), '/dev/null']) {
      await expect(within(add(pager, memory, withSources([path])))).rejects.toEqual(
        refused('cannot be opened or mapped', 'EINVAL'),
      );
    }
    const missing = join(directory, 'missing.img');
    await expect(add(pager, memory, withSources([missing]))).rejects.toMatchObject({
      code: 'PAGES_MISSING',
      where: missing,
    });
    await expectServing(pager);
  });

  it('plans whose extents or regions are out of bounds', async () => {
    const pager = await startPager();
    const memory = makeMemory(16);
    const { plan } = memory;
    const extents = (changes: Partial<TaskPlan['extents']>) => ({
      plan: { ...plan, extents: { ...plan.extents, ...changes } },
    });
    const regions = (changes: Partial<TaskPlan['regions']>) => ({
      plan: { ...plan, regions: { ...plan.regions, ...changes } },
    });
    const start = plan.regions.start[0] as bigint;
    const cases: [object, string][] = [
      [extents({ pageCount: Uint32Array.of(17, 16) }), 'an extent lies outside its pages image'],
      [extents({ pageCount: Uint32Array.of(33, 16) }), 'an extent is out of bounds'],
      [extents({ vaddr: BigUint64Array.of(start, start) }), 'an extent is out of bounds'],
      [extents({ pageCount: Uint32Array.of(16, 17) }), 'an extent is out of bounds'],
      [extents({ pageCount: Uint32Array.of(0, 16) }), 'an extent is out of bounds'],
      [extents({ pageIndex: Uint32Array.of(1, 17) }), 'an extent is out of bounds'],
      [extents({ kind: Uint8Array.of(0, 3) }), 'an extent is out of bounds'],
      [extents({ source: Uint32Array.of(1, 0) }), 'an extent is out of bounds'],
      [
        extents({ fileOffset: BigUint64Array.of(4096n, 0n) }),
        'an extent lies outside its pages image',
      ],
      [
        extents({ fileOffset: BigUint64Array.of(2n ** 64n - 4096n, 0n) }),
        'an extent lies outside its pages image',
      ],
      [extents({ blockPages: Uint32Array.of(1, 0) }), 'an extent is out of bounds'],
      [
        extents({ blockPages: Uint32Array.of(1, 0), entryPages: Uint32Array.of(16, 0) }),
        'an LZ4 block is out of bounds',
      ],
      [regions({ end: BigUint64Array.of(start) }), 'a region is out of bounds'],
      [regions({ end: BigUint64Array.of(2n ** 63n) }), 'a region is out of bounds'],
      [regions({ end: BigUint64Array.of(start + 0x20001n) }), 'a region is out of bounds'],
    ];
    for (const [changes, reason] of cases) {
      await expect(within(add(pager, memory, changes))).rejects.toEqual(
        refused('contradicts itself', reason),
      );
    }
    await expectServing(pager);
  });
});

function makeFifo(): string {
  const path = join(temporaryDirectory(), 'fifo');
  execFileSync('mkfifo', [path]);
  return path;
}
