/** Runs the built command, as a user does. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { until } from './process-facts.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Longest run of one command in a test, in milliseconds; then it is killed and the test fails. */
const RUN_MS_MAX = 15_000;

export interface CommandResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command under way, with what it has printed so far. */
export class RunningCommand {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly done: Promise<CommandResult>;

  constructor(args: readonly string[], main = MAIN) {
    this.child = spawn(process.execPath, [main, ...args], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      // As in CI, where libraries print colours on pipes too if they are let.
      env: { ...process.env, CI: 'true' },
      timeout: RUN_MS_MAX,
      killSignal: 'SIGKILL',
    });
    this.child.stdout?.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.child.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.done = new Promise((resolve) => {
      this.child.once('close', (status, signal) =>
        resolve({ status, signal, stdout: this.stdout, stderr: this.stderr }),
      );
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** Waits until stdout has `text`. */
  async printed(text: string): Promise<void> {
    await until(`${JSON.stringify(text)} on stdout`, () => this.stdout.includes(text), RUN_MS_MAX);
  }
}

/** Runs `thaw ARGS` to its end. */
export function runThaw(...args: string[]): Promise<CommandResult> {
  return new RunningCommand(args).done;
}
