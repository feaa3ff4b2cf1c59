import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ErrorCode, ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import type { LiveTask } from '../../src/image/task.js';
import {
  type EntrySpec,
  type ImageSpec,
  makeTempDirectory,
  PAGE,
  pageBytes,
  type TaskSpec,
  writeImage,
} from '../support/image-builder.js';
import { encodeMessage } from '../support/image-wire.js';

const BASE = 0x10_0000n;
const VMA = { start: BASE, end: BASE + BigInt(8 * PAGE) };

let temp: ReturnType<typeof makeTempDirectory>;

beforeEach(() => {
  temp = makeTempDirectory();
});

afterEach(() => {
  temp.remove();
});

function makeTask(pid: number, overrides: Partial<TaskSpec> = {}): TaskSpec {
  const entries = [{ vaddr: BASE, pageCount: 2, flags: 6 }];
  const payload = Buffer.concat([pageBytes(pid), pageBytes(pid + 1)]);
  return { pid, vmas: [VMA], pagemap: { pagesId: pid, entries, payload }, ...overrides };
}

/** Writes an image of one task with these entries, whose payload is `pages` pages. */
function writeEntries(entries: EntrySpec[], pages: number, image: Partial<ImageSpec> = {}): void {
  const payload = new Uint8Array(pages * PAGE);
  const task = makeTask(9, { pagemap: { pagesId: 9, entries, payload } });
  writeImage(temp.path, { tasks: [task], ...image });
}

async function refusal(promise: Promise<unknown>): Promise<ThawError> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  if (!(error instanceof ThawError)) throw new Error(`no ThawError but ${error}`);
  return error;
}

async function expectRefused(code: ErrorCode): Promise<ThawError> {
  const error = await refusal(Checkpoint.open(temp.path));
  expect(error.code).toBe(code);
  expect(error.where).toBeDefined();
  return error;
}

function liveTask(checkpoint: Checkpoint, index = 0): LiveTask {
  const task = checkpoint.tasks[index];
  if (task?.state !== 'alive') throw new Error('no live task');
  return task;
}

it('opens several tasks, and zombies among them', async () => {
  const zombie = makeTask(21, { state: 6 });
  writeImage(temp.path, { tasks: [makeTask(20), zombie, makeTask(22, { state: 3 })] });
  rmSync(join(temp.path, 'mm-21.img'));
  rmSync(join(temp.path, 'pagemap-21.img'));
  await using checkpoint = await Checkpoint.open(temp.path);
  const states = checkpoint.tasks.map(({ pid, state, threads }) => [pid, state, threads.length]);
  expect(states).toEqual([
    [20, 'alive', 1],
    [21, 'dead', 0],
    [22, 'alive', 1],
  ]);
  const bytes = await checkpoint.readPages(liveTask(checkpoint, 2), BASE, 1);
  expect(bytes).toEqual(pageBytes(22));
});

it('refuses what is no directory', async () => {
  const file = join(temp.path, 'file');
  writeFileSync(file, 'x');
  for (const path of [join(temp.path, 'nothing'), file]) {
    expect((await refusal(Checkpoint.open(path))).code).toBe('IMAGE_MISSING');
  }
});

it('refuses a FIFO in the place of a file without waiting for it', async () => {
  writeImage(temp.path, { tasks: [makeTask(20)] });
  rmSync(join(temp.path, 'mm-20.img'));
  execFileSync('mkfifo', [join(temp.path, 'mm-20.img')]);
  await expectRefused('IO_FAILED');
});

it('refuses other machines by name', async () => {
  writeImage(temp.path, { tasks: [makeTask(20, { machine: 3 })] });
  expect((await expectRefused('MACHINE_UNSUPPORTED')).message).toContain('aarch64');
});

it('refuses other page sizes', async () => {
  writeImage(temp.path, { tasks: [makeTask(20, { auxv: [33n, 0n, 6n, 65536n] })] });
  expect((await expectRefused('PAGE_SIZE_UNSUPPORTED')).found).toBe('65536');
});

it('refuses a process tree that names a pid twice', async () => {
  writeImage(temp.path, { tasks: [makeTask(20), makeTask(20)] });
  await expectRefused('PSTREE_INVALID');
});

it('refuses a task in an unknown state', async () => {
  writeImage(temp.path, { tasks: [makeTask(20, { state: 9 })] });
  await expectRefused('PSTREE_INVALID');
});

it('refuses pages that only the page server of a lazy dump had', async () => {
  writeEntries([{ vaddr: BASE, pageCount: 1, flags: 2 }], 0);
  expect((await expectRefused('PAGES_MISSING')).hint).toContain('--lazy-pages');
});

it('refuses a known field of the wrong type', async () => {
  writeEntries([{ vaddr: BASE, pageCount: 1, flags: 4, extra: [[4, new Uint8Array(1)]] }], 1);
  await expectRefused('PROTO_MALFORMED');
});

describe('the newer, nested compression layout', () => {
  const nested = encodeMessage([
    [1, 100],
    [2, 100],
  ]);

  it.each([9, 15, 200])('is refused by name in field %i', async (field) => {
    const entry = { vaddr: BASE, pageCount: 1, flags: 4, extra: [[field, nested]] as const };
    writeEntries([entry], 1, { compress: 1 });
    await expectRefused('COMPRESS_LAYOUT_UNSUPPORTED');
  });

  it("is told from a raw entry with another tool's field by the size of the payload", async () => {
    const entry = { vaddr: BASE, pageCount: 2, flags: 12, extra: [[90, nested]] as const };
    writeEntries([entry], 2, { compress: 1 });
    await (await Checkpoint.open(temp.path)).close();
    truncateSync(join(temp.path, 'pages-9.img'), 100);
    await expectRefused('COMPRESS_LAYOUT_UNSUPPORTED');
  });

  it('is not seen where nothing is compressed', async () => {
    writeEntries([{ vaddr: BASE, pageCount: 1, flags: 4, extra: [[9, nested]] }], 1);
    await (await Checkpoint.open(temp.path)).close();
  });
});

describe('shared memory', () => {
  const shared = { start: 0x20_0000n, end: 0x20_0000n + BigInt(4 * PAGE), flags: 0x21 };

  it('is found by the shmid of an anonymous shared VMA, each object once', async () => {
    const vma = { ...shared, status: 0x101, shmid: 55n, pgoff: BigInt(PAGE) };
    const entries = [{ vaddr: BigInt(PAGE), pageCount: 1, flags: 4 }];
    const object = { shmid: 55, pagesId: 7, entries, payload: pageBytes(7) };
    const tasks = [20, 21].map((pid) => makeTask(pid, { vmas: [VMA, vma] }));
    writeImage(temp.path, { tasks, shared: [object] });
    await using checkpoint = await Checkpoint.open(temp.path);
    expect(checkpoint.sharedObjects.map(({ shmid, size }) => [shmid, size])).toEqual([
      [55, BigInt(5 * PAGE)],
    ]);
    const [found] = checkpoint.sharedObjects;
    if (found === undefined) throw new Error('no object');
    const bytes = await checkpoint.readPages(found, 0n, 2);
    expect(Buffer.from(bytes)).toEqual(Buffer.concat([new Uint8Array(PAGE), pageBytes(7)]));
  });

  it('has to be in the image', async () => {
    const vma = { ...shared, status: 0x501, shmid: 55n };
    writeImage(temp.path, { tasks: [makeTask(20, { vmas: [VMA, vma] })] });
    await expectRefused('SHMEM_MISSING');
  });

  it('has no pages outside the object', async () => {
    const vma = { ...shared, status: 0x101, shmid: 55n };
    const entries = [{ vaddr: BigInt(4 * PAGE), pageCount: 1, flags: 4 }];
    const object = { shmid: 55, pagesId: 7, entries, payload: pageBytes(7) };
    writeImage(temp.path, { tasks: [makeTask(20, { vmas: [VMA, vma] })], shared: [object] });
    await expectRefused('PAGE_OUTSIDE_VMA');
  });
});

describe('guard areas', () => {
  const guard = { status: 0x10000, flags: 0, prot: 0 };

  it('lie inside one VMA', async () => {
    const inside = { ...guard, start: BASE + BigInt(PAGE), end: BASE + BigInt(2 * PAGE) };
    writeImage(temp.path, { tasks: [makeTask(20, { vmas: [VMA, inside] })] });
    await using checkpoint = await Checkpoint.open(temp.path);
    expect(liveTask(checkpoint).vmas.map((vma) => vma.guard)).toEqual([false, true]);
  });

  it('are refused elsewhere', async () => {
    const outside = { ...guard, start: VMA.end - BigInt(PAGE), end: VMA.end + BigInt(PAGE) };
    writeImage(temp.path, { tasks: [makeTask(20, { vmas: [VMA, outside] })] });
    await expectRefused('VMA_RANGE_INVALID');
  });
});

describe('the link to the parent', () => {
  const child: TaskSpec = makeTask(20, {
    pagemap: {
      pagesId: 1,
      entries: [{ vaddr: BASE, pageCount: 2, flags: 1 }],
      payload: new Uint8Array(0),
    },
  });

  function writeChain(): string {
    const directory = join(temp.path, 'top');
    writeImage(directory, { tasks: [child] });
    writeImage(join(temp.path, 'old'), { tasks: [makeTask(20)], memoryOnly: true });
    return directory;
  }

  async function expectParentBytes(directory: string): Promise<void> {
    await using checkpoint = await Checkpoint.open(directory);
    expect(checkpoint.parents.map(({ path }) => path)).toEqual([join(temp.path, 'old')]);
    expect(await checkpoint.readPages(liveTask(checkpoint), BASE, 1)).toEqual(pageBytes(20));
  }

  it.each(['../old', '../top/../old', 'absolute'])('is followed: %s', async (target) => {
    const directory = writeChain();
    const link = target === 'absolute' ? join(temp.path, 'old') : target;
    symlinkSync(link, join(directory, 'parent'));
    await expectParentBytes(directory);
  });

  it('is followed where it was flattened to a file', async () => {
    const directory = writeChain();
    writeFileSync(join(directory, 'parent'), '../old\n');
    await expectParentBytes(directory);
  });

  it('does not need an inventory at its other end', async () => {
    const directory = writeChain();
    symlinkSync('../old', join(directory, 'parent'));
    rmSync(join(temp.path, 'old/inventory.img'));
    await expectParentBytes(directory);
  });

  it.each([
    ['parent', 'PARENT_LOOP'],
    ['.', 'PARENT_LOOP'],
    ['../nothing', 'PARENT_MISSING'],
    ['inventory.img', 'PARENT_MISSING'],
  ] as const)('is refused: %s', async (target, code) => {
    const directory = writeChain();
    symlinkSync(target, join(directory, 'parent'));
    expect((await refusal(Checkpoint.open(directory))).code).toBe(code);
  });

  it('leads to a dump of the same task', async () => {
    const directory = writeChain();
    symlinkSync('../other', join(directory, 'parent'));
    writeImage(join(temp.path, 'other'), { tasks: [makeTask(30)], memoryOnly: true });
    expect((await refusal(Checkpoint.open(directory))).code).toBe('PARENT_PAGE_MISSING');
  });

  it('is followed through a chain that is longer than the kernel follows links', async () => {
    const depth = 60;
    const task = (layer: number) => (layer === depth ? makeTask(20) : child);
    for (let layer = 0; layer <= depth; layer++) {
      const directory = join(temp.path, `dump${layer}`);
      writeImage(directory, { tasks: [task(layer)], memoryOnly: layer > 0 });
      if (layer < depth) symlinkSync(`../dump${layer + 1}`, join(directory, 'parent'));
    }
    await using checkpoint = await Checkpoint.open(join(temp.path, 'dump0'));
    expect(checkpoint.parents.length).toBe(depth);
    expect(await checkpoint.readPages(liveTask(checkpoint), BASE, 1)).toEqual(pageBytes(20));
  });
});

describe('reading', () => {
  beforeEach(() => {
    writeImage(temp.path, { tasks: [makeTask(20)] });
  });

  it.each([
    [BASE + 1n, 1],
    [-4096n, 1],
    [BASE, -1],
    [BASE, 0.5],
    [BASE, 262_145],
    [0xffff_ffff_ffff_f000n, 2],
  ])('refuses the impossible range %s, %s', async (vaddr, pageCount) => {
    await using checkpoint = await Checkpoint.open(temp.path);
    const reading = checkpoint.readPages(liveTask(checkpoint), vaddr, pageCount);
    expect((await refusal(reading)).code).toBe('INVALID_ARGUMENT');
  });

  it('is refused after close, and close can be called twice', async () => {
    const checkpoint = await Checkpoint.open(temp.path);
    await checkpoint.readPages(liveTask(checkpoint), BASE, 1);
    await checkpoint.close();
    await checkpoint.close();
    const reading = checkpoint.readPages(liveTask(checkpoint), BASE, 1);
    expect((await refusal(reading)).code).toBe('INVALID_ARGUMENT');
  });

  it('notices that the pages image became shorter', async () => {
    await using checkpoint = await Checkpoint.open(temp.path);
    truncateSync(join(temp.path, 'pages-20.img'), PAGE);
    expect(await checkpoint.readPages(liveTask(checkpoint), BASE, 1)).toEqual(pageBytes(20));
    const reading = checkpoint.readPages(liveTask(checkpoint), BASE, 2);
    expect((await refusal(reading)).code).toBe('PAGES_TRUNCATED');
  });

  it('notices that the pages image has gone', async () => {
    await using checkpoint = await Checkpoint.open(temp.path);
    rmSync(join(temp.path, 'pages-20.img'));
    const reading = checkpoint.readPages(liveTask(checkpoint), BASE, 2);
    expect((await refusal(reading)).code).toBe('PAGES_MISSING');
  });
});

it('needs no pages image where nothing is stored', async () => {
  mkdirSync(temp.path, { recursive: true });
  writeEntries([{ vaddr: BASE, pageCount: 4, flags: 0 }], 0);
  rmSync(join(temp.path, 'pages-9.img'));
  await using checkpoint = await Checkpoint.open(temp.path);
  const bytes = await checkpoint.readPages(liveTask(checkpoint), BASE, 4);
  expect(bytes.every((byte) => byte === 0)).toBe(true);
});
