/** `thaw pack` and `unpack`, and what other commands make of their images. */
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
});
