/**
 * `thaw restore <image>`.
 */
import { type Command, Option } from 'commander';
import { ThawError } from '../errors.js';
import { type Access, parseAccess, SEED_MAX } from '../restore/access.js';
import { HOST_THREADS_MAX } from '../restore/host-process.js';
import type { Restoration } from '../restore/restoration.js';
import { restore } from '../restore/restore.js';
import { ON_ERROR } from '../servicer/pager-protocol.js';
import { asArgument, wholeNumber } from './arguments.js';
import { EXIT } from './exit-status.js';
import { addFillOptions, toFillOptions } from './fill-flags.js';
import { Interruption } from './interruption.js';
import { printError, printWarning } from './print-error.js';
import type { CriuRestoreFlags } from './restore-criu-command.js';
import {
  buildFailureReport,
  buildReport,
  errorsOf,
  type RestoreOutcome,
  type RestoreReport,
} from './restore-report.js';
import {
  type Output,
  printFigures,
  printHeader,
  printSummary,
  startProgress,
} from './restore-view.js';
import { formatResume, formatStall } from './text.js';

/** Options that have no effect with a restorer. */
const FOREIGN = {
  host: ['criu', 'detach'],
  criu: ['access', 'seed', 'touchThreads', 'verify', 'keep'],
} as const;

interface RestoreFlags extends CriuRestoreFlags {
  readonly restorer: 'host' | 'criu';
  readonly access: Access;
  readonly seed: number;
  readonly touchThreads: number;
  readonly verify?: true;
  readonly keep?: true;
}

/** Adds the command to `program`; its exit status goes to process.exitCode. */
export function addRestoreCommand(program: Command): void {
  const command = program
    .command('restore')
    .description('restore an image lazily: into host processes, or by CRIU as real tasks')
    .argument('<image>', 'directory of a CRIU dump')
    .argument('[criu-options...]', 'behind --: options of criu restore')
    .addOption(
      new Option('--restorer <who>', 'host: stand-in processes; criu: the tasks themselves')
        .choices(['host', 'criu'])
        .default('host'),
    )
    .option('--criu <path>', 'with --restorer criu: the command of CRIU', 'criu')
    .option('--detach', 'with --restorer criu: leave the tasks running, and end')
    .addOption(
      new Option('--access <pattern>', 'pages to touch: none, sequential, random or N%')
        .argParser(asArgument(parseAccess))
        .default({ kind: 'none' }, 'none'),
    )
    .option('--seed <n>', 'seed of random and N%', asArgument(wholeNumber(0, SEED_MAX)), 1)
    .option(
      '--touch-threads <n>',
      'threads a task that touch at the same time',
      asArgument(wholeNumber(1, HOST_THREADS_MAX)),
      1,
    );
  addFillOptions(command)
    .addOption(
      new Option(
        '--on-error <policy>',
        'if pages cannot be produced: a touch is SIGBUS; or the task is stopped or killed, too',
      )
        .choices(ON_ERROR)
        .default('poison'),
    )
    .option('--verify', 'compare every page with the image; a difference exits with 1')
    .option('--keep', 'leave the hosts standing until SIGINT or SIGTERM')
    .option('--json', 'print one JSON object instead of text')
    .option('-v, --verbose', "print the pager's figures too")
    .action(async (image: string, criuArgs: string[], flags: RestoreFlags, command: Command) => {
      refuseForeign(command, flags.restorer, criuArgs);
      refuseIdle(command, flags);
      if (flags.restorer === 'criu') {
        const { runCriuRestore } = await import('./restore-criu-command.js');
        process.exitCode = await runCriuRestore(image, criuArgs, flags);
      } else {
        process.exitCode = await runRestore(image, flags);
      }
    });
}

/** Options that only the other restorer heeds are mistakes. */
function refuseForeign(
  command: Command,
  restorer: RestoreFlags['restorer'],
  criuArgs: readonly string[],
): void {
  const foreign = FOREIGN[restorer].find((name) => command.getOptionValueSource(name) === 'cli');
  if (foreign !== undefined) {
    const option = command.options.find((candidate) => candidate.attributeName() === foreign);
    command.error(`error: ${option?.long} has no effect with --restorer ${restorer}`);
  }
  if (restorer === 'host' && criuArgs.length > 0) {
    command.error(`error: only --restorer criu takes options of CRIU, found '${criuArgs[0]}'`);
  }
}

/** Options of a fill that is off are mistakes as well. */
function refuseIdle(command: Command, flags: RestoreFlags): void {
  try {
    toFillOptions(flags);
  } catch (error) {
    command.error(`error: ${(error as ThawError).message}`);
  }
}

async function runRestore(image: string, flags: RestoreFlags): Promise<number> {
  const interruption = new Interruption();
  // With --json, stdout holds the object and nothing else.
  const output: Output = flags.json ? { write: () => {} } : process.stdout;
  try {
    const restoration = await startRestore(image, flags, interruption.signal);
    try {
      // Ends whatever waits on a host, too.
      const close = (): void => void restoration.close();
      interruption.signal.addEventListener('abort', close, { once: true });
      printHeader(output, image, restoration);
      const outcome = await carryOut(image, restoration, flags, output, interruption.signal);
      if (interruption.signal.aborted) return interruption.exitStatus;
      const report = buildReport(outcome);
      if (flags.json) process.stdout.write(`${JSON.stringify(report)}\n`);
      else printSummary(output, report, flags.fill === 'on');
      if (flags.verbose) printFigures(output, restoration, report);
      for (const error of errorsOf(outcome)) printError(error);
      if (flags.keep && stands(outcome)) await keep(restoration, output, interruption);
      return succeeded(report) ? EXIT.ok : EXIT.failed;
    } finally {
      await restoration.close();
    }
  } catch (error) {
    if (interruption.signal.aborted) return interruption.exitStatus;
    printError(error);
    return EXIT.failed;
  } finally {
    interruption.stop();
  }
}

async function startRestore(
  image: string,
  flags: RestoreFlags,
  signal: AbortSignal,
): Promise<Restoration> {
  try {
    return await restore(image, {
      ...toFillOptions(flags),
      onError: flags.onError,
      onStall: (where, reason) => printWarning(formatStall(where, reason)),
      onResume: (where) => printWarning(formatResume(where)),
      signal,
    });
  } catch (error) {
    if (flags.json && !signal.aborted) {
      process.stdout.write(`${JSON.stringify(buildFailureReport(image, [error]))}\n`);
    }
    throw error;
  }
}

/** Does what the flags say, as far as it goes. */
async function carryOut(
  image: string,
  restoration: Restoration,
  flags: RestoreFlags,
  output: Output,
  signal: AbortSignal,
): Promise<RestoreOutcome> {
  const outcome: RestoreOutcome = { image, restoration, touched: [], residentMs: null };
  const stopProgress = startProgress(output, restoration);
  try {
    const { seed, touchThreads: threads } = flags;
    outcome.touched = await restoration.touch(flags.access, { seed, threads, signal });
    if (flags.fill === 'on') outcome.residentMs = await restoration.resident;
    if (flags.verify) outcome.verify = await restoration.verify(signal);
  } catch (error) {
    outcome.failure = error;
  } finally {
    stopProgress();
  }
  return outcome;
}

/** Whether there is something to keep: of a host that was stopped, too. */
function stands({ failure }: RestoreOutcome): boolean {
  const stopped = failure instanceof ThawError && failure.code === 'TASK_STOPPED';
  return failure === undefined || stopped;
}

async function keep(
  restoration: Restoration,
  output: Output,
  interruption: Interruption,
): Promise<void> {
  const pids = restoration.tasks.map(({ host }) => host.pid);
  output.write(`keeping   ${pids.join(' ')}  (end with Ctrl-C or SIGTERM to ${process.pid})\n`);
  await Promise.race([interruption.wait(), restoration.loss()]);
}

function succeeded(report: RestoreReport): boolean {
  return (
    report.errors.length === 0 &&
    [...report.tasks, ...report.shared].every((part) => (part.mismatched ?? 0) === 0)
  );
}
