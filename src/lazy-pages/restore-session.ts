/**
 * One `criu restore --lazy-pages` that is being served: from its first task to its last page.
 */
import { EventEmitter } from 'node:events';
import { ThawError } from '../errors.js';
import { native } from '../native.js';
import { Readiness } from '../readiness.js';
import { createDeferred } from '../servicer/deferred.js';
import type { Handoff, HandoffOutcome } from '../servicer/handoff.js';
import type { Pager } from '../servicer/pager.js';
import type { OnError } from '../servicer/pager-protocol.js';
import type { PagerTarget, TargetEnd } from '../servicer/pager-target.js';
import type { RemoteSource } from '../servicer/remote-source.js';
import { handoffError, silenceError } from './handoff-errors.js';
import type { PageServerOptions } from './page-server-client.js';
import { PageServerLink } from './page-server-link.js';
import type { ServedImage } from './served-image.js';

/** Of what `criu restore` says first: a pid, or a zombie's below zero. */
const WORD_BYTES = 4;

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
  /** Longest silence before all tasks are announced, in milliseconds. */
  readonly silenceMs: number;
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

/**
 * A session. Belongs to one thread.
 *
 * The pager itself takes the tasks from CRIU, and goes on with that when this process is killed.
 */
export class RestoreSession extends EventEmitter<SessionEvents> {
  readonly #parts: SessionParts;
  /** Before they are announced, too. */
  readonly #targets: PagerTarget[] = [];
  readonly #tasks: ServedTask[] = [];
  readonly #closing = new AbortController();
  /** That the peer has to say something first. */
  readonly #waiting = createDeferred<void>();
  readonly #begun = createDeferred<void>();
  readonly #announced = createDeferred<void>();
  readonly #restored = createDeferred<void>();
  readonly #finished = createDeferred<void>();
  readonly #onFork = (parent: PagerTarget, child: PagerTarget): void => this.#fork(parent, child);
  /** The way of the connection to the pager. */
  readonly #handingOver: Promise<Handoff | undefined>;
  #announcedCount = 0;
  #allRestored = false;
  #complete = false;
  #link: PageServerLink | undefined;
  #sourceError: unknown;
  #pageErrorCount = 0;
  #released: Promise<void> | undefined;

  /** @param fd the connection, which the session closes */
  constructor(fd: number, parts: SessionParts) {
    super();
    this.#parts = parts;
    parts.pager.on('fork', this.#onFork);
    this.#handingOver = this.#handOver(fd).finally(() => native.closeFd(fd));
    this.#handingOver.catch((error) => this.#fail(error));
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

  /**
   * Resolves when this process has done its part for the connection: the pager has it, or the peer has
   * to say something first, or it was turned away.
   */
  get takenOver(): Promise<unknown> {
    return Promise.race([this.#waiting.promise, this.#handingOver.catch(() => {})]);
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

  /** Has the pager take over what comes; undefined where the session ended before. */
  async #handOver(fd: number): Promise<Handoff | undefined> {
    const { pager, fill, silenceMs, pageServer, image } = this.#parts;
    const { signal } = this.#closing;
    // A page server serves one restore as a rule: not whoever comes by.
    const honest = pageServer === undefined || (await this.#isRestore(fd));
    if (honest && pageServer !== undefined && !signal.aborted) {
      this.#link = await this.#connect(pageServer);
    }
    if (honest && !signal.aborted) await this.#expectAll();
    if (signal.aborted) return undefined;
    const handoff = await pager.handOff({
      connection: fd,
      targets: this.#targets,
      zombies: honest ? image.taskCount - image.plans.size : 0,
      fill,
      silenceMs,
    });
    handoff.ended.then((outcome) => this.#end(outcome)).catch((error) => this.#fail(error));
    return handoff;
  }

  /** Waits for what a peer says first: whether it may be a restore of the image. */
  async #isRestore(fd: number): Promise<boolean> {
    const { image, silenceMs } = this.#parts;
    const limits = { timeoutMs: silenceMs, signal: this.#closing.signal };
    this.#waiting.resolve();
    if ((await new Readiness(fd).wait(limits)) !== 'ready' && !this.#closing.signal.aborted) {
      throw silenceError(0, image, silenceMs);
    }
    const bytes = Buffer.from(native.peekBytes(fd, WORD_BYTES));
    if (bytes.length < WORD_BYTES) return false;
    const word = bytes.readInt32LE();
    return word < 0 || image.plans.has(word);
  }

  async #expectAll(): Promise<void> {
    const { pager, image, windowBytes, onError } = this.#parts;
    const source = this.#link?.source;
    const expected = await Promise.allSettled(
      [...image.plans].map(async ([pid, plan]) => {
        const target = await pager.expect({
          plan,
          sources: image.sources,
          ...(source === undefined ? {} : { remote: { source, pid } }),
          windowBytes,
          onError,
        });
        this.#targets.push(target);
        target.once('handedOver', (actualPid) =>
          this.#take({ imagePid: pid, forked: false, target, pid: actualPid }),
        );
      }),
    );
    for (const result of expected) if (result.status === 'rejected') throw result.reason;
  }

  #take(task: ServedTask): void {
    if (this.#closing.signal.aborted) return;
    this.#serve(task);
    this.#announcedCount += 1;
    if (this.#announcedCount === this.#parts.image.plans.size) this.#announced.resolve();
  }

  /** A server serves one session, so each restore has a connection of its own. */
  async #connect(pageServer: PageServerOptions): Promise<PageServerLink> {
    const { pager, image } = this.#parts;
    const wideHeader =
      pageServer.headerBytes === undefined ? image.wideHeader : pageServer.headerBytes === 32;
    const bytesReceived = (): number => this.bytesReceived;
    const link = await PageServerLink.open({ pager, pageServer, wideHeader, bytesReceived });
    // Behind the first task, with which a session is made known to others.
    const behind = (step: () => unknown): unknown => this.#begun.promise.then(step);
    link.on('stall', (...stall) => behind(() => this.emit('stall', ...stall)));
    link.on('resume', (where) => behind(() => this.emit('resume', where)));
    link.once('lost', (error) => this.#lose(link.source, error));
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
    if (task.forked) this.#targets.push(task.target);
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
    this.#begun.resolve();
  }

  #end(outcome: HandoffOutcome): void {
    const { image } = this.#parts;
    if (outcome.how !== 'restored' || outcome.announced < image.taskCount) {
      throw handoffError(outcome, image, this.#parts.silenceMs);
    }
    this.#allRestored = true;
    this.#announced.resolve(); // an image of zombies only
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

  #fail(error: unknown): void {
    for (const promise of [this.#announced, this.#restored, this.#finished]) promise.reject(error);
    void this.#release();
  }

  #release(): Promise<void> {
    this.#released ??= this.#letGo();
    return this.#released;
  }

  async #letGo(): Promise<void> {
    this.#closing.abort();
    this.#parts.pager.off('fork', this.#onFork);
    const handoff = await this.#handingOver.catch(() => undefined);
    // A pager that is gone has forgotten them already.
    await Promise.allSettled([handoff?.drop()]);
    await Promise.allSettled(this.#targets.map((target) => target.drop()));
    await this.#leaveSource();
  }

  /** A server whose client hangs up without a word fails, and a dump with it: so it should. */
  async #leaveSource(): Promise<void> {
    const link = this.#link;
    if (link === undefined) return;
    if (this.#complete && this.#sourceError === undefined) {
      await link.leave().then(
        () => this.emit('sourceEnd', link.source),
        (error) => this.emit('sourceEnd', link.source, error),
      );
    }
    await link.drop();
  }
}
