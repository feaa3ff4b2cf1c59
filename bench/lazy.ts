/**
 * `thaw lazy-pages` against `criu lazy-pages`: the same image, the same restore command, in pairs.
 */
import type { Benchmark, BenchmarkTable, Findings, Row } from './benchmark.js';
import { compareToBar } from './lazy/bars.js';
import { criuEager, criuLazy, type Driver, thawLazy } from './lazy/drivers.js';
import { workloadOfOneGib } from './lazy/dumped-workload.js';
import { type AccessName, runTrial, type Trial } from './lazy/trial.js';
import { summarize } from './statistics.js';

interface Workload {
  readonly accesses: AccessName;
  readonly title: string;
  /** How many times as fast as `criu lazy-pages` it must be, and should be. */
  readonly bar?: readonly [must: number, aim: number];
}

const WORKLOADS: readonly Workload[] = [
  { accesses: 'random', title: '20,000 random pages', bar: [5.5, 8] },
  { accesses: 'threads-random', title: '20,000 random, 4 threads', bar: [9, 14] },
  { accesses: 'threads-sweep', title: 'all in order, 4 threads', bar: [7, 9] },
  { accesses: 'scattered', title: '1 % scattered', bar: [4, 8] },
  { accesses: 'runs', title: '1 % in 64 KiB runs', bar: [5, 8] },
  { accesses: 'sequential', title: 'all in order', bar: [1.4, 2.2] },
  { accesses: 'writes', title: '20,000 random writes' },
  { accesses: 'idle', title: 'nothing' },
];
const RESIDENT_BAR = [1.5, 2] as const;
const P99_BAR = [1, 5] as const;

interface Sample extends Trial {
  readonly accesses: AccessName;
  readonly driver: string;
}

const DRIVERS: readonly Driver[] = [thawLazy, criuLazy];

async function run(trials: number): Promise<Findings> {
  const samples: Sample[] = [];
  const workload = await workloadOfOneGib();
  const measure = async (driver: Driver, accesses: AccessName): Promise<void> => {
    const trial = await runTrial(workload, { driver, accesses });
    samples.push({ accesses, driver: driver.name, ...trial });
  };
  for (let trial = 0; trial < trials; trial++) {
    // In pairs that change their order, so that a slow phase of the machine meets both.
    const drivers = trial % 2 === 0 ? DRIVERS : DRIVERS.toReversed();
    for (const { accesses } of WORKLOADS) {
      for (const driver of drivers) await measure(driver, accesses);
    }
    await measure(criuEager, 'sequential');
  }
  return {
    tables: [compareTimes(samples), compareTouches(samples), listServers(samples)],
    samples,
  };
}

function valuesOf(
  samples: readonly Sample[],
  { name }: Driver,
  accesses: AccessName,
  value: (sample: Sample) => number,
): number[] {
  const own = samples.filter((it) => it.driver === name && it.accesses === accesses);
  return own.map(value);
}

/** One row of a comparison: how many times as much the other one takes. */
function compare(
  samples: readonly Sample[],
  { accesses, title, bar }: Workload,
  value: (sample: Sample) => number,
): Row {
  const [ours, theirs] = DRIVERS.map((driver) => valuesOf(samples, driver, accesses, value));
  return { case: title, ...compareToBar(ours ?? [], theirs ?? [], bar) };
}

function compareTimes(samples: readonly Sample[]): BenchmarkTable {
  const rows = WORKLOADS.filter(({ accesses }) => accesses !== 'idle').map((workload) =>
    compare(samples, workload, ({ workloadMs }) => workloadMs),
  );
  const resident: Workload = { accesses: 'idle', title: 'all resident', bar: RESIDENT_BAR };
  rows.push(compare(samples, resident, ({ residentMs }) => residentMs));
  return { title: 'lazy: ms from the end of the restore command', rows };
}

function compareTouches(samples: readonly Sample[]): BenchmarkTable {
  const rows = WORKLOADS.filter(({ accesses }) => accesses !== 'idle').map((workload) =>
    compare(samples, { ...workload, bar: P99_BAR }, ({ touches }) => touches.p99 ?? 0),
  );
  return { title: 'lazy: first touch of each page touched, p99 in µs', rows };
}

function listServers(samples: readonly Sample[]): BenchmarkTable {
  const rows = [criuEager, ...DRIVERS].flatMap((driver) =>
    WORKLOADS.flatMap(({ accesses, title }): Row[] => {
      const median = (value: (sample: Sample) => number): number =>
        summarize(valuesOf(samples, driver, accesses, value)).median;
      if (Number.isNaN(median(({ commandMs }) => commandMs))) return [];
      return [
        {
          case: title,
          by: driver.name,
          'command ms': median(({ commandMs }) => commandMs).toFixed(0),
          'done ms': median(({ workloadMs }) => workloadMs).toFixed(0),
          'resident ms': median(({ residentMs }) => residentMs).toFixed(0),
          'p50 µs': median(({ touches }) => touches.p50 ?? 0).toFixed(1),
          'p99 µs': median(({ touches }) => touches.p99 ?? 0).toFixed(0),
          'max µs': median(({ touches }) => touches.max ?? 0).toFixed(0),
          'CPU ms': median(({ cpuMs }) => cpuMs).toFixed(0),
          'RssAnon MiB': median(({ rssAnonMib }) => rssAnonMib).toFixed(1),
        },
      ];
    }),
  );
  return { title: 'lazy: what each restore took, medians', rows };
}

/** `lazy`: at least as many times as fast as the bars of its rows demand. */
export const lazy: Benchmark = { name: 'lazy', trials: 7, quickTrials: 2, run };
