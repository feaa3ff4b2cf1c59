import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runThaw } from '../support/run-thaw.js';

const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url));
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'thaw-cli-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

it.each([
  ['inspect', ''],
  ['verify', ''],
  ['restore', ''],
  ['pack', '', 'out'],
  ['pack', 'fixtures/family', ''],
  ['unpack', 'fixtures/pattern-lz4-region', ''],
])('thaw %s does not take an empty path for the current directory: %j', async (...words) => {
  const { status, stdout, stderr } = await runThaw(...words);
  expect(status).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^thaw: INVALID_ARGUMENT: .*, found an empty path\n$/);
});

describe('thaw inspect', () => {
  it('shows tasks as a tree, areas and sums within 80 columns', async () => {
    const { status, stdout } = await runThaw('inspect', 'fixtures/family');
    expect(status).toBe(0);
    expect(stdout).toContain('31101 family (1 thread)\n  31103 child1 (1 thread)\n');
    expect(stdout).toMatch(/^ {2}\d+ \S+ \(dead\)$/m);
    expect(stdout).toMatch(/^ {2}400000-401000 +r-- +- +\/opt\/thaw-fixtures\/family$/m);
    for (const line of stdout.split('\n').slice(1)) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('shows the chain of parents and where pages lie', async () => {
    const { stdout } = await runThaw('inspect', 'fixtures/pattern-parent-chain/top', '--pages');
    expect(stdout).toMatch(/\n {2}parent \S+\/mid\n {4}parent \S+\/base\n/);
    expect(stdout).toMatch(/ parent 2 +pages-\d+\.img/);
  });

  it('is complete as JSON', async () => {
    const { stdout } = await runThaw('inspect', 'fixtures/pattern-lz4-region', '--json', '--pages');
    const { inventory, tasks, shared } = JSON.parse(stdout);
    expect(inventory).toMatchObject({ version: 3, compress: 'region' });
    expect(tasks[0].bytes).toMatchObject({ data: 381 * 4096, lazy: 364 * 4096, eager: 17 * 4096 });
    const stored = tasks[0].extents.filter(({ kind }: { kind: string }) => kind === 'data');
    const pages = stored.reduce((sum: number, extent: { pages: number }) => sum + extent.pages, 0);
    expect(pages).toBe(381);
    expect(shared).toHaveLength(1);
  });

  it.each([
    ['/no/such/directory', 'IMAGE_MISSING'],
    ['fixtures/malformed/entries-overlap', 'ENTRIES_OVERLAP'],
    ['', 'INVALID_ARGUMENT'],
  ])('fails as JSON with an empty stdout, and the error on stderr: %j', async (image, code) => {
    const { status, stdout, stderr } = await runThaw('inspect', image, '--json');
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^thaw: ${code}: .*\\n$`));
  });
});

describe('thaw verify', () => {
  it('counts what it read', async () => {
    const { status, stdout } = await runThaw('verify', 'fixtures/redis', '--json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      image: 'fixtures/redis',
      ok: true,
      pages: 1118,
      zeroPages: 106,
      checksummedPages: 0,
      problems: [],
      truncated: false,
    });
  });

  it('tells every problem on a line of its own', async () => {
    const { status, stdout, stderr } = await runThaw('verify', 'fixtures/malformed/lz4-corrupt');
    expect(status).toBe(1);
    expect(stdout).toContain('1 problem');
    expect(stderr).toMatch(/^thaw: LZ4_CORRUPT: .*pages-1\.img, byte \d+.*\n$/);
  });

  it.each([
    ['fixtures/malformed/lz4-corrupt', 'LZ4_CORRUPT'],
    ['fixtures/malformed/entries-overlap', 'ENTRIES_OVERLAP'],
    ['/no/such/directory', 'IMAGE_MISSING'],
    ['', 'INVALID_ARGUMENT'],
  ])(
    'tells the problems of %j on stderr too when stdout has the JSON object',
    async (image, code) => {
      const { status, stdout, stderr } = await runThaw('verify', image, '--json');
      expect(status).toBe(1);
      const { problems, ...rest } = JSON.parse(stdout);
      expect(rest).toMatchObject({ image, ok: false, truncated: false });
      expect(problems[0]).toMatchObject({ code });
      const lines = problems.map((it: { code: string; message: string }) => {
        return `thaw: ${it.code}: ${it.message}\n`;
      });
      expect(stderr).toBe(lines.join(''));
    },
  );
});

describe('thaw pack and unpack', () => {
  it('flattens a chain into an image that stands alone', async () => {
    const packed = join(directory, 'flat');
    const chain = join(FIXTURES, 'pattern-parent-chain/top');
    expect(await runThaw('pack', chain, packed, '--flatten')).toMatchObject({ status: 0 });
    const { stdout } = await runThaw('restore', packed, '--verify', '--json');
    expect(JSON.parse(stdout).tasks[0]).toMatchObject({ verified: 381, mismatched: 0 });
  });

  it.each([
    [['pack', 'fixtures/redis', 'fixtures'], 1, 'exists already'],
    [['pack', '/no/such/directory', 'OUT'], 1, 'IMAGE_MISSING'],
    [['unpack', 'fixtures/redis', 'OUT'], 1, 'not compressed'],
    [['pack', 'fixtures/redis', 'OUT', '--region', '5000'], 2, 'a multiple of 4096'],
    [['pack', 'fixtures/redis', 'OUT', '--region', '64K', '--per-page'], 2, 'cannot be used'],
  ])('%j fails and leaves nothing', async (args, status, text) => {
    const out = join(directory, 'out');
    const result = await runThaw(...args.map((arg) => (arg === 'OUT' ? out : arg)));
    expect(result.status).toBe(status);
    expect(result.stderr).toContain(text);
    expect(readdirSync(directory)).toEqual([]);
  });
});
