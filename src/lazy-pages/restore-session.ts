/**
 * One `criu restore --lazy-pages` that is being served: from its first task to its last page.
 */
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { ThawError } from '../errors.js';
import { native } from '../native.js';
import type { TaskPlan } from '../plan/restore-plan.js';
import { createDeferred } from '../servicer/deferred.js';
import type { Pager } from '../servicer/pager.js';
import type { OnError } from '../servicer/pager-protocol.js';
import type { PagerTarget, TargetEnd } from '../servicer/pager-target.js';
import type { RemoteSource } from '../servicer/remote-source.js';
import { type Announcement, AnnouncementReader } from './announcement-reader.js';
import type { PageServerOptions } from './page-server-client.js';
import { PageServerLink } from './page-server-link.js';
import type { ServedImage } from './served-image.js';

/**
 * Longest silence before all tasks are announced, in milliseconds. Restoring namespaces takes CRIU
 * seconds; a peer that hangs, or is none, would hold the socket for ever.
 */
const SILENCE_MS_MAX = 120_000;

/** A live task that is being restored, or a child that one of them forked meanwhile. */
export interface ServedTask {
  /** Its pid in the image; of a forked child, its parent's. */
  readonly imagePid: number;
  /** Whether it was forked after its resume. */
  readonly forked: boolean;
  readonly target: PagerTarget;
  /** Its pid on this machine; undefined for a forked child, and where the kernel sends no pidfds. */
  readonly pid: number | undefined;
}

/** What a session works with. */
export interface SessionParts {
  readonly image: ServedImage;
  readonly pager: Pager;
  /** Whether the pager brings in behind the tasks what they have not touched. */
  readonly fill: boolean;
  /** Most bytes installed for one fault. */
  readonly windowBytes: number;
  /** The page server that has what the image says is remote. */
  readonly pageServer?: PageServerOptions | undefined;
  /** What becomes of a task of which pages cannot be produced. */
  readonly onError: OnError;
}

/** Events of a {@link RestoreSession}. */
export interface SessionEvents {
  /** A task is served from now on. */
  task: [task: ServedTask];
  /** Pages could not be produced; code PAGE_FAILED. */
  pageError: [error: ThawError];
  /** A read failed, or the page server is lost, and is tried again: whoever needs pages waits. */
  stall: [where: string, reason: string];
  /** No read of that task is tried again any more; or the page server is there again. */
  resume: [where: string];
  /** A task has all its pages, or has ended. */
  taskEnd: [task: ServedTask, end: TargetEnd];
  /** The session with it is over: well, or with code SOURCE_LOST. */
  sourceEnd: [source: RemoteSource, error?: unknown];
}

/** A session. Owns its connection and the tasks' pidfds. Belongs to one thread. */
export class RestoreSession extends EventEmitter<SessionEvents> {
  readonly #parts: SessionParts;
  readonly #reader: AnnouncementReader;
  readonly #tasks: ServedTask[] = [];
  readonly #pidfds: number[] = [];
  readonly #seen = new Set<number>();
  readonly #announced = createDeferred<void>();
  readonly #restored = createDeferred<void>();
  readonly #finished = createDeferred<void>();
  readonly #onFork = (parent: PagerTarget, child: PagerTarget): void => this.#fork(parent, child);
  /** What has been said is carried out in its order. */
  #work: Promise<void> = Promise.resolve();
  #allRestored = false;
  #complete = false;
  #connecting: Promise<PageServerLink> | undefined;
  #link: PageServerLink | undefined;
  #sourceError: unknown;
  #pageErrorCount = 0;
  #released: Promise<void> | undefined;
  #silence: NodeJS.Timeout | undefined;

  /** @param fd the connection */
  constructor(fd: number, parts: SessionParts) {
    super();
    this.#parts = parts;
    this.#limitSilence();
    parts.pager.on('fork', this.#onFork);
    this.#reader = new AnnouncementReader(fd, {
      announced: (announcement) => this.#take(announcement),
      ended: (error) => this.#queue(async () => this.#hangUp(error)),
    });
  }

  /** The tasks so far, in the order in which they came. */
  get tasks(): readonly ServedTask[] {
    return this.#tasks;
  }

  /** The page server that pages come from, once it is connected: before the first task is served. */
  get source(): RemoteSource | undefined {
    return this.#link?.source;
  }

  /** Bytes of pages that came from it. */
  get bytesReceived(): number {
    return this.#tasks.reduce((sum, { target }) => sum + target.figures().remoteBytes, 0);
  }

  /** How often pages of its tasks could not be produced. */
  get pageErrorCount(): number {
    return this.#pageErrorCount;
  }

  /** Resolves once the page server is connected, or given up: where it is not lost, at once. */
  get sourceSettled(): Promise<void> {
    return this.#link?.settled ?? Promise.resolve();
  }

  /** Whether pages pass through this process on their way to the pager, which cannot go on alone. */
  get throughUs(): boolean {
    return this.#link !== undefined && this.#parts.pageServer?.tls !== undefined;
  }

  /** Whether all tasks are restored, and run. */
  get running(): boolean {
    return this.#allRestored;
  }

  /** Resolves when every task of the image is served; rejects as {@link restored} does. */
  get announced(): Promise<void> {
    return this.#announced.promise;
  }

  /**
   * Resolves when all tasks are restored and about to run.
   *
   * Rejects with RESTORE_FAILED when CRIU ends before, HANDOFF_MALFORMED, TIMED_OUT, ABORTED, or with
   * what the pager refuses.
   */
  get restored(): Promise<void> {
    return this.#restored.promise;
  }

  /**
   * Resolves when every task has all its pages or is gone; rejects as {@link restored} does, and with
   * SOURCE_LOST when a page server was lost and pages with it.
   */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** Ends the session. Tasks that are still missing pages are not served any more. */
  async close(): Promise<void> {
    this.#fail(new ThawError('ABORTED', { what: 'the restore session was closed' }));
    await this.#released;
  }

  #limitSilence(): void {
    clearTimeout(this.#silence);
    if (this.#seen.size === this.#parts.image.taskCount) return;
    this.#silence = setTimeout(() => this.#fail(this.#silenceError()), SILENCE_MS_MAX);
  }

  #take(announcement: Announcement): void {
    if (announcement.kind === 'restored') {
      this.#queue(() => this.#begin());
      return;
    }
    const plan = this.#parts.image.plans.get(announcement.pid);
    const { kind, pid } = announcement;
    const known = kind === 'zombie' ? plan === undefined : plan !== undefined;
    if (!known || this.#seen.has(pid) || this.#seen.size === this.#parts.image.taskCount) {
      closeDescriptors(announcement);
      throw this.#strangerError(announcement);
    }
    this.#seen.add(pid);
    this.#limitSilence();
    if (kind === 'task' && plan !== undefined) this.#queue(() => this.#adopt(announcement, plan));
    if (this.#seen.size === this.#parts.image.taskCount) {
      this.#queue(async () => this.#announced.resolve());
    }
  }

  #queue(step: () => Promise<void>): void {
    this.#work = this.#work.then(step).catch((error) => this.#fail(error));
  }

  async #adopt(
    announcement: Extract<Announcement, { kind: 'task' }>,
    plan: TaskPlan,
  ): Promise<void> {
    const { pid, uffd, pidfd } = announcement;
    if (this.#released !== undefined) {
      closeDescriptors(announcement);
      return;
    }
    const { pager, windowBytes, onError, image } = this.#parts;
    if (pidfd !== undefined) this.#pidfds.push(pidfd);
    try {
      const target = await pager.add({
        uffd,
        plan,
        sources: image.sources,
        ...(pidfd === undefined ? {} : { pidfd }),
        ...(await this.#remoteOf(pid)),
        rangesReady: false,
        windowBytes,
        onError,
      });
      this.#serve({ imagePid: pid, forked: false, target, pid: pidOf(pidfd) });
    } finally {
      native.closeFd(uffd);
    }
  }

  /** Where a task gets what the image does not have. */
  async #remoteOf(
    pid: number,
  ): Promise<{ remote?: { readonly source: RemoteSource; readonly pid: number } }> {
    const { pageServer } = this.#parts;
    if (pageServer === undefined) return {};
    this.#connecting ??= this.#connect(pageServer);
    const { source } = await this.#connecting;
    return { remote: { source, pid } };
  }

  /** A server serves one session, so each restore has a connection of its own. */
  async #connect(pageServer: PageServerOptions): Promise<PageServerLink> {
    const { pager, image } = this.#parts;
    const wideHeader =
      pageServer.headerBytes === undefined ? image.wideHeader : pageServer.headerBytes === 32;
    const bytesReceived = (): number => this.bytesReceived;
    const link = await PageServerLink.open({ pager, pageServer, wideHeader, bytesReceived });
    // Behind the first task, with which a session is made known to others.
    link.on('stall', (...stall) => this.#queue(async () => void this.emit('stall', ...stall)));
    link.on('resume', (where) => this.#queue(async () => void this.emit('resume', where)));
    link.once('lost', (error) => this.#lose(link.source, error));
    this.#link = link;
    return link;
  }

  /** Tasks that run lose the pages that they do not have yet; a restore under way fails. */
  #lose(source: RemoteSource, error: ThawError): void {
    this.#sourceError = error;
    this.emit('sourceEnd', source, error);
    if (this.#allRestored) source.abandon().catch((cause) => this.#fail(cause));
    else this.#fail(error);
  }

  #fork(parent: PagerTarget, child: PagerTarget): void {
    const task = this.#tasks.find(({ target }) => target === parent);
    if (task === undefined) return;
    this.#serve({ imagePid: task.imagePid, forked: true, target: child, pid: undefined });
  }

  #serve(task: ServedTask): void {
    this.#tasks.push(task);
    task.target.on('pageError', (error) => {
      this.#pageErrorCount += 1;
      this.emit('pageError', error);
    });
    task.target.on('stall', (where, reason) => this.emit('stall', where, reason));
    task.target.on('resume', (where) => this.emit('resume', where));
    task.target.finished.then(
      (end) => this.emit('taskEnd', task, end),
      (error) => this.#fail(error),
    );
    this.emit('task', task);
  }

  /** All tasks are past their last stage: their ranges are registered. */
  async #begin(): Promise<void> {
    if (this.#seen.size < this.#parts.image.taskCount) {
      throw new ThawError('HANDOFF_MALFORMED', {
        what: 'the restore was said to be over before all of its tasks were there',
        expected: `${this.#parts.image.taskCount} tasks`,
        found: String(this.#seen.size),
        where: this.#parts.image.directory,
      });
    }
    this.#allRestored = true;
    const own = this.#tasks.filter(({ forked }) => !forked);
    await Promise.all(
      own.map(({ target }) => (this.#parts.fill ? target.fill() : target.rangesReady())),
    );
    this.#restored.resolve();
    void this.#awaitEnd();
  }

  async #awaitEnd(): Promise<void> {
    let ends: PromiseSettledResult<TargetEnd>[];
    do {
      ends = await Promise.allSettled(this.#tasks.map(({ target }) => target.finished));
    } while (this.#tasks.length > ends.length);
    // A pager that is lost, or left to itself, may still be at it.
    this.#complete = ends.every(({ status }) => status === 'fulfilled');
    await this.#release();
    if (this.#sourceError === undefined) this.#finished.resolve();
    else this.#finished.reject(this.#sourceError);
  }

  #hangUp(error: unknown): void {
    if (error !== undefined) this.#fail(error);
    else if (!this.#allRestored) this.#fail(this.#hangUpError());
  }

  #fail(error: unknown): void {
    for (const promise of [this.#announced, this.#restored, this.#finished]) promise.reject(error);
    void this.#release();
  }

  #release(): Promise<void> {
    this.#released ??= this.#letGo();
    return this.#released;
  }

  async #letGo(): Promise<void> {
    clearTimeout(this.#silence);
    this.#reader.close();
    this.#parts.pager.off('fork', this.#onFork);
    await this.#work;
    // A pager that is gone has forgotten them already.
    await Promise.allSettled(this.#tasks.map(({ target }) => target.drop()));
    for (const pidfd of this.#pidfds) native.closeFd(pidfd);
    await this.#leaveSource();
  }

  /** A server whose client hangs up without a word fails, and a dump with it: so it should. */
  async #leaveSource(): Promise<void> {
    const link = await this.#connecting?.catch(() => undefined);
    if (link === undefined) return;
    if (this.#complete && this.#sourceError === undefined) {
      await link.leave().then(
        () => this.emit('sourceEnd', link.source),
        (error) => this.emit('sourceEnd', link.source, error),
      );
    }
    await link.drop();
  }

  #hangUpError(): ThawError {
    return new ThawError('RESTORE_FAILED', {
      what: 'criu restore ended before it had restored all tasks',
      expected: `${this.#parts.image.taskCount} tasks, then the word that all are restored`,
      found: `${this.#seen.size} tasks, then the end`,
      where: this.#parts.image.directory,
      hint: 'The log of `criu restore` says why (lines with `Error`)',
    });
  }

  #silenceError(): ThawError {
    return new ThawError('TIMED_OUT', {
      what: `the restore went silent for ${SILENCE_MS_MAX / 1000} s`,
      expected: `${this.#parts.image.taskCount} tasks`,
      found: `${this.#seen.size} announced`,
      where: this.#parts.image.directory,
      hint: 'Look at the log of `criu restore`: is it stopped, or waiting for something?',
    });
  }

  #strangerError({ kind, pid }: Exclude<Announcement, { kind: 'restored' }>): ThawError {
    return new ThawError('HANDOFF_MALFORMED', {
      what: 'a task was announced that the image does not have so',
      expected: 'each task of the image once',
      found: `${kind} ${pid}`,
      where: this.#parts.image.directory,
      hint: 'Is `criu restore` restoring another image directory (-D) than the one served here?',
    });
  }
}

/** The pid of a process as this namespace has it. */
function pidOf(pidfd: number | undefined): number | undefined {
  if (pidfd === undefined) return undefined;
  const info = readFileSync(`/proc/self/fdinfo/${pidfd}`, 'latin1');
  const pid = Number(/^Pid:\s*(\d+)/m.exec(info)?.[1]);
  return pid > 0 ? pid : undefined;
}

function closeDescriptors(announcement: Announcement): void {
  if (announcement.kind !== 'task') return;
  native.closeFd(announcement.uffd);
  if (announcement.pidfd !== undefined) native.closeFd(announcement.pidfd);
}
