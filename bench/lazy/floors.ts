/** What userfaultfd itself takes, on the bytes of a dumped workload, by bench/targets/floors.c. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { planRestore } from '../../src/plan/plan-restore.js';
import type { LatencySummary } from '../../src/servicer/figures.js';
import { compiled } from './compile.js';
import type { DumpedWorkload } from './dumped-workload.js';
import { readMeasurement } from './measurement.js';
import type { AccessName } from './trial.js';

const FLOOR_MS_MAX = 60_000;

/** Ways to serve, as in bench/targets/floors.c. */
export type FloorName = 'textbook' | 'reading' | 'spinning' | 'fill';

/** One run. */
export interface Floor {
  readonly workloadMs: number;
  readonly touches: LatencySummary;
  /** Time of the fill; NaN where there is none. */
  readonly fillMs: number;
}

/** Runs one, to its end. */
export async function runFloor(
  workload: DumpedWorkload,
  how: FloorName,
  accesses: AccessName,
): Promise<Floor> {
  const { image, directory, pageCount } = workload;
  const file = join(image, 'pages-1.img');
  const result = join(directory, 'floor');
  const offset = await offsetOf(workload);
  const args = [how, file, String(offset), String(pageCount), accesses, result];
  const options = { timeout: FLOOR_MS_MAX, killSignal: 'SIGKILL' } as const;
  const { stdout } = await promisify(execFile)(compiled('floors'), args, options);
  const { startNs, endNs, touches } = readMeasurement(result);
  return {
    workloadMs: (endNs - startNs) / 1e6,
    touches,
    fillMs: stdout === '' ? Number.NaN : Number(stdout) / 1e6,
  };
}

/** Where the pages of the workload's memory begin in its pages image, in bytes. */
async function offsetOf({ image, pageCount }: DumpedWorkload): Promise<number> {
  await using checkpoint = await Checkpoint.open(image);
  const extents = planRestore(checkpoint).tasks[0]?.extents;
  const row = extents?.pageCount.findIndex((count) => count >= pageCount) ?? -1;
  const offset = extents?.fileOffset[row];
  if (offset === undefined)
    throw new Error('bench: the memory of the workload is not in one piece');
  return Number(offset);
}
