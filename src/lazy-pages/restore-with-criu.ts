/**
 * The coordinator of real tasks: CRIU makes them, the pager brings their memory.
 */
import { closeSync, openSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ThawError } from '../errors.js';
import { Checkpoint } from '../image/checkpoint.js';
import { loadAddon } from '../native.js';
import { planRestore } from '../plan/plan-restore.js';
import type { RestorePlan } from '../plan/restore-plan.js';
import { createDeferred } from '../servicer/deferred.js';
import type { PagerOptions } from '../servicer/fill-options.js';
import { Pager } from '../servicer/pager.js';
import type { OnError } from '../servicer/pager-protocol.js';
import { CriuProcess, versionError } from './criu-process.js';
import { type CriuView, writeCriuView } from './criu-view.js';
import { LazyPagesServer } from './lazy-pages-server.js';
import type { RestoreSession, ServedTask } from './restore-session.js';
import { toServedImage } from './served-image.js';
import { makeViewDirectory } from './view-directory.js';

/** Longest wait for CRIU's first task, in milliseconds: before it, CRIU makes namespaces only. */
const FIRST_TASK_MS_MAX = 120_000;
/** Longest wait for what an ended CRIU has said, in milliseconds. */
const READ_MS_MAX = 5_000;

/** Options of {@link restoreWithCriu}. */
export interface CriuRestoreOptions extends PagerOptions {
  /**
   * The command of CRIU.
   * @default 'criu', looked for in PATH
   */
  readonly criu?: string;
  /** Further options of `criu restore`. */
  readonly criuOptions?: readonly string[];
  /**
   * File for CRIU's log.
   * @default one that is removed
   */
  readonly logFile?: string;
  /** Whether the tasks belong to a shell: CRIU then stays in our session. */
  readonly shellJob?: boolean;
  /**
   * Whether CRIU ends once the tasks run; otherwise it stays as their parent until they end.
   * @default false
   */
  readonly detach?: boolean;
  /** As in `restore()`. @default true */
  readonly fill?: boolean;
  /** As in `restore()`. @default 64 KiB, or 4096 with the fill off */
  readonly windowBytes?: number | undefined;
  /** As in `restore()`. @default 'poison' */
  readonly onError?: OnError;
  /** Is told of pages that cannot be produced when that is found. */
  readonly onPageError?: (error: ThawError) => void;
  /** Is told when a read failed, and is tried again. */
  readonly onStall?: (where: string, reason: string) => void;
  /** Is told when no read is tried again any more. */
  readonly onResume?: (where: string) => void;
  /** Stops the restore while it is being set up. */
  readonly signal?: AbortSignal;
}

/** What a {@link CriuRestoration} is made of. */
interface RestorationParts {
  readonly plan: RestorePlan;
  readonly deadTasks: number;
  readonly view: CriuView;
  readonly pager: Pager;
  readonly server: LazyPagesServer;
  readonly session: RestoreSession;
  readonly criu: CriuProcess;
  readonly startedMs: number;
  readonly pageErrors: readonly ThawError[];
  readonly removeView: () => Promise<void>;
}

/** Real tasks that run while their memory comes. Made by {@link restoreWithCriu}. */
export class CriuRestoration {
  readonly plan: RestorePlan;
  /** Zombies of the image. */
  readonly deadTasks: number;
  /** Guard areas that are plain memory now. */
  readonly droppedGuards: number;
  /** Milliseconds from the call until the tasks were let run. */
  readonly readyMs: number;
  /** Failures of single pages, so far. */
  readonly pageErrors: readonly ThawError[];
  /**
   * Resolves to the milliseconds from the call until every stored page was in, or its task had ended.
   * Rejects with PAGER_LOST.
   */
  readonly resident: Promise<number>;
  readonly #parts: RestorationParts;
  #over = false;

  /** @internal */
  constructor(parts: RestorationParts) {
    this.#parts = parts;
    this.plan = parts.plan;
    this.deadTasks = parts.deadTasks;
    this.droppedGuards = parts.view.droppedGuards;
    this.readyMs = performance.now() - parts.startedMs;
    this.pageErrors = parts.pageErrors;
    this.resident = parts.session.finished.then(() => performance.now() - parts.startedMs);
    this.resident.catch(() => {});
  }

  /** The tasks of the image, and what they have forked since. */
  get tasks(): readonly ServedTask[] {
    return this.#parts.session.tasks;
  }

  /** The pid of the pager. */
  get pagerPid(): number {
    return this.#parts.pager.pid;
  }

  /** Resolves when the tasks' root has ended; when CRIU was detached, at once. */
  get ended(): Promise<void> {
    return this.#parts.criu.exited;
  }

  /** Leaves the tasks to themselves, and to the pager what is missing. */
  async leave(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    const { pager, server, removeView } = this.#parts;
    const nowhere = openSync('/dev/null', 'w');
    await pager.outlive(nowhere).finally(() => closeSync(nowhere));
    await pager.leave();
    await server.close();
    await removeView();
  }

  /** Ends the tasks, unless CRIU was detached from them, and the pager. Harmless when repeated. */
  async close(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    const { criu, server, pager, removeView } = this.#parts;
    await criu.kill();
    await server.close();
    await pager.close();
    await removeView();
  }
}

/**
 * Restores an image of any form by `criu restore`. Resolves when its tasks run; whatever was started
 * is gone when it rejects.
 *
 * @throws image codes; NOTHING_TO_RESTORE; CRIU_MISSING; CRIU_FAILED with what CRIU's log says;
 * TIMED_OUT; PAGER_* codes; NATIVE_MISSING; ABORTED.
 */
export async function restoreWithCriu(
  image: string,
  options: CriuRestoreOptions = {},
): Promise<CriuRestoration> {
  const startedMs = performance.now();
  loadAddon();
  const undo: (() => unknown)[] = [];
  try {
    const checkpoint = await Checkpoint.open(image);
    undo.push(() => checkpoint.close());
    const plan = planRestore(checkpoint);
    if (plan.tasks.length === 0) throw nothingError(checkpoint);
    const { path: directory, remove: removeView } = await makeViewDirectory();
    undo.push(removeView);
    const view = await writeCriuView(checkpoint, plan, directory);
    const pager = await Pager.start(options);
    undo.push(() => pager.close());
    await pager.outlive(2);
    const served = toServedImage(checkpoint, plan);
    const { fill = true, windowBytes, onError = 'poison' } = options;
    const server = LazyPagesServer.listen({
      image: served,
      pager,
      workDirectory: directory,
      fill,
      windowBytes,
      onError,
    });
    undo.push(() => server.close());
    const pageErrors = listen(server, options);
    await checkpoint.close();
    const criu = startCriu(directory, options);
    undo.push(() => criu.kill());
    const session = await awaitRestored(server, criu, options.signal);
    if (options.detach) await criu.exited;
    const deadTasks = served.taskCount - plan.tasks.length;
    return new CriuRestoration({
      plan,
      deadTasks,
      view,
      pager,
      server,
      session,
      criu,
      startedMs,
      pageErrors,
      removeView,
    });
  } catch (error) {
    for (const step of undo.reverse()) await step();
    const failed = error instanceof ThawError && error.code === 'CRIU_FAILED';
    throw (failed ? versionError(commandOf(options)) : undefined) ?? error;
  }
}

/** From the first task on: pages may fail before all of them run. */
function listen(
  server: LazyPagesServer,
  { onPageError, onStall, onResume }: CriuRestoreOptions,
): readonly ThawError[] {
  const pageErrors: ThawError[] = [];
  server.once('session', (session) => {
    session.on('pageError', (error) => {
      pageErrors.push(error);
      onPageError?.(error);
    });
    session.on('stall', (where, reason) => onStall?.(where, reason));
    session.on('resume', (where) => onResume?.(where));
  });
  return pageErrors;
}

function commandOf({ criu = 'criu' }: CriuRestoreOptions): string {
  return criu;
}

function startCriu(directory: string, options: CriuRestoreOptions): CriuProcess {
  const logPath = resolve(options.logFile ?? join(directory, 'restore.log'));
  const args = ['-D', directory, '-W', directory, '-v4', '--lazy-pages'];
  if (options.detach) args.push('--restore-detached');
  return CriuProcess.start({
    command: commandOf(options),
    args: [...args, ...(options.criuOptions ?? []), '-o', logPath],
    logPath,
    sameSession: options.shellJob ?? false,
  });
}

/** Resolves when the tasks run. Whatever ends first decides: CRIU, the caller, or the limit. */
async function awaitRestored(
  server: LazyPagesServer,
  criu: CriuProcess,
  signal: AbortSignal | undefined,
): Promise<RestoreSession> {
  const broken = createDeferred<never>();
  const stop = (): void => broken.reject(stoppedError());
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop, { once: true });
  const timer = setTimeout(() => broken.reject(silentError()), FIRST_TASK_MS_MAX);
  const begun = new Promise<RestoreSession>((resolve) => {
    server.once('session', (session) => {
      clearTimeout(timer);
      resolve(session);
    });
  });
  criu.exited.then(
    // What it has said by then is still being read.
    () => setTimeout(() => broken.reject(idleError()), READ_MS_MAX).unref(),
    (error) => broken.reject(error),
  );
  try {
    const session = await Promise.race([begun, broken.promise]);
    await Promise.race([session.restored, broken.promise]);
    return session;
  } catch (error) {
    // A session that broke off says less than CRIU, which then ends with an error of its own.
    if (error instanceof ThawError && error.code === 'RESTORE_FAILED') await broken.promise;
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

function stoppedError(): ThawError {
  return new ThawError('ABORTED', { what: 'the restore was stopped' });
}

function idleError(): ThawError {
  return new ThawError('CRIU_FAILED', {
    what: 'criu restore ended without a restored task',
    hint: 'Look at the options behind `--`',
  });
}

function silentError(): ThawError {
  return new ThawError('TIMED_OUT', {
    what: `CRIU did not announce a task within ${FIRST_TASK_MS_MAX / 1000} s`,
    hint: 'Is it waiting for something? `-- --log-file FILE` keeps its log',
  });
}

function nothingError(checkpoint: Checkpoint): ThawError {
  return new ThawError('NOTHING_TO_RESTORE', {
    what: 'the image has no live task',
    expected: 'at least one',
    found: `${checkpoint.tasks.length} tasks, all dead`,
    where: checkpoint.directory,
  });
}
