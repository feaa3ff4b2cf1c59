/** What errors of an image say, where the numbers are extreme or the words depend on them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { type ImageSpec, makeTempDirectory, PAGE, writeImage } from '../support/image-builder.js';

const BASE = 0x10_000n;
const VMA = { start: BASE, end: BASE + BigInt(4 * PAGE) };

let temp: ReturnType<typeof makeTempDirectory>;
beforeAll(() => {
  temp = makeTempDirectory();
});
afterAll(() => temp.remove());

type Entry = ImageSpec['tasks'][number]['pagemap']['entries'][number];

async function expectError(
  code: string,
  message: RegExp,
  spec: Partial<ImageSpec> & { vma?: typeof VMA; entries?: readonly Entry[] },
): Promise<void> {
  const { vma = VMA, entries = [], ...rest } = spec;
  const pagemap = { pagesId: 1, entries, payload: new Uint8Array(PAGE) };
  writeImage(temp.path, { tasks: [{ pid: 5, vmas: [vma], pagemap }], ...rest });
  const opened = Checkpoint.open(temp.path);
  await expect(opened).rejects.toThrow(message);
  await expect(opened).rejects.toMatchObject({ code });
}

describe('an error of an image', () => {
  it.each([2n ** 53n + 1n, 2n ** 64n - 1n])('counts %s pages exactly', async (pageCount) => {
    const found = new RegExp(`found ${pageCount} pages`);
    const entries = [{ vaddr: BASE, pageCount, flags: 4 }];
    await expectError('NR_PAGES_OVERFLOW', found, { entries });
  });

  it('speaks of one page, and of several', async () => {
    const entry = { vaddr: BASE, pageCount: 1, flags: 4, blockSizes: [100] };
    const region = { version: 3, compress: 2, regionBytes: 4 * PAGE, entries: [entry] };
    const words = /expected blocks of 4 pages \(mode region\), found blocks of 1 page /;
    await expectError('COMPRESS_MODE_MISMATCH', words, region);
  });

  it('tells an empty VMA from one that ends before it begins', async () => {
    const expected = 'expected an end above 0x10000';
    const empty = { start: BASE, end: BASE };
    await expectError('VMA_RANGE_INVALID', RegExp(`a VMA is empty: ${expected}`), { vma: empty });
    const turned = { start: BASE, end: BASE - BigInt(PAGE) };
    const words = RegExp(`a VMA ends before it begins: ${expected}`);
    await expectError('VMA_RANGE_INVALID', words, { vma: turned });
  });

  it.each([
    [0, 'REGION_SIZE_INVALID'],
    [PAGE + 1, 'REGION_SIZE_INVALID'],
    [2 ** 31, 'REGION_TOO_LARGE'],
  ])('tells a region size of %i by %s', async (regionBytes, code) => {
    const words = RegExp(`expected a multiple of 4096 up to \\d+, found ${regionBytes} `);
    await expectError(code, words, { version: 3, compress: 2, regionBytes });
  });
});
