/** Restores of real tasks by either command, so slow that something can happen in the middle. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  criuPath,
  type DumpedTarget,
  endTasks,
  errorsIn,
  makeDirectory,
  restoreWithCriu,
  results,
  type Started,
  startThawReaped,
} from './criu.js';
import { ObservedPager } from './pager-arena.js';
import { childrenOf, until, within } from './process-facts.js';

/** What tasks do to their memory while it is missing. */
export const SCENARIOS = [
  ...['sequential', 'random', 'threads', 'fork', 'storm'],
  ...['grow', 'shrink', 'move', 'munmap', 'dontneed', 'free'],
];
/** One page a fault, or a fill that takes some hundred ms. */
export const PACES: readonly (readonly string[])[] = [
  ['--fill', 'off', '--window', '4K'],
  ['--fill-rate', '16M', '--window', '16K'],
];
/** `thaw lazy-pages` beside `criu restore`, or `thaw restore`, which starts CRIU itself. */
export const COMMANDS = ['lazy-pages', 'restore'] as const;
/** What CRIU logs once the tasks run. */
const RESUMED = /Restore finished successfully/;

/** The command that the user started, its pager, and CRIU. */
export class TaskRestore {
  /** The command's process. */
  readonly node: number;
  readonly pager: ObservedPager;
  /** Ends with the tasks. */
  readonly criu: Started;
  readonly #command: Started;
  readonly #work: string;

  private constructor(
    command: Started,
    work: string,
    parts: { node: number; pager: ObservedPager; criu: Started },
  ) {
    this.#command = command;
    this.#work = work;
    this.node = parts.node;
    this.pager = parts.pager;
    this.criu = parts.criu;
  }

  /** Starts a command, with some of its options, for an image; `lazy-pages` takes plain ones only. */
  static async start(
    name: (typeof COMMANDS)[number],
    image: string,
    options: readonly string[],
  ): Promise<TaskRestore> {
    const work = makeDirectory();
    const command = startThawReaped(
      name === 'restore'
        ? [
            ...['restore', image, '--restorer', 'criu', '--criu', criuPath(), ...options],
            ...['--', '--manage-cgroups=ignore', '--log-file', join(work, 'restore.log')],
          ]
        : ['lazy-pages', '-D', image, '-W', work, '-o', 'lazy.log', '-v3', ...options],
    );
    const node = await firstChild(command);
    const pager = await ObservedPager.startedBy(node);
    if (name === 'restore') return new TaskRestore(command, work, { node, pager, criu: command });
    await until('the socket', () => existsSync(join(work, 'lazy-pages.socket')));
    const criu = restoreWithCriu(image, { lazy: true, workDirectory: work });
    return new TaskRestore(command, work, { node, pager, criu });
  }

  /** Whether pages are missing in a task that is served. */
  get isMissing(): boolean {
    return (this.pager.missingPages() ?? 0) > 0;
  }

  /** Resolves when the pager has the connection over which CRIU announces tasks. */
  async handedOver(): Promise<void> {
    // Besides the socket of the command.
    await until('a connection', () => this.pager.socketCount > 1, 20_000);
  }

  /** Resolves when the first task is served. */
  async served(): Promise<void> {
    await until('a task', () => this.pager.missingPages() !== undefined, 20_000);
  }

  /** Resolves when the tasks were let run. */
  async resumed(): Promise<void> {
    const log = join(this.#work, 'restore.log');
    const said = (): boolean => existsSync(log) && RESUMED.test(readFileSync(log, 'latin1'));
    await until('the tasks', said, 20_000);
  }

  /** Ends the tasks: all of ours ends with them. Returns the errors of CRIU's log, if it began one. */
  async finish({ pids }: Pick<DumpedTarget, 'pids'>): Promise<string[]> {
    await endTasks(pids, this.criu);
    await within(this.#command.ended);
    await until('the end of the pager', () => this.pager.ended);
    this.pager[Symbol.dispose]();
    const log = join(this.#work, 'restore.log');
    const errors = existsSync(log) ? errorsIn(log) : [];
    rmSync(this.#work, { recursive: true });
    return errors;
  }
}

/** What the reaper runs. */
async function firstChild({ child }: Started): Promise<number> {
  let first: number | undefined;
  await until('the command', () => {
    [first] = childrenOf(child.pid ?? 0);
    return first !== undefined;
  });
  return first as number;
}

/** What tasks say that did not end their scenario well: an empty list when all is well. */
export async function complaints(dumped: DumpedTarget): Promise<string[]> {
  const said = await results(dumped, dumped.pids.length);
  return said.filter((text) => !/^ok \d+$/.test(text));
}
