/** A task of bench/targets/workload.c, dumped by CRIU. */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PAGE_SIZE } from '../../src/address.js';
import { dump, makeDirectory, startReaped } from '../../test/support/criu.js';
import { until } from '../../test/support/process-facts.js';
import { compiled } from './compile.js';

const FILLED_MS_MAX = 60_000;

const GIB = 2 ** 30;

/** What the trials restore, again and again. */
export interface DumpedWorkload {
  /** Where orders and results go, and the work directory of restores. */
  readonly directory: string;
  readonly image: string;
  /** Of the memory that the task goes through. */
  readonly pageCount: number;
  readonly pid: number;
}

let ofOneGib: Promise<DumpedWorkload> | undefined;

/** The workload of 1 GiB, dumped once for all benchmarks. `endAll` of criu.ts removes it. */
export function workloadOfOneGib(): Promise<DumpedWorkload> {
  ofOneGib ??= dumpWorkload(GIB);
  return ofOneGib;
}

/** Starts the task with `byteLength` bytes, a power of two, and dumps it. */
async function dumpWorkload(byteLength: number): Promise<DumpedWorkload> {
  const directory = makeDirectory();
  const pageCount = byteLength / PAGE_SIZE;
  const { ended } = startReaped([compiled('workload'), directory, String(pageCount)]);
  const ready = join(directory, 'ready');
  await until('the filled memory', () => existsSync(ready), FILLED_MS_MAX);
  const pid = Number(readFileSync(ready, 'latin1'));
  const image = join(directory, 'image');
  dump(pid, image);
  await ended;
  // What is still being written would be measured with the first trials.
  flush(join(image, 'pages-1.img'));
  return { directory, image, pageCount, pid };
}

/** Has a file written to its disk. */
export function flush(path: string): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}
