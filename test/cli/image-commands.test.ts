import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
});

describe('thaw pack and unpack', () => {
  it.each([
    ['pattern', []],
    ['family', ['--region', '16K']],
    ['redis', ['--region', '256K', '--jobs', '1']],
  ])('%s comes back to the byte, and the packed image restores', async (name, options) => {
    const image = join(FIXTURES, name);
    const packed = join(directory, 'packed');
    const unpacked = join(directory, 'unpacked');
    expect(await runThaw('pack', image, packed, ...options)).toMatchObject({ status: 0 });
    const restored = await runThaw('restore', packed, '--verify', '--json');
    expect(restored).toMatchObject({ status: 0, stderr: '' });
    expect(await runThaw('unpack', packed, unpacked)).toMatchObject({ status: 0 });
    expect(readdirSync(unpacked).sort()).toEqual(readdirSync(image).sort());
    for (const file of readdirSync(image)) {
      const same = readFileSync(join(unpacked, file)).equals(readFileSync(join(image, file)));
      expect(same, file).toBe(true);
    }
  });

  it('with checksums, every command says so, and damage is told by its place', async () => {
    const packed = join(directory, 'packed');
    const unpacked = join(directory, 'unpacked');
    expect(await runThaw('pack', 'fixtures/redis', packed, '--checksums')).toMatchObject({
      status: 0,
    });
    const inspected = await runThaw('inspect', packed);
    expect(inspected.stdout).toMatch(/ stored, .* payload here, all with checksums, ratio /);
    const whole = await runThaw('verify', packed);
    expect(whole).toMatchObject({ status: 0, stderr: '' });
    expect(whole.stdout).toContain('106 all zero, 1,118 with checksums, nothing wrong');
    const path = join(packed, 'pages-1.img');
    const bytes = readFileSync(path);
    const middle = bytes.length >> 1;
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
    writeFileSync(path, bytes);
    const damaged = await runThaw('verify', packed);
    expect(damaged.status).toBe(1);
    expect(damaged.stderr).toMatch(
      /^thaw: CHECKSUM_MISMATCH: .*pages-1\.img, byte \d+, block \d+ of .*pagemap-\d+\.img, address 0x[0-9a-f]+\).*\n$/,
    );
    const refused = await runThaw('unpack', packed, unpacked);
    expect(refused).toMatchObject({ status: 1 });
    expect(refused.stderr).toContain('CHECKSUM_MISMATCH');
    expect(readdirSync(directory)).toEqual(['packed']);
  });

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
