/**
 * Time to ready against the size of the image: what is not read does not count.
 */
import { restore } from '../src/restore/restore.js';
import type { Benchmark, Findings } from './benchmark.js';
import { makeSparseImage } from './sparse-image.js';
import { summarize } from './statistics.js';

const MIB = 2 ** 20;
const WARM_UP_ROUNDS = 5;
const SIZES: readonly { name: string; byteLength: number; storedBytes?: number }[] = [
  { name: '64 MiB', byteLength: 64 * MIB },
  { name: '1 GiB', byteLength: 1024 * MIB },
  { name: '8 GiB, 64 MiB of it stored', byteLength: 8192 * MIB, storedBytes: 64 * MIB },
  { name: '8 GiB', byteLength: 8192 * MIB },
];

async function readyMs(path: string): Promise<number> {
  await using restoration = await restore(path, { fill: false });
  return restoration.readyMs;
}

async function run(trials: number): Promise<Findings> {
  const images = SIZES.map(({ byteLength, storedBytes }) =>
    makeSparseImage(byteLength, storedBytes),
  );
  const times = SIZES.map((): number[] => []);
  try {
    // Loads caches, and has the code compiled.
    for (let round = 0; round < WARM_UP_ROUNDS; round++) {
      for (const image of images) await readyMs(image.path);
    }
    // Interleaved, so that a slow phase of the machine meets every size.
    for (let trial = 0; trial < trials; trial++) {
      for (const [i, image] of images.entries()) times[i]?.push(await readyMs(image.path));
    }
  } finally {
    for (const image of images) image.remove();
  }
  const base = summarize(times[0] ?? []).median;
  const rows = SIZES.map(({ name }, i) => {
    const { median, min, max } = summarize(times[i] ?? []);
    return {
      case: name,
      'ready ms, median': median.toFixed(1),
      min: min.toFixed(1),
      max: max.toFixed(1),
      'ratio to 64 MiB': (median / base).toFixed(2),
    };
  });
  return { tables: [{ title: 'ready', rows }] };
}

/** `ready`: a sparse image of 8 GiB is to be ready within 20 % of one of 64 MiB. */
export const ready: Benchmark = { name: 'ready', trials: 15, quickTrials: 5, run };
