/** The real CRIU and targets of our own: dumped once, restored as often as a test likes. */
import { type ChildProcess, execFileSync, type StdioOptions, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childrenOf, killIfThere, runningComm, until } from './process-facts.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DEADLINE_MS = 30_000;

let scratch: string | undefined;
const started: ChildProcess[] = [];
const directories: string[] = [];

/** The command that runs CRIU; fetched where it is not there yet. */
export function criuPath(): string {
  const path = join(ROOT, '.criu/criu');
  if (!existsSync(path)) execFileSync(join(ROOT, 'scripts/get-criu'), { timeout: 300_000 });
  return path;
}

/** The executable of a C source of test/targets, compiled once a test file. */
function compiled(name: 'target' | 'reaper'): string {
  scratch ??= makeDirectory();
  const path = join(scratch, name);
  if (!existsSync(path)) {
    const flags = ['-O1', '-Wall', '-Wextra', '-Werror', '-pthread'];
    execFileSync('gcc', [...flags, join(ROOT, `test/targets/${name}.c`), '-o', path]);
  }
  return path;
}

/** A directory that {@link endAll} removes. */
export function makeDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'thaw-criu-'));
  directories.push(path);
  return path;
}

/** A process and what it leaves behind, which end with the test. */
export interface Started {
  readonly child: ChildProcess;
  /** Resolves to its status once it and all its descendants have ended. */
  readonly ended: Promise<number | null>;
}

/** Starts a command under the reaper, so that whatever it leaves behind does not keep a pid. */
export function startReaped(
  command: readonly string[],
  wrapper: readonly string[] = [],
  stdio?: StdioOptions,
): Started {
  const [file = '', ...args] = [...wrapper, compiled('reaper'), ...command];
  return startProcess(file, args, stdio);
}

/** Starts the built `thaw`. */
export function startThaw(args: readonly string[], stdio?: StdioOptions): Started {
  return startProcess(process.execPath, [join(ROOT, 'dist/cli/main.js'), ...args], stdio);
}

/** Starts the built `thaw` under the reaper. */
export function startThawReaped(args: readonly string[], stdio?: StdioOptions): Started {
  return startReaped([process.execPath, join(ROOT, 'dist/cli/main.js'), ...args], [], stdio);
}

/** Starts a command, where not said otherwise with no descriptor but /dev/null. */
export function startProcess(
  file: string,
  args: readonly string[],
  stdio: StdioOptions = 'ignore',
): Started {
  // No configuration file of this machine's user.
  const env = { ...process.env, HOME: '', CRIU_CONFIG_FILE: '' };
  const child = spawn(file, args, { stdio, detached: true, env });
  started.push(child);
  const ended = new Promise<number | null>((resolve) => {
    child.once('exit', (status) => resolve(status));
    child.once('error', () => resolve(null));
  });
  return { child, ended };
}

/** Kills what is left of what a test started, with all descendants. For `afterEach`. */
export function endStarted(): void {
  for (const { pid, exitCode, signalCode } of started.splice(0)) {
    if (pid !== undefined && exitCode === null && signalCode === null) killTree(pid);
  }
}

/** Removes everything. For `afterAll`. */
export function endAll(): void {
  endStarted();
  for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true });
  scratch = undefined;
}

function killTree(pid: number): void {
  let children: number[] = [];
  try {
    children = childrenOf(pid);
  } catch {
    return; // gone
  }
  for (const child of children) killTree(child);
  killIfThere(pid);
}

/** A dumped tree of test/targets/target.c. */
export interface DumpedTarget {
  /** The image. */
  readonly image: string;
  /** Where orders and results go. */
  readonly exchange: string;
  /** Pids of its tasks in the image, in the order of their numbers. */
  readonly pids: readonly number[];
}

/** A tree of test/targets/target.c that may be dumped. */
export interface RunningTarget {
  readonly exchange: string;
  readonly pids: readonly number[];
  /** Resolves once all of it has ended. */
  readonly ended: Promise<number | null>;
}

/** Starts the target, behind the words of another command if need be, and lets it fill its memory. */
export async function startTarget(
  tasks = 1,
  prefix: readonly string[] = [],
): Promise<RunningTarget> {
  const exchange = makeDirectory();
  const { ended } = startReaped([...prefix, compiled('target'), exchange, String(tasks)]);
  return { exchange, pids: await readNumbered(exchange, 'ready', tasks), ended };
}

/** Starts the target, lets it fill its memory, and dumps it. */
export async function dumpTarget(tasks = 1, prefix: readonly string[] = []): Promise<DumpedTarget> {
  const { exchange, pids, ended } = await startTarget(tasks, prefix);
  const image = join(exchange, 'image');
  dump(pids[0] ?? 0, image);
  await ended;
  return { image, exchange, pids };
}

/** Dumps a task tree, which ends. */
export function dump(pid: number, image: string, options: readonly string[] = []): void {
  mkdirSync(image);
  const args = [
    'dump',
    '--no-default-config',
    '-t',
    String(pid),
    '-D',
    image,
    '-o',
    'dump.log',
    '-v4',
    ...options,
  ];
  execFileSync(criuPath(), [...args, '--manage-cgroups=ignore'], {
    timeout: DEADLINE_MS,
    stdio: 'ignore',
  });
}

/** Waits for the files `<name>-0` to `<name>-<count - 1>`: the numbers in them. */
async function readNumbered(directory: string, name: string, count: number): Promise<number[]> {
  const files = Array.from({ length: count }, (_, i) => join(directory, `${name}-${i}`));
  await until(`${count} times ${name}`, () => files.every((file) => existsSync(file)), DEADLINE_MS);
  return files.map((file) => Number(readFileSync(file, 'utf8')));
}

/** Options of {@link restore}. */
export interface RestoreOptions {
  readonly lazy?: boolean;
  /** Directory of the log, and of the lazy-pages socket. */
  readonly workDirectory?: string;
  readonly wrapper?: readonly string[];
  readonly options?: readonly string[];
}

/** Starts `criu restore`, which stays until the tasks end. */
export function restoreWithCriu(image: string, options: RestoreOptions = {}): Started {
  const { lazy = false, workDirectory = image, wrapper = [] } = options;
  const args = ['restore', '--no-default-config', '-D', image, '-W', workDirectory];
  args.push('-o', 'restore.log', '-v4');
  if (lazy) args.push('--lazy-pages');
  args.push('--manage-cgroups=ignore', ...(options.options ?? []));
  return startReaped([criuPath(), ...args], wrapper);
}

/** Tells the restored tasks what to do. */
export function giveOrder({ exchange }: Pick<DumpedTarget, 'exchange'>, scenario: string): void {
  writeFileSync(join(exchange, 'go.part'), scenario);
  renameSync(join(exchange, 'go.part'), join(exchange, 'go'));
}

/** What each task says of its scenario: `ok <pages>`, or what is wrong. */
export async function results(
  { exchange }: Pick<DumpedTarget, 'exchange'>,
  tasks = 1,
): Promise<string[]> {
  const files = Array.from({ length: tasks }, (_, i) => join(exchange, `result-${i}`));
  const there = () => files.every((file) => existsSync(file));
  await until('results', there, DEADLINE_MS).catch((error: Error) => {
    const logs = directories.map((path) => join(path, 'restore.log')).filter(existsSync);
    throw new Error([error.message, ...logs.flatMap(errorsIn)].join('\n'));
  });
  return files.map((file) => readFileSync(file, 'utf8'));
}

/** Forgets orders and results, before another restore of the same dump. */
export function resetExchange({ exchange }: Pick<DumpedTarget, 'exchange'>): void {
  for (const name of readdirSync(exchange)) {
    if (/^(go|result-\d+)$/.test(name)) rmSync(join(exchange, name));
  }
}

/**
 * Ends restored tasks, and waits until their pids are free. Who restored them ends by itself then, or
 * else is killed.
 */
export async function endTasks(pids: readonly number[], restored: Started): Promise<void> {
  for (const pid of pids) {
    if (runningComm(pid) === 'target') killIfThere(pid);
  }
  const left = setTimeout(() => killTree(restored.child.pid ?? 0), pids.length > 0 ? 3_000 : 0);
  await restored.ended;
  clearTimeout(left);
  await until('free pids', () => pids.every((pid) => !existsSync(`/proc/${pid}`)), DEADLINE_MS);
}

/** Lines of CRIU's log that tell of an error, but the one that this kind of machine always has. */
export function errorsIn(log: string): string[] {
  return readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => /\bError\b/.test(line) && !/RLIMIT_NOFILE/.test(line));
}
