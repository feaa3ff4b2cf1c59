/**
 * Thaw against what userfaultfd itself takes, measured in the same run.
 */
import type { Benchmark, Findings, Row } from './benchmark.js';
import { type Bar, judgeAbove } from './lazy/bars.js';
import { thawLazy } from './lazy/drivers.js';
import { type DumpedWorkload, workloadOfOneGib } from './lazy/dumped-workload.js';
import { type Floor, type FloorName, runFloor } from './lazy/floors.js';
import { formOfOneGib } from './lazy/packed-workload.js';
import { runTrial, type Trial } from './lazy/trial.js';
import { summarize } from './statistics.js';

const MIB = 2 ** 20;
const RSS_BAR_MIB = 8;

/** One round; every number of it is compared within it. */
interface Round {
  readonly floors: Readonly<Record<FloorName, Floor>>;
  /** 20,000 random pages, with the fill and without. */
  readonly random: Trial;
  readonly demand: Trial;
  /** Fills alone. */
  readonly rawFill: Trial;
  readonly lz4Fill: Trial;
}

async function runRound(workload: DumpedWorkload): Promise<Round> {
  const raw = await formOfOneGib('raw');
  const page = await formOfOneGib('page');
  return {
    demand: await runTrial(workload, { driver: raw.driver(false), accesses: 'random' }),
    floors: {
      reading: await runFloor(workload, 'reading', 'random'),
      spinning: await runFloor(workload, 'spinning', 'random'),
      textbook: await runFloor(workload, 'textbook', 'random'),
      fill: await runFloor(workload, 'fill', 'sequential'),
    },
    random: await runTrial(workload, { driver: thawLazy, accesses: 'random' }),
    rawFill: await runTrial(workload, { driver: thawLazy, accesses: 'idle' }),
    lz4Fill: await runTrial(workload, { driver: page.driver(true), accesses: 'idle' }),
  };
}

interface Limit {
  readonly title: string;
  readonly ours: (round: Round) => number;
  readonly floor: (round: Round) => number;
  readonly bar?: Bar;
}

const p50 = ({ touches }: { touches: Trial['touches'] }): number => touches.p50 ?? Number.NaN;

const LIMITS: readonly Limit[] = [
  {
    title: 'random fault, p50 µs: a thread that reads and copies',
    ours: ({ demand }) => p50(demand),
    floor: ({ floors }) => p50(floors.reading),
    bar: [1.6, 1.25],
  },
  {
    title: 'random fault, p50 µs: a thread that never sleeps',
    ours: ({ demand }) => p50(demand),
    floor: ({ floors }) => p50(floors.spinning),
  },
  {
    title: 'random fault, p50 µs: the textbook handler',
    ours: ({ demand }) => p50(demand),
    floor: ({ floors }) => p50(floors.textbook),
  },
  {
    title: '20,000 random pages, ms: the textbook handler',
    ours: ({ random }) => random.workloadMs,
    floor: ({ floors }) => floors.textbook.workloadMs,
  },
  {
    title: 'fill of 1 GiB, ms: two threads that copy',
    ours: ({ rawFill }) => rawFill.residentMs,
    floor: ({ floors }) => floors.fill.fillMs,
    bar: [1.4, 1.15],
  },
  {
    title: 'fill of 1 GiB from LZ4, ms: two threads that copy',
    ours: ({ lz4Fill }) => lz4Fill.residentMs,
    floor: ({ floors }) => floors.fill.fillMs,
    bar: [1.7, 1.4],
  },
];

function compare(rounds: readonly Round[], { title, ours, floor, bar }: Limit): Row {
  const own = summarize(rounds.map(ours));
  const least = summarize(rounds.map(floor));
  const ratio = summarize(rounds.map((round) => ours(round) / floor(round)));
  return {
    'case: floor': title,
    thaw: own.median.toFixed(1),
    'thaw min': own.min.toFixed(1),
    floor: least.median.toFixed(1),
    'floor min': least.min.toFixed(1),
    'thaw / floor': `${ratio.median.toFixed(2)}×`,
    'must / aim': bar === undefined ? '' : `${bar[0]}× / ${bar[1]}×`,
    result: bar === undefined ? '' : judgeAbove(ratio.median, bar),
  };
}

function memoryRow(rounds: readonly Round[], { pageCount }: DumpedWorkload): Row {
  const peak = summarize(rounds.map(({ rawFill }) => rawFill.rssAnonMib));
  const limit = RSS_BAR_MIB + pageCount / MIB;
  return {
    'case: floor': 'RssAnon of the pager, MiB: 8 MiB and a byte a page',
    thaw: peak.median.toFixed(1),
    'thaw min': peak.min.toFixed(1),
    floor: limit.toFixed(1),
    'must / aim': `< ${limit.toFixed(1)} MiB`,
    result: peak.max < limit ? 'pass' : 'MISS',
  };
}

async function run(trials: number): Promise<Findings> {
  const workload = await workloadOfOneGib();
  const rounds: Round[] = [];
  for (let trial = 0; trial < trials; trial++) rounds.push(await runRound(workload));
  const rows = LIMITS.map((limit) => compare(rounds, limit));
  return {
    tables: [{ title: 'floors', rows: [...rows, memoryRow(rounds, workload)] }],
    samples: rounds,
  };
}

/** `floors`: how near Thaw comes to what the kernel allows. */
export const floors: Benchmark = { name: 'floors', trials: 7, quickTrials: 1, run };
