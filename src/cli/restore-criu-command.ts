/**
 * `thaw restore --restorer criu`: real tasks.
 */
import { ThawError } from '../errors.js';
import { type CriuRestoration, restoreWithCriu } from '../lazy-pages/restore-with-criu.js';
import type { OnError } from '../servicer/pager-protocol.js';
import { parseCriuOptions } from './criu-options.js';
import { EXIT } from './exit-status.js';
import { type FillFlags, toFillOptions } from './fill-flags.js';
import { Interruption } from './interruption.js';
import { printError, printWarning } from './print-error.js';
import { startPageProgress } from './progress.js';
import { buildCriuReport, type CriuReport, printCriuReport } from './restore-criu-report.js';
import { buildFailureReport } from './restore-report.js';
import { formatCount, formatResume, formatStall } from './text.js';

const REFRESH_MS = 100;

/** Options of `criu restore` that the restorer itself gives. */
const TAKEN = ['images-dir', 'work-dir', 'daemon', 'restore-detached', 'lazy-pages'];

/** What of the command line concerns CRIU. */
export interface CriuRestoreFlags extends FillFlags {
  readonly criu: string;
  readonly detach?: true;
  readonly onError: OnError;
  readonly json?: true;
  readonly verbose?: true;
}

/**
 * Restores `image` by CRIU, and stays until its tasks end; with `detach` until they run.
 *
 * @returns the exit status
 */
export async function runCriuRestore(
  image: string,
  criuArgs: readonly string[],
  flags: CriuRestoreFlags,
): Promise<number> {
  const interruption = new Interruption();
  // Neither a promise that pends nor a pager that works keeps Node alive.
  const alive = setInterval(() => {}, 2 ** 30);
  let restoration: CriuRestoration | undefined;
  try {
    restoration = await restoreWithCriu(image, {
      ...readCriuArgs(criuArgs),
      criu: flags.criu,
      detach: flags.detach === true,
      ...toFillOptions(flags),
      onError: flags.onError,
      onPageError: printError,
      onStall: (where, reason) => printWarning(formatStall(where, reason)),
      onResume: (where) => printWarning(formatResume(where)),
      signal: interruption.signal,
    });
    const report = await follow(image, restoration, flags, interruption.signal);
    if (flags.json) process.stdout.write(`${JSON.stringify(report)}\n`);
    else printCriuReport(report, flags.verbose === true);
    if (!flags.detach) await untilEnd(restoration, flags, interruption.signal);
    if (!interruption.signal.aborted) await restoration.leave();
    if (interruption.signal.aborted) return interruption.exitStatus;
    return restoration.pageErrors.length === 0 ? EXIT.ok : EXIT.failed;
  } catch (error) {
    if (interruption.signal.aborted) return interruption.exitStatus;
    if (flags.json) process.stdout.write(`${JSON.stringify(buildFailureReport(image, [error]))}\n`);
    printError(error);
    return EXIT.failed;
  } finally {
    await restoration?.close();
    clearInterval(alive);
    interruption.stop();
  }
}

function readCriuArgs(args: readonly string[]): {
  criuOptions: readonly string[];
  logFile?: string;
  shellJob: boolean;
} {
  const { options } = parseCriuOptions(args);
  const taken = options.find(({ name }) => TAKEN.includes(name));
  if (taken !== undefined) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: `--${taken.name} is given to CRIU by the restore itself`,
      hint: taken.name.includes('d') ? 'Use --detach of `thaw restore` to detach' : 'Leave it out',
    });
  }
  const logFile = options.findLast(({ name }) => name === 'log-file')?.value;
  const shellJob = options.some(({ name }) => name === 'shell-job');
  return { criuOptions: args, shellJob, ...(logFile === undefined ? {} : { logFile }) };
}

/** Shows how the pages come; without a fill, and detached, nobody waits for them. */
async function follow(
  image: string,
  restoration: CriuRestoration,
  flags: CriuRestoreFlags,
  signal: AbortSignal,
): Promise<CriuReport> {
  if (flags.detach || flags.fill === 'off') return buildCriuReport(image, restoration, null);
  const total = restoration.plan.tasks.reduce((sum, task) => sum + task.totals.pages, 0);
  const progress = startPageProgress();
  const timer = setInterval(() => {
    const missing = restoration.tasks
      .filter(({ forked }) => !forked)
      .reduce((sum, { target }) => sum + target.figures().missingPages, 0);
    progress.update(total - missing, total);
  }, REFRESH_MS);
  try {
    const interrupted = new Promise<null>((resolve) => {
      signal.addEventListener('abort', () => resolve(null), { once: true });
    });
    const residentMs = await Promise.race([restoration.resident, interrupted]);
    return buildCriuReport(image, restoration, residentMs);
  } finally {
    clearInterval(timer);
    progress.stop();
  }
}

/** The tasks are this command's: it stays as long as they do, and they end with it. */
async function untilEnd(
  restoration: CriuRestoration,
  { json }: CriuRestoreFlags,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  const pids = restoration.tasks.flatMap(({ pid }) => pid ?? []);
  if (!json) {
    const list = pids.length > 8 ? `${formatCount(pids.length)} tasks` : pids.join(' ');
    process.stdout.write(`running   ${list}  (until they end; Ctrl-C ends them)\n`);
  }
  const interrupted = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.race([restoration.ended, interrupted]);
}
