/**
 * One pager against the number of its targets, the size of an image, and the number of its extents.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { restore } from '../src/restore/restore.js';
import { summarizeLatencies } from '../src/servicer/figures.js';
import { Pager } from '../src/servicer/pager.js';
import type { Benchmark, Findings, Row } from './benchmark.js';
import { type Grown, makeGrownImage, makePagesFile } from './growth/grown-image.js';
import { loadOf } from './growth/process-load.js';
import { summarize } from './statistics.js';

const MIB_PAGES = 256;
const GIB_PAGES = 1024 * MIB_PAGES;
const TOUCHED = 20_000;
/** The longest that the ends of a restore go on after its last page. */
const SETTLE_MS = 500;
const IDLE_MS = 1_000;
/** Fewer pages than that are filled too fast to tell how fast. */
const FILLED_PAGES_MIN = 64 * MIB_PAGES;
const MORE_MIB_MAX = 64;

interface Case extends Grown {
  readonly title: string;
}

/** What one restore took. */
interface Sample {
  readonly readyMs: number;
  /** Faults alone, of all targets at the same time. */
  readonly faultUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** The rest, by the fill; NaN where that is little. */
  readonly fillGibPerSec: number;
  readonly rssAnonMib: number;
  /** Of a second without anything missing. */
  readonly idleCpuUs: number;
  readonly idleSwitches: number;
}

function listCases(quick: boolean): Case[] {
  const targets = [1, 10, 100].map((tasks) => ({
    title: `${tasks} × 4 MiB`,
    tasks,
    pagesEach: 4 * MIB_PAGES,
    extentsEach: 1,
  }));
  const sizes = (quick ? [256] : [256, 1024, 4096]).map((mib) => ({
    title: `1 × ${mib} MiB`,
    tasks: 1,
    pagesEach: mib * MIB_PAGES,
    extentsEach: 1,
  }));
  const extents = (quick ? [2, 4] : [2, 4, 6]).map((power) => ({
    title: `10^${power} extents`,
    tasks: 1,
    pagesEach: quick ? 256 * MIB_PAGES : 4 * GIB_PAGES,
    extentsEach: 10 ** power,
  }));
  return [...targets, ...sizes, ...extents];
}

async function measure(path: string, { tasks, pagesEach }: Case, verify: boolean): Promise<Sample> {
  await using pager = await Pager.start();
  await using restoration = await restore(path, { pager, fill: false });
  const percent = Math.min(100, (100 * TOUCHED) / (tasks * pagesEach));
  const begin = performance.now();
  const touches = await restoration.touch({ kind: 'percent', percent });
  const touchMs = performance.now() - begin;
  const latencies = touches.flatMap(({ latencyNs }) => [...latencyNs]);
  const missing = sumOf(restoration.figures(), (it) => it?.missingPages);
  const fillBegin = performance.now();
  await restoration.fill();
  await restoration.resident;
  const fillMs = performance.now() - fillBegin;
  await sleep(SETTLE_MS);
  const full = loadOf(pager.pid);
  await sleep(IDLE_MS);
  const idle = loadOf(pager.pid);
  if (verify) await checkContent(restoration);
  const { p50, p99 } = summarizeLatencies(Uint32Array.from(latencies));
  return {
    readyMs: restoration.readyMs,
    faultUs: (touchMs * 1000) / latencies.length,
    p50Us: p50 ?? Number.NaN,
    p99Us: p99 ?? Number.NaN,
    fillGibPerSec: missing < FILLED_PAGES_MIN ? Number.NaN : missing / GIB_PAGES / (fillMs / 1000),
    rssAnonMib: full.rssAnonMib,
    idleCpuUs: (idle.cpuNs - full.cpuNs) / 1000,
    idleSwitches: idle.switches - full.switches,
  };
}

async function checkContent(restoration: Awaited<ReturnType<typeof restore>>): Promise<void> {
  const { tasks } = await restoration.verify();
  const wrong = sumOf(tasks, ({ mismatched }) => mismatched);
  if (wrong > 0) throw new Error(`bench: ${wrong} pages with wrong content`);
}

function sumOf<T>(items: readonly T[], value: (item: T) => number | undefined): number {
  return items.reduce((sum, item) => sum + (value(item) ?? 0), 0);
}

async function run(trials: number, quick: boolean): Promise<Findings> {
  const samples = new Map<string, Sample[]>();
  const cases = listCases(quick);
  // By the size of the pages file, which is written once; what is compared shares it, or is far apart.
  for (const pageCount of new Set(cases.map(({ pagesEach }) => pagesEach))) {
    const pages = makePagesFile(pageCount);
    try {
      for (const one of cases.filter(({ pagesEach }) => pagesEach === pageCount)) {
        const image = makeGrownImage(one, pages.path);
        try {
          // Loads caches, and has the code compiled.
          if (samples.size === 0) await measure(image.path, one, false);
          for (let trial = 0; trial < trials; trial++) {
            const sample = await measure(image.path, one, trial === 0);
            samples.set(one.title, [...(samples.get(one.title) ?? []), sample]);
          }
        } finally {
          image.remove();
        }
      }
    } finally {
      pages.remove();
    }
  }
  const rows = cases.map(({ title }) => describe(title, samples.get(title) ?? []));
  const limits = judge(cases, samples);
  return {
    tables: [
      { title: 'growth', rows },
      { title: 'growth: limits', rows: limits },
    ],
    samples: Object.fromEntries(samples),
  };
}

function describe(title: string, samples: readonly Sample[]): Row {
  const median = (value: (sample: Sample) => number): number =>
    summarize(samples.map(value)).median;
  const fill = median(({ fillGibPerSec }) => fillGibPerSec);
  return {
    case: title,
    'ready ms': median(({ readyMs }) => readyMs).toFixed(1),
    'µs a fault': median(({ faultUs }) => faultUs).toFixed(1),
    'p50 µs': median(({ p50Us }) => p50Us).toFixed(1),
    'p99 µs': median(({ p99Us }) => p99Us).toFixed(0),
    'fill GiB/s': Number.isNaN(fill) ? '' : fill.toFixed(2),
    'RssAnon MiB': median(({ rssAnonMib }) => rssAnonMib).toFixed(1),
  };
}

function judge(cases: readonly Case[], samples: ReadonlyMap<string, readonly Sample[]>): Row[] {
  const rssOf = (tasks: number): number => {
    const title = cases.find((it) => it.tasks === tasks)?.title ?? '';
    return summarize((samples.get(title) ?? []).map(({ rssAnonMib }) => rssAnonMib)).max;
  };
  const more = rssOf(100) - rssOf(1);
  const all = [...samples.values()].flat();
  const cpuUs = Math.max(...all.map(({ idleCpuUs }) => idleCpuUs));
  const switches = Math.max(...all.map(({ idleSwitches }) => idleSwitches));
  return [
    {
      case: 'RssAnon of the pager with 100 targets, more than with 1',
      found: `${more.toFixed(1)} MiB`,
      must: `< ${MORE_MIB_MAX} MiB`,
      result: more < MORE_MIB_MAX ? 'pass' : 'MISS',
    },
    {
      case: 'a second with nothing missing, at most',
      found: `${cpuUs.toFixed(0)} µs of CPU, ${switches} switches`,
      must: 'none',
      result: cpuUs === 0 && switches === 0 ? 'pass' : 'MISS',
    },
  ];
}

/** `growth`: a fault costs the same, however much there is; an idle pager does nothing. */
export const growth: Benchmark = { name: 'growth', trials: 3, quickTrials: 1, run };
