/**
 * Serving the pages of a userfaultfd from a function.
 */
import { inspect } from 'node:util';
import { isUint8Array } from 'node:util/types';
import { formatVaddr, PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import type { PageOrigins } from './page-origins.js';
import type { PageAnswer, PageProvider, ServeFigures, ServeOptions } from './page-provider.js';
import { type PageRun, ServedSpace } from './served-space.js';
import { blockingError, type Uffd } from './uffd.js';

/** A running page server, see {@link servePages}. */
export interface PageServer {
  /** Counts so far, a snapshot. */
  readonly figures: Readonly<ServeFigures>;
  /** Descriptors of forked children that are served. The caller closes them after stop(). */
  readonly children: readonly Uffd[];
  /**
   * Fulfilled after stop(), or when every address space is gone. Rejected, as stop() is, when serving
   * fails: not even poison can be installed, say, or `onProviderError` throws. Then nothing new is
   * served, as after stop(); only the provider's calls under way are still installed.
   */
  readonly finished: Promise<void>;
  /**
   * Ends serving, once the provider's calls under way are settled and installed. Leaves the
   * descriptors open: threads that touch a missing page wait from now on, and so do those whose
   * faults were read but not resolved, until somebody serves the descriptor again or closes it.
   */
  stop(): Promise<void>;
}

/**
 * Serves the pages of `uffd` by calling `provider` for pages that the target touches.
 *
 * The descriptor must be non-blocking, stays the caller's, and must not be read by anybody else
 * meanwhile. With the events REMAP, REMOVE, UNMAP and FORK on, the target may move, discard and unmap
 * memory and fork: moved pages keep their content, discarded ones are zeros and never asked for again,
 * children are served as well. Minor faults are answered by `continue`, write-protect faults by taking
 * the protection away. The end of the target sends no event: stop the server when its process ends.
 *
 * Keeps the event loop alive until it ends. Runs on the calling thread, never blocks it.
 *
 * @throws ThawError INVALID_ARGUMENT for options that make no sense.
 *
 * @example
 * const server = servePages(uffd, async (vaddr, pageCount) => {
 *   return (await store.load(vaddr, pageCount)) ?? 'zero';
 * });
 * // ...
 * await server.stop();
 */
export function servePages(
  uffd: Uffd,
  provider: PageProvider,
  options: ServeOptions = {},
): PageServer {
  const { concurrency = 8, runPagesMax = 16 } = options;
  if (!uffd.nonBlocking) throw blockingError();
  for (const [name, value] of Object.entries({ concurrency, runPagesMax })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new ThawError('INVALID_ARGUMENT', {
      what: `the option ${name} is out of range`,
      expected: 'a whole number above 0',
      found: `${value}`,
    });
  }
  return new Server(uffd, provider, { ...options, concurrency, runPagesMax });
}

type ServeSettings = ServeOptions & Required<Pick<ServeOptions, 'concurrency' | 'runPagesMax'>>;

class Server implements PageServer {
  readonly finished: Promise<void>;
  readonly #provider: PageProvider;
  readonly #settings: ServeSettings;
  readonly #figures: ServeFigures = {
    faults: 0,
    calls: 0,
    copiedPages: 0,
    zeroPages: 0,
    poisonedPages: 0,
    alreadyPresent: 0,
    deferrals: 0,
    forks: 0,
  };
  readonly #root: ServedSpace;
  /** Address spaces served now, in the order of their turns. */
  #spaces: ServedSpace[] = [];
  readonly #calls = new Set<Promise<void>>();
  #stopping = false;
  #pumpPlanned = false;
  #finish!: { resolve: () => void; reject: (error: unknown) => void };

  constructor(uffd: Uffd, provider: PageProvider, settings: ServeSettings) {
    this.#provider = provider;
    this.#settings = settings;
    this.finished = new Promise((resolve, reject) => {
      this.#finish = { resolve, reject };
    });
    this.#root = this.#serve(uffd);
  }

  get figures(): ServeFigures {
    return { ...this.#figures };
  }

  get children(): readonly Uffd[] {
    return this.#spaces.filter((space) => space !== this.#root).map((space) => space.uffd);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const space of this.#spaces) space.stopReading();
    await Promise.all(this.#calls);
    for (const space of this.#spaces) space.stop();
    this.#finish.resolve();
    await this.finished;
  }

  #serve(uffd: Uffd, origins?: PageOrigins): ServedSpace {
    const owner = {
      figures: this.#figures,
      onFork: (child: Uffd, childOrigins: PageOrigins) => {
        this.#figures.forks += 1;
        // No event tells of a child's end: who forks for ever may not pile up descriptors here.
        for (const space of this.#spaces) if (space.uffd.targetGone) space.stopReading();
        this.#serve(child, childOrigins);
      },
      onWork: () => this.#planPump(),
      onFailure: (error: unknown) => this.#fail(error),
    };
    const space = new ServedSpace(uffd, owner, origins);
    this.#spaces.push(space);
    space.run().then(
      () => this.#ended(space),
      (error) => this.#fail(error),
    );
    return space;
  }

  /** Starts calls after this turn, when all faults that came together are known. */
  #planPump(): void {
    if (this.#pumpPlanned) return;
    this.#pumpPlanned = true;
    queueMicrotask(() => {
      this.#pumpPlanned = false;
      this.#pump();
    });
  }

  /** Starts calls of the provider, the address spaces taking turns, as many as may be. */
  #pump(): void {
    let idle = 0;
    while (!this.#stopping && idle < this.#spaces.length) {
      if (this.#calls.size >= this.#settings.concurrency) return;
      const space = this.#spaces.shift() as ServedSpace;
      this.#spaces.push(space);
      const run = space.nextRun(this.#settings.runPagesMax);
      idle = run === undefined ? idle + 1 : 0;
      if (run === undefined) continue;
      const call = this.#call(space, run).then(() => {
        this.#calls.delete(call);
        this.#planPump();
      });
      this.#calls.add(call);
    }
  }

  async #call(space: ServedSpace, run: PageRun): Promise<void> {
    this.#figures.calls += 1;
    try {
      const answer = await this.#ask(run);
      this.#attempt(() => space.settle(run, answer));
    } catch (error) {
      // Poison, for wrong content must never be installed. The listener comes last: it may throw.
      this.#attempt(() => space.settle(run, 'poison'));
      this.#attempt(() => this.#settings.onProviderError?.(error, run.origin, run.pageCount));
    }
  }

  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The provider's answer, which callers without types may get wrong. */
  async #ask({ origin, pageCount }: PageRun): Promise<PageAnswer> {
    const answer: unknown = await this.#provider(origin, pageCount);
    const byteLength = pageCount * PAGE_SIZE;
    if (answer === 'zero' || answer === 'poison') return answer;
    if (isUint8Array(answer) && answer.byteLength === byteLength) return answer;
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'the provider answered with what cannot be the pages',
      expected: `a Uint8Array of ${byteLength} bytes, 'zero' or 'poison'`,
      found: isUint8Array(answer) ? `${answer.byteLength} bytes` : describe(answer),
      where: formatVaddr(origin),
    });
  }

  #ended(space: ServedSpace): void {
    if (this.#stopping) return;
    space.stop();
    this.#spaces = this.#spaces.filter((other) => other !== space);
    if (space !== this.#root) space.uffd.close();
    if (this.#spaces.length === 0) this.#finish.resolve();
  }

  #fail(error: unknown): void {
    this.#stopping = true;
    for (const space of this.#spaces) space.stop();
    this.#finish.reject(error);
  }
}

/** A value in a few words: `'zeros'`, `[ArrayBuffer]`. */
function describe(value: unknown): string {
  return inspect(value, { depth: -1, maxStringLength: 32, customInspect: false });
}
