/**
 * `criu restore` as a child process, and what its log says when it fails.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { ThawError } from '../errors.js';
import { createDeferred } from '../servicer/deferred.js';
import { killProcessTree } from './process-tree.js';

/** Lines of the log that an error shows, at most. */
const SHOWN_LINES_MAX = 8;
/** The oldest CRIU that is supported, by its first number. */
const VERSION_MIN = 4;
/** Longest wait for a version, in milliseconds. */
const VERSION_MS_MAX = 5_000;

/** Error lines that tell nothing: a limit that CRIU does without, and the last line of any failure. */
const TELLS_NOTHING = /Can't setup RLIMIT_NOFILE|Restoring FAILED/;

/** What to do about a failure, by what the log says of it. The first that fits is shown. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /Can't fork for (\d+): File exists/,
    'pid $1 is in use: end that process, or restore in a pid namespace of its own ' +
      '(`unshare --pid --fork --mount-proc thaw restore ...`)',
  ],
  [/has bad (size|mode)/, 'the file is not as it was dumped: put it back, or dump again'],
  [
    /[Bb]uild-?ID/,
    'an executable or library is another one than was dumped; `-- --file-validation filesize` ' +
      'compares sizes only',
  ],
  [/Can't open file|No such file or directory/, 'a file that the tasks had open is missing here'],
  [/cgroup/i, 'restore into the present cgroup with `-- --manage-cgroups=ignore`'],
  [/shell.?job|tty|session leader/i, 'a job of a shell needs `-- --shell-job`'],
  [/tcp|inet sk|connected socket/i, 'connections need `-- --tcp-established` or `-- --tcp-close`'],
  [/userfaultfd|uffd/i, '`thaw check` says what userfaultfd needs on this machine'],
  [/Operation not permitted|EPERM/, 'CRIU needs root, or CAP_CHECKPOINT_RESTORE and more'],
];

/** What {@link CriuProcess.start} is given. */
export interface CriuProcessOptions {
  /** The command: a name to look for in PATH, or a path. */
  readonly command: string;
  /** Behind `restore`. */
  readonly args: readonly string[];
  /** The log that the arguments name. */
  readonly logPath: string;
  /** Whether it stays in our session and process group: the tasks of a shell job need that. */
  readonly sameSession: boolean;
}

/** A running `criu restore`. */
export class CriuProcess {
  readonly #child: ChildProcess;
  readonly #logPath: string;
  readonly #exited = createDeferred<void>();

  private constructor({ command, args, logPath, sameSession }: CriuProcessOptions) {
    this.#logPath = logPath;
    this.#child = spawn(command, ['restore', ...args], {
      stdio: 'inherit',
      detached: !sameSession,
    });
    this.#child.once('error', (cause) => this.#exited.reject(missingError(command, cause)));
    this.#child.once('exit', (status, signal) => {
      if (status === 0) this.#exited.resolve();
      else this.#exited.reject(this.#failure(signal ?? `status ${status}`));
    });
  }

  /** Starts it. */
  static start(options: CriuProcessOptions): CriuProcess {
    return new CriuProcess(options);
  }

  /** Its pid; undefined when it did not start. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Resolves at its end; rejects with CRIU_MISSING, or CRIU_FAILED and what its log says. */
  get exited(): Promise<void> {
    return this.#exited.promise;
  }

  /** Ends it and every task that descends from it. Resolves when they are gone. */
  async kill(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    await killProcessTree(pid);
    await this.#exited.promise.catch(() => {});
  }

  #failure(how: string): ThawError {
    const log = readLog(this.#logPath);
    const errors = log.filter((line) => /\bError\b/.test(line) && !TELLS_NOTHING.test(line));
    const lines = (errors.length > 0 ? errors : log).slice(-SHOWN_LINES_MAX);
    const shown = lines.map((line) => line.replace(/\.$/, ''));
    return new ThawError('CRIU_FAILED', {
      what: `criu restore failed with ${how}`,
      ...(shown.length > 0 ? { found: `in its log\n  ${shown.join('\n  ')}` } : {}),
      hint: hintFor(shown) ?? defaultHint(),
    });
  }
}

/**
 * Why the command `criu` cannot restore lazily at all: it is no CRIU, or too old a one; undefined where
 * that is not the reason.
 */
export function versionError(command: string): ThawError | undefined {
  const { stdout } = spawnSync(command, ['--version'], {
    encoding: 'utf8',
    timeout: VERSION_MS_MAX,
  });
  const version = /^Version: ((\d+)\.\S+)/m.exec(stdout ?? '');
  if (Number(version?.[2]) >= VERSION_MIN) return undefined;
  return new ThawError('CRIU_MISSING', {
    what: 'the command is not the CRIU that is needed',
    expected: `CRIU ${VERSION_MIN}.0 or later`,
    found: version?.[1] === undefined ? 'no version' : `CRIU ${version[1]}`,
    where: command,
    hint: 'Name another one with --criu PATH',
  });
}

function hintFor(lines: readonly string[]): string | undefined {
  for (const [pattern, hint] of HINTS) {
    const match = lines.map((line) => pattern.exec(line)).find((found) => found !== null);
    if (match) return hint.replace('$1', match[1] ?? '');
  }
  return undefined;
}

function defaultHint(): string {
  return process.getuid?.() === 0
    ? 'For the whole log name a file: `-- --log-file FILE`'
    : 'CRIU needs root: use sudo';
}

function readLog(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    return []; // it did not come so far
  }
}

function missingError(command: string, cause: unknown): ThawError {
  return new ThawError('CRIU_MISSING', {
    what: 'CRIU cannot be started',
    expected: 'the command of CRIU 4.0 or later',
    found: (cause as NodeJS.ErrnoException).code ?? String(cause),
    where: command,
    hint: 'Install it (`apt install criu`), or name it with --criu PATH',
    cause,
  });
}
