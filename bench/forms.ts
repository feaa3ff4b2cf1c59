/**
 * The forms of an image, with its pages in the page cache and on the disk only. CRIU 4.1 reads plain
 * images alone.
 */
import { join } from 'node:path';
import type { Benchmark, BenchmarkTable, Findings, Row } from './benchmark.js';
import { criuLazy, type Driver } from './lazy/drivers.js';
import { type DumpedWorkload, workloadOfOneGib } from './lazy/dumped-workload.js';
import { type FormName, formOfOneGib } from './lazy/packed-workload.js';
import { type AccessName, runTrial, type Trial } from './lazy/trial.js';
import { summarize } from './statistics.js';

const ACCESSES: readonly (readonly [AccessName, string])[] = [
  ['random', '20,000 random pages'],
  ['sequential', 'all in order'],
  ['idle', 'nothing'],
];

interface Way {
  readonly title: string;
  readonly driver: Driver;
  readonly pagesFile: string;
}

interface Sample extends Trial {
  readonly accesses: AccessName;
  readonly way: string;
  readonly cold: boolean;
}

const THAW_FORMS: readonly (readonly [FormName, string])[] = [
  ['raw', 'thaw, plain'],
  ['page', 'thaw, LZ4 per page'],
  ['region', 'thaw, LZ4 by 64 KiB'],
];

async function listWays({ image }: DumpedWorkload, quick: boolean): Promise<Way[]> {
  const pagesFile = join(image, 'pages-1.img');
  const ways: Way[] = [{ title: 'criu, plain', driver: criuLazy, pagesFile }];
  for (const [name, title] of quick ? THAW_FORMS.slice(0, 2) : THAW_FORMS) {
    const form = await formOfOneGib(name);
    ways.push({ title, driver: form.driver(true), pagesFile: form.pagesFile });
  }
  return ways;
}

async function run(trials: number, quick: boolean): Promise<Findings> {
  const workload = await workloadOfOneGib();
  const ways = await listWays(workload, quick);
  const samples: Sample[] = [];
  const measure = async (way: Way, accesses: AccessName, cold: boolean): Promise<void> => {
    const { title, driver, pagesFile } = way;
    const options = { driver, accesses, ...(cold ? { coldFile: pagesFile } : {}) };
    samples.push({ accesses, way: title, cold, ...(await runTrial(workload, options)) });
  };
  // A cold run leaves the file in the cache for the warm one behind it.
  const caches = quick ? [true] : [true, false];
  for (let trial = 0; trial < trials; trial++) {
    for (const [accesses] of quick ? ACCESSES.slice(0, 1) : ACCESSES) {
      for (const way of ways) {
        for (const cold of caches) await measure(way, accesses, cold);
      }
    }
  }
  return { tables: caches.map((cold) => describe(samples, ways, cold)), samples };
}

function describe(samples: readonly Sample[], ways: readonly Way[], cold: boolean): BenchmarkTable {
  const rows = ACCESSES.flatMap(([accesses, title]) =>
    ways.flatMap((way): Row[] => {
      const own = samples.filter(
        (it) => it.accesses === accesses && it.way === way.title && it.cold === cold,
      );
      if (own.length === 0) return [];
      const done = summarize(own.map(({ workloadMs }) => workloadMs));
      const resident = summarize(own.map(({ residentMs }) => residentMs));
      const median = (value: (sample: Sample) => number): number =>
        summarize(own.map(value)).median;
      return [
        {
          case: title,
          by: way.title,
          'done ms': done.median.toFixed(0),
          'done min': done.min.toFixed(0),
          'resident ms': resident.median.toFixed(0),
          'resident min': resident.min.toFixed(0),
          'p50 µs': median(({ touches }) => touches.p50 ?? 0).toFixed(1),
          'p99 µs': median(({ touches }) => touches.p99 ?? 0).toFixed(0),
          'max µs': median(({ touches }) => touches.max ?? 0).toFixed(0),
          'CPU ms': median(({ cpuMs }) => cpuMs).toFixed(0),
          'RssAnon MiB': median(({ rssAnonMib }) => rssAnonMib).toFixed(1),
        },
      ];
    }),
  );
  return { title: cold ? 'forms, cold: pages on the disk only' : 'forms, warm', rows };
}

/** `forms`: what LZ4 costs and gains, and what a cold cache does. */
export const forms: Benchmark = { name: 'forms', trials: 5, quickTrials: 1, run };
