import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { describeImage } from '../../src/image/describe-image.js';
import { verifyImage } from '../../src/image/verify-image.js';
import { writeCriuView } from '../../src/lazy-pages/criu-view.js';
import { CheckpointWriter } from '../../src/pack/checkpoint-writer.js';
import { type PackOptions, packImage, unpackImage } from '../../src/pack/pack-image.js';
import { planRestore } from '../../src/plan/plan-restore.js';
import { expectedChecksums, listChecksummed, readChecksumFile } from '../support/checksum-model.js';
import {
  arbitraryImage,
  type ImagePlan,
  PID,
  writeRandomImage,
} from '../support/image-arbitrary.js';
import {
  makeTempDirectory,
  PAGE,
  pageBytes,
  randomPage,
  writeImage,
} from '../support/image-builder.js';
import { fingerprint, readModel } from '../support/image-model.js';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
const BASE = 0x10_0000n;
const CHECKSUMS = 'thaw-checksums-5.img';
const PAGEMAP = `pagemap-${PID}.img`;
const PAGES = 'pages-5.img';
const LAZY = 2;
const PRESENT_LAZY_ALIGNED = 14;
const MODES: PackOptions['mode'][] = ['page', { regionPages: 4 }];

let temp: ReturnType<typeof makeTempDirectory>;

beforeEach(() => {
  temp = makeTempDirectory();
});

afterEach(() => {
  temp.remove();
});

/** Raw entries, raw blocks among others, LZ4 blocks, zeros, a hole. */
function writeMixedImage(directory: string): void {
  const contents = [
    ...Array.from({ length: 8 }, (_, seed) => randomPage(seed)),
    ...Array.from({ length: 4 }, (_, seed) => pageBytes(seed + 1)),
    ...Array.from({ length: 4 }, () => new Uint8Array(PAGE)),
    ...Array.from({ length: 6 }, (_, seed) => randomPage(seed + 100)),
  ];
  const at = (page: number): bigint => BASE + BigInt(page * PAGE);
  writeImage(directory, {
    tasks: [
      {
        pid: PID,
        vmas: [{ start: BASE, end: at(64) }],
        pagemap: {
          pagesId: 5,
          entries: [
            { vaddr: at(0), pageCount: 8, flags: 6 },
            { vaddr: at(8), pageCount: 2, flags: 0 },
            { vaddr: at(10), pageCount: 14, flags: 6 },
          ],
          payload: Buffer.concat(contents),
        },
      },
    ],
  });
}

async function packMixed(mode: PackOptions['mode']): Promise<string> {
  const image = join(temp.path, 'image');
  const packed = join(temp.path, 'packed');
  writeMixedImage(image);
  await packImage(image, packed, { mode, checksums: true, jobs: 1 });
  return packed;
}

function flipBit(path: string, byte: number, bit = 4): void {
  const bytes = readFileSync(path);
  bytes[byte] = (bytes[byte] ?? 0) ^ bit;
  writeFileSync(path, bytes);
}

const codesOf = (problems: readonly ThawError[]): string[] => problems.map(({ code }) => code);

describe.each(MODES)('packed as %j with checksums', (mode) => {
  it('has those that the format says', async () => {
    const packed = await packMixed(mode);
    const found = readChecksumFile(join(packed, CHECKSUMS));
    expect(found).toEqual(expectedChecksums(packed, PAGEMAP, PAGES));
    // Raw pages have one each, whatever the region; blocks one each, zeros included.
    expect(found.all).toHaveLength(mode === 'page' ? 22 : 8 + 4);
  });

  it('has the same bytes whatever the number of threads', async () => {
    const packed = await packMixed(mode);
    const other = join(temp.path, 'other');
    const options = { mode, checksums: true, jobs: 3 };
    await packImage(join(temp.path, 'image'), other, options);
    for (const name of readdirSync(packed)) {
      expect(readFileSync(join(other, name)), name).toEqual(readFileSync(join(packed, name)));
    }
  });

  it('reads as before, and is whole', async () => {
    const packed = await packMixed(mode);
    expect(await verifyImage(packed)).toEqual({
      problems: [],
      truncated: false,
      pages: 22,
      zeroPages: 4,
      checksummedPages: 22,
    });
    expect(fingerprint(readModel(packed, String(PID)))).toEqual(
      fingerprint(readModel(join(temp.path, 'image'), String(PID))),
    );
  });

  it('tells of every block that is not as it was written, and of no other', async () => {
    const packed = await packMixed(mode);
    const stretches = listChecksummed(packed, PAGEMAP).filter(({ byteLength }) => byteLength > 0);
    for (const { offset, byteLength } of stretches) {
      flipBit(join(packed, PAGES), offset + (byteLength >> 1));
    }
    const { problems } = await verifyImage(packed);
    expect(codesOf(problems)).toEqual(stretches.map(() => 'CHECKSUM_MISMATCH'));
    problems.forEach(({ where }, i) => {
      expect(where).toContain(`${PAGES}, byte ${stretches[i]?.offset}, `);
      expect(where).toMatch(/address 0x[0-9a-f]+$/);
    });
  });

  it('unpacks to the bytes that it was packed from, without checksums', async () => {
    const packed = await packMixed(mode);
    const unpacked = join(temp.path, 'unpacked');
    await unpackImage(packed, unpacked);
    const image = join(temp.path, 'image');
    expect(readdirSync(unpacked).sort()).toEqual(readdirSync(image).sort());
    for (const name of readdirSync(image)) {
      expect(readFileSync(join(unpacked, name)), name).toEqual(readFileSync(join(image, name)));
    }
  });

  it('is not unpacked, nor packed again, when it is damaged', async () => {
    const packed = await packMixed(mode);
    flipBit(join(packed, PAGES), 100);
    const output = join(temp.path, 'output');
    for (const rewrite of [unpackImage, packImage]) {
      const error = await rewrite(packed, output).catch((reason) => reason);
      expect(error.code).toBe('CHECKSUM_MISMATCH');
      expect(existsSync(output)).toBe(false);
    }
  });
});

const NOTHING_STORED: ImagePlan = {
  layers: [{ compress: 1, regionPages: 1, version1: false, packed: false, pages: [] }],
  areas: [{ gap: 0, pages: 1, kind: 'lazy', guard: false }],
  absoluteLinks: false,
};
// Behind the magic numbers, the size of the record, and the field's tag.
const PAGES_ID_BYTE = 8 + 4 + 1;

it('finds any single flipped bit of payload, pagemap and checksums, in random images', async () => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(
      arbitraryImage,
      fc.constantFrom(...MODES, { regionPages: 3 }),
      fc.array(fc.nat(), { minLength: 6, maxLength: 6 }),
      async (plan, mode, positions) => {
        const layers = plan.layers.map((layer) => ({ ...layer, version1: false }));
        const root = join(temp.path, String(runs++));
        mkdirSync(root);
        const { directory, pages } = writeRandomImage(root, { ...plan, layers });
        const packed = join(root, 'packed');
        await packImage(directory, packed, { mode, flatten: true, checksums: true, jobs: 1 });
        expect(fingerprint(readModel(packed, String(PID)))).toEqual(fingerprint(pages));
        expect((await verifyImage(packed)).problems).toEqual([]);
        const stored = listChecksummed(packed, PAGEMAP).filter(({ byteLength }) => byteLength > 0);
        for (const [index, position] of positions.entries()) {
          const damaged = join(root, `damaged${index}`);
          cpSync(packed, damaged, { recursive: true });
          const name = [PAGES, PAGEMAP, CHECKSUMS][index % 3] as string;
          const stretch = stored[position % stored.length];
          const byteLength = readFileSync(join(damaged, name)).length;
          if (name === PAGES && stretch === undefined) continue;
          const byte =
            name === PAGES && stretch !== undefined
              ? stretch.offset + (position % stretch.byteLength)
              : position % byteLength;
          flipBit(join(damaged, name), byte);
          const { problems } = await verifyImage(damaged);
          if (problems.length > 0) continue;
          // What is left: the checksum of a block of zeros, which has no bytes; and, where nothing
          // is stored, which pages image would have it.
          expect(name).not.toBe(PAGES);
          if (name === PAGEMAP) expect(stored).toEqual([]);
          expect(fingerprint(readModel(damaged, String(PID)))).toEqual(fingerprint(pages));
        }
      },
    ),
    { numRuns: 6, examples: [[NOTHING_STORED, 'page', [0, PAGES_ID_BYTE, 0, 0, 0, 0]]] },
  );
});

describe('checksums that are not those of the image', () => {
  it.each<[string, (packed: string) => void, string]>([
    [
      'of another pagemap',
      (packed) => {
        const path = join(packed, PAGEMAP);
        const flags = readFileSync(path).indexOf(Buffer.from([4 << 3, PRESENT_LAZY_ALIGNED])) + 1;
        flipBit(path, flags, LAZY);
      },
      'CHECKSUM_MISMATCH',
    ],
    ['of a later version', (packed) => flipBit(join(packed, CHECKSUMS), 13), 'VERSION_UNSUPPORTED'],
    [
      'too few',
      (packed) => {
        const bytes = readFileSync(join(packed, CHECKSUMS));
        const head = 8 + 4 + bytes.readUInt32LE(8);
        writeFileSync(join(packed, CHECKSUMS), bytes.subarray(0, head));
      },
      'CHECKSUMS_INVALID',
    ],
    [
      'without a head',
      (packed) => {
        const bytes = readFileSync(join(packed, CHECKSUMS));
        writeFileSync(join(packed, CHECKSUMS), bytes.subarray(0, 8));
      },
      'CHECKSUMS_INVALID',
    ],
    [
      'cut inside one',
      (packed) => {
        const bytes = readFileSync(join(packed, CHECKSUMS));
        const head = 8 + 4 + bytes.readUInt32LE(8);
        const part = Buffer.from([5, 0, 0, 0, 0x0a, 3, 1, 2, 3]);
        writeFileSync(join(packed, CHECKSUMS), Buffer.concat([bytes.subarray(0, head), part]));
      },
      'CHECKSUMS_INVALID',
    ],
  ])('%s are refused by the reader, and told by verify', async (_, damage, code) => {
    const packed = await packMixed('page');
    damage(packed);
    const error = await Checkpoint.open(packed).catch((reason) => reason);
    expect(error.code).toBe(code);
    const { problems, pages } = await verifyImage(packed);
    expect(codesOf(problems)).toEqual([code]);
    expect(pages).toBe(22);
  });
});

it('keeps checksums when an image is packed again, in the blocks of the new one', async () => {
  const packed = await packMixed('page');
  const again = join(temp.path, 'again');
  await packImage(packed, again, { mode: { regionPages: 4 }, jobs: 1 });
  expect(readChecksumFile(join(again, CHECKSUMS))).toEqual(
    expectedChecksums(again, PAGEMAP, PAGES),
  );
});

it('compares what the dump with checksums has, in a chain where others have none', async () => {
  const top = join(temp.path, 'top');
  const chain = join(FIXTURES, 'pattern-parent-chain/top');
  await packImage(chain, top, { checksums: true, jobs: 1 });
  await using checkpoint = await Checkpoint.open(top);
  const { data, inParent, checksummed } = describeImage(checkpoint).tasks[0]?.bytes ?? {
    data: 0,
    inParent: 0,
    checksummed: -1,
  };
  expect(inParent).toBeGreaterThan(0);
  expect(checksummed).toBe(data - inParent);
  const { problems, checksummedPages, pages } = await verifyImage(top);
  expect(problems).toEqual([]);
  expect(checksummedPages).toBeLessThan(pages);
});

it('are no part of what CRIU is given', async () => {
  const packed = await packMixed('page');
  const view = join(temp.path, 'view');
  mkdirSync(view);
  await using checkpoint = await Checkpoint.open(packed);
  await writeCriuView(checkpoint, planRestore(checkpoint), view);
  expect(readdirSync(packed).filter((name) => name.startsWith('thaw-'))).toHaveLength(2);
  expect(readdirSync(view).filter((name) => name.startsWith('thaw-'))).toEqual([]);
});

it('can stand beside plain pages, which CRIU restores as they are', async () => {
  const directory = join(temp.path, 'plain');
  const writer = await CheckpointWriter.create(directory, { mode: 'off', checksums: true });
  const bytes = Buffer.concat([randomPage(1), pageBytes(2)]);
  const read = async (firstPage: number, target: Uint8Array): Promise<void> => {
    target.set(bytes.subarray(firstPage * PAGE, firstPage * PAGE + target.length));
  };
  const run = { vaddr: BASE, pageCount: 2, kind: 'stored', lazy: true, read } as const;
  await writer.writePagemap({ file: PAGEMAP, pagesId: 5 }, [run]);
  await writer.commit();
  expect(readFileSync(join(directory, PAGES))).toEqual(bytes);
  expect(readChecksumFile(join(directory, CHECKSUMS))).toEqual(
    expectedChecksums(directory, PAGEMAP, PAGES),
  );
});
