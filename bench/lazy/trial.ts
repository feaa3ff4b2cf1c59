/** One restore of a dumped workload, measured by bench/targets/trial.c. */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { LatencySummary } from '../../src/servicer/figures.js';
import { compiled } from './compile.js';
import type { Driver } from './drivers.js';
import type { DumpedWorkload } from './dumped-workload.js';
import { readMeasurement } from './measurement.js';

const TRIAL_MS_MAX = 120_000;

/** Names of the ways to go through memory, as in bench/targets/accesses.h. */
export type AccessName =
  | 'sequential'
  | 'random'
  | 'scattered'
  | 'runs'
  | 'threads-random'
  | 'threads-sweep'
  | 'writes'
  | 'idle';

/** What one restore took. */
export interface Trial {
  /** Time of the restore command. */
  readonly commandMs: number;
  /** From the end of the restore command until the task had done its accesses. */
  readonly workloadMs: number;
  /** From the end of the restore command until every page was in; 0 where nobody fills. */
  readonly residentMs: number;
  /** Of the first touch of every page touched, as the task saw it, in microseconds. */
  readonly touches: LatencySummary;
  /** CPU time of the server from the start of the restore; of a node process, apart. */
  readonly cpuMs: number;
  readonly nodeCpuMs: number;
  /** Anonymous memory of the server at its peak; of a node process, apart. */
  readonly rssAnonMib: number;
  readonly nodeRssAnonMib: number;
}

/** What bench/targets/trial.c prints. */
interface Observation {
  readonly restoreNs: number;
  readonly restoredNs: number;
  readonly residentNs: number;
  readonly cpuNs: number;
  readonly nodeCpuNs: number;
  readonly rssAnonKib: number;
  readonly nodeRssAnonKib: number;
}

/** How a trial is made. */
export interface TrialOptions {
  readonly driver: Driver;
  readonly accesses: AccessName;
  /** A file to drop from the page cache before. */
  readonly coldFile?: string;
}

/**
 * Restores `workload` once, and waits until everything is in, done and checked.
 *
 * @throws Error when anything fails, or a page has another content than was dumped.
 */
export async function runTrial(workload: DumpedWorkload, options: TrialOptions): Promise<Trial> {
  const { directory, pid, pageCount } = workload;
  const { driver, accesses, coldFile = '-' } = options;
  for (const name of ['result', 'verified']) rmSync(join(directory, name), { force: true });
  writeFileSync(join(directory, 'order'), accesses);
  const awaited = driver.fills ? pageCount : 0;
  const fixed = [directory, String(pid), String(awaited), coldFile];
  const args = [...fixed, ...driver.server(workload), '--', ...driver.restore(workload)];
  const { stdout } = await promisify(execFile)(compiled('trial'), args, { timeout: TRIAL_MS_MAX });
  const seen = JSON.parse(stdout) as Observation;
  const { endNs, touches } = readMeasurement(join(directory, 'result'));
  const wrong = readFileSync(join(directory, 'verified'), 'latin1');
  if (wrong !== '0') throw new Error(`bench: ${wrong} pages with wrong content afterwards`);
  return {
    commandMs: (seen.restoredNs - seen.restoreNs) / 1e6,
    workloadMs: (endNs - seen.restoredNs) / 1e6,
    residentMs: Math.max(0, seen.residentNs - seen.restoredNs) / 1e6,
    touches,
    cpuMs: seen.cpuNs / 1e6,
    nodeCpuMs: seen.nodeCpuNs / 1e6,
    rssAnonMib: seen.rssAnonKib / 1024,
    nodeRssAnonMib: seen.nodeRssAnonKib / 1024,
  };
}
