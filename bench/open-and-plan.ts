/**
 * A child of `scale`: opens and plans the image named as its argument, once, and sends what that took.
 */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { Checkpoint } from '../src/image/checkpoint.js';
import { planRestore } from '../src/plan/plan-restore.js';

/** What one run took. */
export interface OpenAndPlan {
  readonly openMs: number;
  readonly planMs: number;
  /** Peak of the resident memory of the process, Node itself included. */
  readonly peakBytes: number;
}

const begin = performance.now();
await using checkpoint = await Checkpoint.open(process.argv[2] ?? '');
const opened = performance.now();
const plan = planRestore(checkpoint);
const planned = performance.now();
if (plan.tasks.length === 0) throw new Error('a plan without tasks');
// Not ru_maxrss: that begins with the size of the parent.
const highWater = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'));
const result: OpenAndPlan = {
  openMs: opened - begin,
  planMs: planned - opened,
  peakBytes: Number(highWater?.[1]) * 1024,
};
process.send?.(result);
