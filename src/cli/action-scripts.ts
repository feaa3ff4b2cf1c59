/**
 * Programs that `--action-script` names: run when the daemon is ready, as CRIU runs them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { ThawError } from '../errors.js';
import type { ServiceFlags } from './service-flags.js';

/** The one event of CRIU's that a lazy-pages daemon has. */
const READY_ACTION = 'status-ready';
/** Time for a script that is to end, before it is killed. */
const END_MS_MAX = 1_000;

/** Where scripts run, and what they are told. */
interface ScriptPlace {
  /** CRTOOLS_IMAGE_DIR of the scripts. */
  readonly imageDirectory: string;
  /** Their working directory; a relative name of a script is looked for here. */
  readonly workDirectory: string;
  /** What they print goes here. */
  readonly logFd: number;
}

/**
 * Runs the scripts of `flags`, for each image; clients may come meanwhile. As {@link runScripts}.
 */
export async function runReadyScripts(
  { imageDirectories, workDirectory, actionScripts }: ServiceFlags,
  logFd: number,
  signal: AbortSignal,
): Promise<void> {
  for (const imageDirectory of imageDirectories) {
    const place = { imageDirectory, workDirectory: workDirectory ?? imageDirectory, logFd };
    await runScripts(actionScripts, place, signal);
  }
}

/**
 * Runs `scripts` one after another, with CRTOOLS_SCRIPT_ACTION=status-ready. Without a limit of time,
 * as in CRIU: whoever gives up aborts `signal`, which ends the script under way and what it started.
 *
 * @throws ThawError SCRIPT_FAILED by the first that does not end with 0; no further one is run.
 */
async function runScripts(
  scripts: readonly string[],
  place: ScriptPlace,
  signal: AbortSignal,
): Promise<void> {
  for (const script of scripts) {
    if (signal.aborted) return;
    const how = await runScript(script, place, signal);
    if (how === undefined || signal.aborted) continue;
    throw new ThawError('SCRIPT_FAILED', {
      what: 'an action script failed, so nothing is served',
      expected: 'status 0',
      found: how,
      where: script,
      hint: 'What it printed is in the log; it runs in the work directory',
    });
  }
}

/** @returns undefined for success, or how it ended. */
async function runScript(
  script: string,
  { imageDirectory, workDirectory, logFd }: ScriptPlace,
  signal: AbortSignal,
): Promise<string | undefined> {
  const child = spawn(script, {
    cwd: workDirectory,
    env: {
      ...process.env,
      CRTOOLS_SCRIPT_ACTION: READY_ACTION,
      CRTOOLS_IMAGE_DIR: imageDirectory,
    },
    stdio: ['ignore', logFd, logFd],
    detached: true, // a process group of its own, which can be ended as a whole
  });
  const end = (): void => endGroup(child);
  signal.addEventListener('abort', end, { once: true });
  try {
    return await new Promise((resolve) => {
      child.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? String(error)));
      child.once('exit', (status, by) => {
        resolve(status === 0 ? undefined : (by ?? `status ${status}`));
      });
    });
  } finally {
    signal.removeEventListener('abort', end);
  }
}

function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  const send = (name: NodeJS.Signals): void => {
    try {
      process.kill(-pid, name);
    } catch {
      // All of it has ended.
    }
  };
  send('SIGTERM');
  setTimeout(() => send('SIGKILL'), END_MS_MAX);
}
