/** Runs the built command and tells what it took: CPU time and memory at the peak. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { CommandResult } from './run-thaw.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const RUN_MS_MAX = 15_000;
/** Where the command writes what it took. */
const REPORT_FD = 3;
const TICK_MS = 10;

/**
 * Loaded into the command: at its end it reports its peak of resident memory in KiB (which bounds that
 * of anonymous memory from above) and its CPU time in ticks with that of the children it waited for.
 */
const REPORTER = `
import { readFileSync, writeSync } from 'node:fs';
process.on('exit', () => {
  const peak = /VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1];
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 15);
  writeSync(${REPORT_FD}, [peak, ...ticks].join(' '));
});`;

export interface MeasuredResult extends CommandResult {
  readonly cpuMs: number;
  /** Peak of the command's resident memory; its children are not counted. */
  readonly peakBytes: number;
}

/** Runs `thaw ARGS` to its end. */
export function measureThaw(...args: string[]): Promise<MeasuredResult> {
  const reporter = `data:text/javascript,${encodeURIComponent(REPORTER)}`;
  const child = spawn(process.execPath, ['--import', reporter, MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    timeout: RUN_MS_MAX,
    killSignal: 'SIGKILL',
  });
  const texts = new Map([1, 2, REPORT_FD].map((fd) => [fd, '']));
  for (const fd of texts.keys()) {
    child.stdio[fd]?.on('data', (chunk) => texts.set(fd, `${texts.get(fd)}${chunk}`));
  }
  return new Promise((resolve) => {
    child.once('close', (status, signal) => {
      const [peakKib = Number.NaN, ...ticks] = (texts.get(REPORT_FD) ?? '').split(' ').map(Number);
      resolve({
        status,
        signal,
        stdout: texts.get(1) ?? '',
        stderr: texts.get(2) ?? '',
        cpuMs: ticks.reduce((sum, count) => sum + count, 0) * TICK_MS,
        peakBytes: peakKib * 1024,
      });
    });
  });
}
