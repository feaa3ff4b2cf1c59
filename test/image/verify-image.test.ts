import { cpSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ThawError } from '../../src/errors.js';
import { verifyImage } from '../../src/image/verify-image.js';
import { makeTempDirectory, PAGE, pageBytes, writeImage } from '../support/image-builder.js';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
const BASE = 0x10_0000n;

let temp: ReturnType<typeof makeTempDirectory>;

beforeEach(() => {
  temp = makeTempDirectory();
});

afterEach(() => {
  temp.remove();
});

it.each([
  ['pattern', 402],
  ['pattern-legacy', 402],
  ['pattern-parent-chain/top', 402],
  ['pattern-lz4-page', 402],
  ['pattern-lz4-region', 402],
  ['family', 305],
  ['redis', 1118],
])('finds nothing wrong with %s, and counts its pages', async (name, pages) => {
  const expected = JSON.parse(readFileSync(join(FIXTURES, name, 'expected.json'), 'utf8'));
  const zeroPages = [...expected.tasks, ...expected.shmem]
    .map(({ pagemap }) => pagemap?.pages_all_zero ?? 0)
    .reduce((sum, count) => sum + count, 0);
  const progress: number[] = [];
  const result = await verifyImage(join(FIXTURES, name), {
    onProgress: ({ pagesDone, pagesTotal }) => {
      expect(pagesTotal).toBe(pages);
      progress.push(pagesDone);
    },
  });
  expect(result).toEqual({
    problems: [],
    truncated: false,
    pages,
    zeroPages,
    checksummedPages: 0,
  });
  expect(progress.at(-1)).toBe(pages);
});

it('finds what the manifest of malformed images says', async () => {
  const { cases } = JSON.parse(readFileSync(join(FIXTURES, 'malformed/manifest.json'), 'utf8'));
  for (const { dir, outcome, class: name, also } of cases) {
    const { problems } = await verifyImage(join(FIXTURES, 'malformed', dir));
    const codes = [name ?? '', ...(also ?? [])].map((code: string) => code.toUpperCase());
    if (outcome === 'ok') expect(problems).toEqual([]);
    if (outcome === 'error') expect(codes).toContain(problems[0]?.code);
  }
});

describe('all problems', () => {
  it('of entries are listed with their places', async () => {
    const entries = [
      { vaddr: BASE + 1n, pageCount: 1, flags: 4 },
      { vaddr: BASE, pageCount: 0, flags: 4 },
      { vaddr: BASE, pageCount: 1, flags: 4 },
      { vaddr: BASE, pageCount: 1, flags: 4 },
      { vaddr: BASE + BigInt(100 * PAGE), pageCount: 1, flags: 4 },
    ];
    const vmas = [{ start: BASE, end: BASE + BigInt(PAGE) }];
    const pagemap = { pagesId: 1, entries, payload: pageBytes(1) };
    writeImage(temp.path, { tasks: [{ pid: 5, vmas, pagemap }] });
    const { problems } = await verifyImage(temp.path);
    expect(problems.map(({ code }) => code)).toEqual([
      'VADDR_UNALIGNED',
      'NR_PAGES_ZERO',
      'ENTRIES_OVERLAP',
      'PAGE_OUTSIDE_VMA',
    ]);
    expect(problems.map(({ where }) => /record (\d)/.exec(where ?? '')?.[1])).toEqual(
      expect.arrayContaining(['1', '2', '4']),
    );
  });

  it('of several tasks and VMAs are listed', async () => {
    const pagemap = (pagesId: number) => ({ pagesId, entries: [], payload: new Uint8Array(0) });
    const bad = { start: BASE, end: BASE };
    const good = { start: BASE, end: BASE + BigInt(PAGE) };
    writeImage(temp.path, {
      tasks: [
        { pid: 5, vmas: [bad, good, good, bad], pagemap: pagemap(1) },
        { pid: 6, machine: 3, vmas: [good], pagemap: pagemap(2) },
        { pid: 7, vmas: [good], pagemap: pagemap(3) },
      ],
    });
    truncateSync(join(temp.path, 'pagemap-7.img'), 5);
    const { problems } = await verifyImage(temp.path);
    expect(problems.map(({ code }) => code)).toEqual([
      'VMA_RANGE_INVALID',
      'VMA_RANGE_INVALID',
      'VMAS_OVERLAP',
      'MACHINE_UNSUPPORTED',
      'FILE_TRUNCATED',
    ]);
  });

  it('of blocks are listed, one a block', async () => {
    cpSync(join(FIXTURES, 'pattern-lz4-region'), temp.path, { recursive: true });
    const path = join(temp.path, 'pages-2.img');
    const bytes = readFileSync(path);
    bytes.fill(0xff, 0, 40);
    bytes.fill(0xff, bytes.length - 300, bytes.length - 200);
    writeFileSync(path, bytes);
    const { problems, pages } = await verifyImage(temp.path);
    expect(problems.map(({ code }) => code)).toEqual(['LZ4_CORRUPT', 'LZ4_CORRUPT']);
    expect(new Set(problems.map(({ where }) => where)).size).toBe(2);
    expect(pages).toBeGreaterThan(300);
  });

  it('end at a bound', async () => {
    const entries = Array.from({ length: 1500 }, () => ({ vaddr: 1n, pageCount: 1, flags: 4 }));
    const vmas = [{ start: BASE, end: BASE + BigInt(PAGE) }];
    const pagemap = { pagesId: 1, entries, payload: new Uint8Array(0) };
    writeImage(temp.path, { tasks: [{ pid: 5, vmas, pagemap }] });
    const { problems, truncated } = await verifyImage(temp.path);
    expect(problems.length).toBe(1000);
    expect(truncated).toBe(true);
  });
});

it('can be stopped', async () => {
  const signal = AbortSignal.abort();
  const error = await verifyImage(join(FIXTURES, 'redis'), { signal }).catch((reason) => reason);
  expect(error).toBeInstanceOf(ThawError);
  expect(error.code).toBe('ABORTED');
});
