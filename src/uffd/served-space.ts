/**
 * One address space that a page server serves: its events, the pages it waits for, their resolution.
 */
import { setImmediate } from 'node:timers/promises';
import { PAGE_SIZE } from '../address.js';
import type { IoctlResult } from './ioctl-result.js';
import { PageOrigins } from './page-origins.js';
import type { PageAnswer, ServeFigures } from './page-provider.js';
import type { Uffd, UffdEvent } from './uffd.js';
import type { PagefaultEvent } from './uffd-event.js';

const PAGE = BigInt(PAGE_SIZE);

/** First wait before a deferred installation is tried again; doubles up to the last. */
const RETRY_FIRST_MS = 1;
const RETRY_LAST_MS = 64;

/** Consecutive pages that one call of the provider is asked for. */
export interface PageRun {
  /** Run-time address of the first page. */
  readonly vaddr: bigint;
  /** Where the content of the first page was when serving began: what the provider is asked for. */
  readonly origin: bigint;
  readonly pageCount: number;
}

/** Pages to be resolved by one kind of call, as far as it has come. */
interface Installation {
  vaddr: bigint;
  pageCount: number;
  readonly attempt: (vaddr: bigint, pageCount: number) => IoctlResult;
  /** Takes up what is left after a wait, in which the target may have changed its memory. */
  readonly resume: (left: Installation) => void;
}

/** What a space needs of its server. */
export interface SpaceOwner {
  readonly figures: ServeFigures;
  /** A child came to be. */
  onFork(child: Uffd, origins: PageOrigins): void;
  /** Pages are waiting for the provider. */
  onWork(): void;
  /** The space cannot be served any more. */
  onFailure(error: unknown): void;
}

/**
 * The state of one address space. Everything is done in the turn of the event loop in which it is
 * decided, so that no decision is out of date when its ioctl runs; what the target does meanwhile
 * makes that ioctl fail with EAGAIN until its event has been read.
 */
export class ServedSpace {
  readonly uffd: Uffd;
  readonly #owner: SpaceOwner;
  readonly #origins: PageOrigins;
  /** Pages to ask the provider for, oldest first. At most one a waiting thread of the target. */
  readonly #queue: bigint[] = [];
  /** Pages queued, asked for or deferred: a second fault on one needs nothing more. */
  readonly #pending = new Set<bigint>();
  #deferred: Installation[] = [];
  #retryMs = RETRY_FIRST_MS;
  #timer: NodeJS.Timeout | undefined;
  readonly #stopping = new AbortController();

  constructor(uffd: Uffd, owner: SpaceOwner, origins = new PageOrigins()) {
    this.uffd = uffd;
    this.#owner = owner;
    this.#origins = origins;
  }

  /** Reads and handles events until told to stop, the descriptor is closed or the target gone. */
  async run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted && !this.uffd.closed) {
      const events = this.uffd.readEvents();
      for (const event of events) this.#handle(event);
      if (events.length > 0) {
        this.#retryMs = RETRY_FIRST_MS;
        this.#takeUp();
        await setImmediate(); // a target that floods us with events may not keep others waiting
      } else {
        await this.uffd.poll({ signal }).catch((error) => {
          if (!this.uffd.closed) throw error;
        });
      }
    }
  }

  /** Ends run(). What was read is still installed. */
  stopReading(): void {
    this.#stopping.abort();
  }

  /** The next run of pages for the provider, at most `pagesMax` long. */
  nextRun(pagesMax: number): PageRun | undefined {
    while (this.#queue.length > 0) {
      const vaddr = this.#queue.shift() as bigint;
      const origin = this.#origins.originOf(vaddr);
      if (origin !== null)
        return { vaddr, origin, pageCount: this.#extend(vaddr, origin, pagesMax) };
      this.#install(this.#zeros(vaddr));
    }
    return undefined;
  }

  /** Installs the provider's answer to a run, but zeros where the target discarded it meanwhile. */
  settle(run: PageRun, answer: PageAnswer): void {
    if (this.uffd.closed) return;
    let done = 0;
    while (done < run.pageCount) {
      const vaddr = run.vaddr + BigInt(done) * PAGE;
      const pageCount = this.#unchanged(run, done);
      if (pageCount > 0) this.#install(this.#content(part(run, done, pageCount), run, answer));
      else this.#reconsider(vaddr);
      done += Math.max(pageCount, 1);
    }
  }

  /** Ends everything. Faults that were read but not resolved become events again. */
  stop(): void {
    this.stopReading();
    clearTimeout(this.#timer);
    if (!this.uffd.closed) for (const vaddr of this.#pending) this.uffd.wake(vaddr, PAGE_SIZE);
    this.#pending.clear();
  }

  #handle(event: UffdEvent): void {
    if (event.type === 'pagefault') this.#fault(event);
    else if (event.type === 'fork') this.#owner.onFork(event.child, this.#origins.clone());
    else if (event.type === 'remap') {
      this.#origins.move(event.from, event.to, BigInt(event.byteLength));
    } else if (event.type === 'remove') this.#origins.discard(event.start, event.end);
    else if (event.type === 'unmap') this.#origins.reset(event.start, event.end);
  }

  #fault(event: PagefaultEvent): void {
    const vaddr = event.vaddr - (event.vaddr % PAGE);
    this.#owner.figures.faults += 1;
    if (this.#pending.has(vaddr)) return;
    this.#pending.add(vaddr);
    if (event.minor) {
      this.#install(this.#single(vaddr, (at) => this.uffd.continue(at, PAGE_SIZE)));
    } else if (event.writeProtected) {
      this.#install(this.#single(vaddr, (at) => this.uffd.writeProtect(at, PAGE_SIZE, false)));
    } else {
      this.#queue.push(vaddr);
      this.#owner.onWork();
    }
  }

  /** Takes the queued pages that follow `vaddr`, in content as well; returns the run's length. */
  #extend(vaddr: bigint, origin: bigint, pagesMax: number): number {
    let pageCount = 1;
    while (pageCount < pagesMax && this.#queue.length > 0) {
      const distance = BigInt(pageCount) * PAGE;
      const index = this.#queue.indexOf(vaddr + distance);
      if (index < 0 || this.#origins.originOf(vaddr + distance) !== origin + distance) break;
      this.#queue.splice(index, 1);
      pageCount += 1;
    }
    return pageCount;
  }

  /** How many pages from `first` on still have the content that the provider was asked for. */
  #unchanged(run: PageRun, first: number): number {
    let index = first;
    while (index < run.pageCount) {
      const distance = BigInt(index) * PAGE;
      if (this.#origins.originOf(run.vaddr + distance) !== run.origin + distance) break;
      index += 1;
    }
    return index - first;
  }

  /** The target discarded or replaced a page while its content was on the way. */
  #reconsider(vaddr: bigint): void {
    if (this.#origins.originOf(vaddr) === null) {
      this.#install(this.#zeros(vaddr));
    } else {
      this.#queue.push(vaddr);
      this.#owner.onWork();
    }
  }

  #single(vaddr: bigint, attempt: Installation['attempt']): Installation {
    return { vaddr, pageCount: 1, attempt, resume: (left) => this.#install(left) };
  }

  #zeros(vaddr: bigint): Installation {
    return this.#single(vaddr, (at) =>
      this.#counted(this.uffd.zeropage(at, PAGE_SIZE), 'zeroPages'),
    );
  }

  /** `piece` of `run`, whose first page has the first bytes of `answer`. */
  #content(piece: PageRun, run: PageRun, answer: PageAnswer): Installation {
    const { uffd } = this;
    const attempt = (vaddr: bigint, pageCount: number) => {
      const byteLength = pageCount * PAGE_SIZE;
      if (answer === 'zero') return this.#counted(uffd.zeropage(vaddr, byteLength), 'zeroPages');
      if (answer === 'poison')
        return this.#counted(uffd.poison(vaddr, byteLength), 'poisonedPages');
      const offset = Number(vaddr - run.vaddr);
      const bytes = answer.subarray(offset, offset + byteLength);
      return this.#counted(uffd.copy(vaddr, bytes), 'copiedPages');
    };
    const resume = (left: Installation) => {
      const skipped = Number((left.vaddr - run.vaddr) / PAGE);
      const rest = part(run, skipped, left.pageCount);
      const offset = skipped * PAGE_SIZE;
      this.settle(rest, typeof answer === 'string' ? answer : answer.subarray(offset));
    };
    return { vaddr: piece.vaddr, pageCount: piece.pageCount, attempt, resume };
  }

  #counted(
    result: IoctlResult,
    figure: 'copiedPages' | 'zeroPages' | 'poisonedPages',
  ): IoctlResult {
    this.#owner.figures[figure] += result.bytes / PAGE_SIZE;
    return result;
  }

  #install(work: Installation): void {
    let pagesAtOnce = work.pageCount;
    while (work.pageCount > 0) {
      const pageCount = Math.min(pagesAtOnce, work.pageCount);
      const result = work.attempt(work.vaddr, pageCount);
      this.#advance(work, result.bytes / PAGE_SIZE);
      // After partial work the next answer says what is in the way.
      if (result.errno === 0 || result.bytes > 0) continue;
      if (result.code === 'EAGAIN' || result.code === 'ESRCH') {
        if (result.code === 'EAGAIN') this.#defer(work);
        else this.stopReading();
        return;
      }
      if (result.code === 'EEXIST') {
        // Done by somebody else, who may not have woken those that wait.
        this.#owner.figures.alreadyPresent += 1;
        this.uffd.wake(work.vaddr, PAGE_SIZE);
        this.#advance(work, 1);
      } else if (result.code === 'ENOENT') {
        // The border of a mapping is inside the range, or the page is no longer registered.
        if (pageCount === 1) this.#advance(work, 1);
        pagesAtOnce = 1;
      } else {
        result.orThrow();
      }
    }
  }

  #advance(work: Installation, pageCount: number): void {
    for (let index = 0; index < pageCount; index += 1) {
      this.#pending.delete(work.vaddr);
      work.vaddr += PAGE;
      work.pageCount -= 1;
    }
  }

  /**
   * Keeps work that an unread event is in the way of. Reading events takes it up again, and so does a
   * timer: the event may have gone by without another to read.
   */
  #defer(work: Installation): void {
    this.#owner.figures.deferrals += 1;
    this.#deferred.push(work);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#retryMs = Math.min(2 * this.#retryMs, RETRY_LAST_MS);
      this.#takeUp();
    }, this.#retryMs);
  }

  #takeUp(): void {
    try {
      for (const work of this.#deferred.splice(0)) work.resume(work);
    } catch (error) {
      this.#owner.onFailure(error);
    }
  }
}

/** `pageCount` pages of `run`, from its page `first` on. */
function part(run: PageRun, first: number, pageCount: number): PageRun {
  const distance = BigInt(first) * PAGE;
  return { vaddr: run.vaddr + distance, origin: run.origin + distance, pageCount };
}
