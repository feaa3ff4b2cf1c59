/** A task of bench/targets/workload.c, dumped by CRIU. */
import { existsSync, fsyncSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PAGE_SIZE } from '../../src/address.js';
import { dump, makeDirectory, startReaped } from '../../test/support/criu.js';
import { until } from '../../test/support/process-facts.js';
import { compiled } from './compile.js';

const FILLED_MS_MAX = 60_000;

/** What the trials restore, again and again. */
export interface DumpedWorkload {
  /** Where orders and results go, and the work directory of restores. */
  readonly directory: string;
  readonly image: string;
  /** Of the memory that the task goes through. */
  readonly pageCount: number;
  readonly pid: number;
}

/** Starts the task with `byteLength` bytes, a power of two, and dumps it. */
export async function dumpWorkload(byteLength: number): Promise<DumpedWorkload> {
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
  fsyncSync(openSync(join(image, 'pages-1.img'), 'r'));
  return { directory, image, pageCount, pid };
}
