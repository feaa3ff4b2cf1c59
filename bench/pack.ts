/**
 * How fast images are packed, unpacked, verified and restored, with checksums and without, in bytes
 * of their pages.
 */
import { rmSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { verifyImage } from '../src/image/verify-image.js';
import { type PackOptions, packImage, unpackImage } from '../src/pack/pack-image.js';
import { restore } from '../src/restore/restore.js';
import type { Benchmark, Findings } from './benchmark.js';
import { makeMixedImage } from './mixed-image.js';
import { summarize } from './statistics.js';

const MIB = 2 ** 20;
const IMAGE_MIB = 256;
const REGION = { regionPages: 16 };

interface Paths {
  readonly image: string;
  readonly output: string;
}

interface Case {
  readonly name: string;
  /** Works once; bytes of the pages images that were written, if any. */
  readonly work: (paths: Paths) => Promise<number | undefined>;
}

function packCase(name: string, options: PackOptions): Case {
  const work = async ({ image, output }: Paths): Promise<number> =>
    (await packImage(image, output, options)).payloadBytes;
  return { name, work };
}

const PACKED = (paths: Paths): string => `${paths.image}.packed`;
const CHECKSUMMED = (paths: Paths): string => `${paths.image}.checksummed`;

/** Restores an image into a host until every page is in. */
async function restoreAll(image: string): Promise<undefined> {
  await using restoration = await restore(image);
  await restoration.resident;
}

const CASES: readonly Case[] = [
  packCase('pack, per page, 1 job', { mode: 'page', jobs: 1 }),
  packCase('pack, per page, 2 jobs', { mode: 'page', jobs: 2 }),
  packCase('pack, per page, checksums, 2 jobs', { mode: 'page', checksums: true, jobs: 2 }),
  packCase('pack, regions of 64 KiB, 1 job', { mode: REGION, jobs: 1 }),
  packCase('pack, regions of 64 KiB, 2 jobs', { mode: REGION, jobs: 2 }),
  {
    name: 'unpack, per page',
    work: async (paths) => (await unpackImage(PACKED(paths), paths.output)).payloadBytes,
  },
  {
    name: 'verify, plain',
    work: async ({ image }) => void (await verifyImage(image)),
  },
  {
    name: 'verify, per page',
    work: async (paths) => void (await verifyImage(PACKED(paths))),
  },
  {
    name: 'verify, per page, checksums',
    work: async (paths) => void (await verifyImage(CHECKSUMMED(paths))),
  },
  { name: 'restore, per page', work: (paths) => restoreAll(PACKED(paths)) },
  { name: 'restore, per page, checksums', work: (paths) => restoreAll(CHECKSUMMED(paths)) },
];

async function run(trials: number): Promise<Findings> {
  const image = makeMixedImage(IMAGE_MIB * MIB);
  const paths = { image: image.path, output: `${image.path}.output` };
  const rates = CASES.map((): number[] => []);
  const shares = CASES.map(() => '');
  try {
    await packImage(image.path, PACKED(paths));
    await packImage(image.path, CHECKSUMMED(paths), { checksums: true });
    // Interleaved, so that a slow phase of the machine meets every case.
    for (let trial = 0; trial < trials; trial++) {
      for (const [i, { work }] of CASES.entries()) {
        const begin = performance.now();
        const written = await work(paths);
        rates[i]?.push(IMAGE_MIB / ((performance.now() - begin) / 1000));
        if (written !== undefined)
          shares[i] = `${((written / MIB / IMAGE_MIB) * 100).toFixed(1)} %`;
        rmSync(paths.output, { recursive: true, force: true });
      }
    }
  } finally {
    for (const path of [paths.output, PACKED(paths), CHECKSUMMED(paths)])
      rmSync(path, { recursive: true, force: true });
    image.remove();
  }
  const rows = CASES.map(({ name }, i) => {
    const { median, min, max } = summarize(rates[i] ?? []);
    return {
      case: name,
      'MiB/s, median': median.toFixed(0),
      min: min.toFixed(0),
      max: max.toFixed(0),
      'written, of the pages': shares[i] ?? '',
    };
  });
  return { tables: [{ title: 'pack', rows }] };
}

/** `pack`: two jobs are to be faster than one where there are two cores. */
export const pack: Benchmark = { name: 'pack', trials: 5, quickTrials: 1, run };
