/**
 * One target of a pager: an address space whose missing pages the pager brings.
 */
import { EventEmitter } from 'node:events';
import { constants } from 'node:os';
import { formatRange, formatVaddr } from '../address.js';
import { errnoCode, ThawError } from '../errors.js';
import { createDeferred, type Deferred } from './deferred.js';
import { readFigures, type TargetFigures } from './figures.js';
import type { PagerProcess } from './pager-process.js';
import { type ErrorAction, type PageAction, REQUEST } from './pager-protocol.js';
import { remoteFailureText } from './remote-source.js';

/** What the pager says of bytes that have another checksum. */
const CHECKSUM_ERRNO = constants.errno.EILSEQ;

/** What is said of each action. */
const OUTCOMES: Readonly<Record<ErrorAction, string>> = {
  none: 'They count as removed',
  poisoned: 'A touch of them is SIGBUS',
  stopped: 'The process was stopped (SIGSTOP); nothing that it sees is wrong',
  killed: 'The process was killed',
  held: 'This kernel cannot poison them: whoever touches them waits',
};

/** Why a forked child cannot be served. */
const FORK_FAILURES: Readonly<Record<string, string>> = {
  EMFILE: 'no descriptor left in the pager (EMFILE): raise the limit of open files (ulimit -n)',
  ENOMEM: 'no room left for another target (ENOMEM)',
  ENOSPC: 'no room left for another watch (ENOSPC): raise fs.epoll.max_user_watches',
};

/** Pages that cannot be produced, as the pager tells of them. */
export interface PageFailure {
  readonly vaddr: bigint;
  readonly pageCount: number;
  /** Where their bytes should be: a pages image, and the byte at which the first page begins. */
  readonly where: string;
  readonly errno: number;
  readonly action: PageAction;
}

/** How the service of a target ended. */
export type TargetEnd = 'resident' | 'gone' | 'dropped';

/** Events of a {@link PagerTarget}. */
export interface PagerTargetEvents {
  /**
   * Pages could not be produced and are poisoned (a touch is SIGBUS); code PAGE_FAILED, or
   * CHECKSUM_MISMATCH where their bytes are not those that were written.
   */
  pageError: [error: ThawError, action: ErrorAction];
  /**
   * A read failed for a reason that may pass, and is tried again for up to five seconds; whoever
   * needs the pages waits. `where` is the pages image and the byte.
   */
  stall: [where: string, reason: string];
  /** No read is tried again any more: what failed was read, or given up (then `pageError` follows). */
  resume: [where: string];
  /**
   * A target that was expected has come, and is served; with the pid of its process on this machine,
   * where the kernel tells it.
   */
  handedOver: [pid: number | undefined];
}

/** A request that is done with an event of its own, after its answer. */
interface FollowedRequest {
  readonly request: { readonly op: number; readonly a?: bigint; readonly b?: bigint };
  readonly done: Deferred<void>;
}

/**
 * A target. Made by `Pager.add` or `Pager.expect`, or by the pager itself for a forked child.
 *
 * Belongs to the thread of its pager.
 */
export class PagerTarget extends EventEmitter<PagerTargetEvents> {
  /** The pager's number for it. */
  readonly id: number;
  /** Pid of the task in the image, by its plan; of a forked child, its parent's. */
  readonly imagePid: number;
  readonly #process: PagerProcess;
  readonly #figuresFd: number;
  #slot = -1;
  #ended = false;
  readonly #forget: () => void;
  readonly #finished = createDeferred<TargetEnd>();
  readonly #waiting = new Map<number, FollowedRequest>();
  #handedOver = false;
  #last: TargetFigures | undefined;

  /** @internal */
  constructor(
    process: PagerProcess,
    figuresFd: number,
    { id, imagePid }: { readonly id: number; readonly imagePid: number },
    forget: () => void,
  ) {
    super();
    this.id = id;
    this.imagePid = imagePid;
    this.#process = process;
    this.#figuresFd = figuresFd;
    this.#forget = forget;
  }

  /** @internal Names the figures slot; before that, the pager has not accepted the target. */
  bind(slot: number): this {
    this.#slot = slot;
    return this;
  }

  /**
   * Settles when the pager has let go: `'resident'` when everything is in, `'gone'` when the target
   * ended first, `'dropped'` after {@link drop}. Rejects with PAGER_LOST when the pager ends before.
   */
  get finished(): Promise<TargetEnd> {
    return this.#finished.promise;
  }

  /** The figures at this moment; after {@link drop}, or the pager's close, those of that moment. */
  figures(): TargetFigures {
    return this.#last ?? readFigures(this.#figuresFd, this.#slot);
  }

  /**
   * Says that all ranges are registered by now, for a target that was added before they were. Only
   * then can it become resident. {@link fill} says it too.
   */
  async rangesReady(): Promise<void> {
    await this.#process.request({ op: REQUEST.rangesReady, target: this.id });
  }

  /**
   * Starts the background fill of everything that is missing, here and in every child that it forked
   * or will fork. Ranges must be registered by now.
   */
  async fill(): Promise<void> {
    await this.#process.request({ op: REQUEST.fill, target: this.id });
  }

  /**
   * Brings the pages of [start, end) in ahead of everything else; resolves when they are (pages that
   * cannot be produced are reported by `pageError`). Has no limit of its own: it takes as long as the
   * source.
   */
  async prefetch(start: bigint, end: bigint): Promise<void> {
    if (start >= end || start % 4096n !== 0n || end % 4096n !== 0n) {
      throw new ThawError('INVALID_ARGUMENT', {
        what: 'the range to prefetch is not one of whole pages',
        found: formatRange(start, end),
      });
    }
    await this.#requestAndWait({ op: REQUEST.prefetch, a: start, b: end });
  }

  /**
   * Resolves once all that the target has seen so far is in the figures, and its page errors have been
   * emitted: the pager wakes a thread before it counts what it did for it.
   */
  async settle(): Promise<void> {
    if (this.#ended) return;
    await this.#requestAndWait({ op: REQUEST.settle });
  }

  /** Waits for the event that follows on a request, or for the end of the service. */
  async #requestAndWait(request: { op: number; a?: bigint; b?: bigint }): Promise<void> {
    const followed: FollowedRequest = { request, done: createDeferred() };
    this.#finished.promise.then(() => followed.done.resolve(), followed.done.reject);
    await this.#sendFollowed(followed);
    await followed.done.promise;
  }

  async #sendFollowed(followed: FollowedRequest): Promise<void> {
    const requestId = this.#process.takeRequestId();
    this.#waiting.set(requestId, followed);
    const forget = (): boolean => this.#waiting.delete(requestId);
    followed.done.promise.then(forget, forget);
    try {
      await this.#process.request({ ...followed.request, target: this.id, requestId });
    } catch (error) {
      followed.done.reject(error);
      throw error;
    }
  }

  /** @internal Another worker goes on, which may not know what this one waits for. */
  askAgain(): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const followed of waiting) this.#sendFollowed(followed).catch(() => {});
  }

  /**
   * Has the pager forget this target and free what it has for it: figures, plan, and pages images that
   * no other target takes pages from. What is missing then stays missing. For a target that has ended
   * too, in a pager that goes on.
   */
  async drop(): Promise<void> {
    if (this.#last !== undefined) return;
    this.keepFigures();
    this.#forget();
    this.finish('dropped');
    await this.#process.requestUnlessLost({ op: REQUEST.dropTarget, target: this.id });
  }

  /** @internal Before the figures' memory goes. */
  keepFigures(): void {
    if (this.#slot >= 0) this.#last ??= this.figures();
  }

  /** @internal */
  finish(end: TargetEnd): void {
    this.#ended = true;
    this.#finished.resolve(end);
  }

  /** @internal */
  lose(error: unknown): void {
    this.#finished.reject(error);
  }

  /** @internal May be told again by whoever takes over from a killed process. */
  arrive(pid: number): void {
    if (this.#handedOver) return;
    this.#handedOver = true;
    this.emit('handedOver', pid > 0 ? pid : undefined);
  }

  /** @internal The event that follows on a request has come. */
  followUp(requestId: number): void {
    this.#waiting.get(requestId)?.done.resolve();
  }

  /** @internal */
  tellOfPages(told: PageFailure): void {
    const { where, errno, action } = told;
    if (action === 'resumed') this.emit('resume', where);
    else if (action === 'retrying') this.emit('stall', where, failureText(errno));
    else if (action === 'childPoisoned') this.#failChild(told, 'poisoned');
    else if (action === 'childHeld') this.#failChild(told, 'held');
    else this.#fail(told, action);
  }

  #failChild({ vaddr, pageCount, errno }: PageFailure, action: ErrorAction): void {
    const pages = `${pageCount} page${pageCount === 1 ? '' : 's'}`;
    this.emit(
      'pageError',
      new ThawError('PAGE_FAILED', {
        what: `task ${this.imagePid} has forked a child that cannot be served`,
        found: FORK_FAILURES[errnoCode(errno) ?? ''] ?? errnoCode(errno) ?? `errno ${errno}`,
        where: `${pages} missing in it, from ${formatVaddr(vaddr)} on`,
        hint:
          action === 'held'
            ? 'Whoever touches them in the child waits; the task itself goes on'
            : 'A touch of them in the child is SIGBUS; the task itself goes on',
      }),
      action,
    );
  }

  #fail({ vaddr, pageCount, where, errno }: PageFailure, action: ErrorAction): void {
    const code = errno === CHECKSUM_ERRNO ? 'CHECKSUM_MISMATCH' : 'PAGE_FAILED';
    this.emit(
      'pageError',
      new ThawError(code, {
        what:
          `${pageCount} page${pageCount === 1 ? '' : 's'} at ${formatVaddr(vaddr)} ` +
          `of task ${this.imagePid} cannot be produced`,
        found: failureText(errno),
        where,
        hint: `${OUTCOMES[action]}; \`thaw verify\` checks the image`,
      }),
      action,
    );
  }
}

/** What an errno of the pager means for a page. */
function failureText(errno: number): string {
  switch (errnoCode(errno)) {
    case 'EILSEQ':
      return 'a page or block with another checksum than it was written with';
    case 'EBADMSG':
      return 'a block that is not what LZ4 wrote';
    case 'ENOENT':
      return 'an address that is not registered with the userfaultfd, or not mapped';
    case 'ENODATA':
    case 'EFAULT':
      return 'a pages image that ends before the page';
    case 'ECONNRESET':
    case 'ETIMEDOUT':
    case 'EPROTO':
    case 'ENOTCONN':
      return remoteFailureText(errno);
    default:
      return `${errnoCode(errno) ?? `errno ${errno}`} when reading the pages image`;
  }
}
