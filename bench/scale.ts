/**
 * Opening and planning against the number of entries and blocks: metadata counts, payload does not.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Benchmark, Findings } from './benchmark.js';
import type { OpenAndPlan } from './open-and-plan.js';
import { makeBlockyImage, makeScatteredImage, type SparseImage } from './sparse-image.js';
import { summarize } from './statistics.js';

const CHILD = fileURLToPath(new URL('./open-and-plan.ts', import.meta.url));
const CHILD_MS_MAX = 60_000;

interface Case {
  readonly name: string;
  readonly count: number;
  readonly make: (count: number) => SparseImage;
  readonly limit?: string;
}

/** The first one tells what a process takes that has next to nothing to open. */
const CASES: readonly Case[] = [
  { name: '1 entry', count: 1, make: makeScatteredImage },
  { name: '10^4 entries', count: 1e4, make: makeScatteredImage },
  { name: '10^5 entries', count: 1e5, make: makeScatteredImage },
  { name: '10^6 entries', count: 1e6, make: makeScatteredImage, limit: '3 s, 400 MB' },
  { name: '2^24 blocks', count: 2 ** 24, make: makeBlockyImage, limit: '5 s' },
];

async function openAndPlan(path: string): Promise<OpenAndPlan> {
  const child = fork(CHILD, [path], { timeout: CHILD_MS_MAX, killSignal: 'SIGKILL' });
  const exit = once(child, 'exit');
  const message = once(child, 'message');
  message.catch(() => undefined);
  const first = await Promise.race([message, exit.then(() => undefined)]);
  const [status] = await exit;
  if (first === undefined || status !== 0) throw new Error(`bench: ${CHILD} failed`);
  return first[0] as OpenAndPlan;
}

function medianOf(runs: readonly OpenAndPlan[], value: (run: OpenAndPlan) => number): number {
  return summarize(runs.map(value)).median;
}

async function run(trials: number): Promise<Findings> {
  const runs = CASES.map((): OpenAndPlan[] => []);
  // Image by image, as the larger ones take long to write: what is compared is far apart anyway.
  for (const [i, { count, make }] of CASES.entries()) {
    const image = make(count);
    try {
      for (let trial = 0; trial < trials; trial++) runs[i]?.push(await openAndPlan(image.path));
    } finally {
      image.remove();
    }
  }
  const totalMs = (run: OpenAndPlan): number => run.openMs + run.planMs;
  const peak = (run: OpenAndPlan): number => run.peakBytes;
  const baseMs = medianOf(runs[0] ?? [], totalMs);
  const baseBytes = medianOf(runs[0] ?? [], peak);
  const rows = CASES.map(({ name, count, limit }, i) => {
    const own = runs[i] ?? [];
    const ms = medianOf(own, totalMs);
    const bytes = medianOf(own, peak);
    return {
      case: name,
      'open ms': medianOf(own, (run) => run.openMs).toFixed(0),
      'plan ms': medianOf(own, (run) => run.planMs).toFixed(0),
      'sum ms': ms.toFixed(0),
      'peak MB': (bytes / 1e6).toFixed(0),
      limit: limit ?? '',
      'µs each': count === 1 ? '' : (((ms - baseMs) * 1000) / count).toFixed(2),
      'bytes each': count === 1 ? '' : ((bytes - baseBytes) / count).toFixed(0),
    };
  });
  return { tables: [{ title: 'scale', rows }] };
}

/** `scale`: time and memory for each entry stay flat from 10^4 up. */
export const scale: Benchmark = { name: 'scale', trials: 5, quickTrials: 1, run };
