/**
 * The link to a page server for one restore: connected, connected again when that is lost, left in order.
 */
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { ThawError } from '../errors.js';
import type { Pager } from '../servicer/pager.js';
import type { RemoteSource, SourceLoss } from '../servicer/remote-source.js';
import {
  connectPageServer,
  type PageServerConnection,
  type PageServerOptions,
} from './page-server-client.js';

/**
 * How long a lost server is tried again, in milliseconds: as long as a read that a disk refused
 * (native/core/read_retries.h). From the loss until pages come again.
 */
const RETRY_MS_MAX = 5_000;
/** Pause before the second attempt, in milliseconds; doubles up to the last. */
const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 1_000;

/** What {@link PageServerLink.open} is given. */
export interface LinkOptions {
  readonly pager: Pager;
  readonly pageServer: PageServerOptions;
  /** Whether the server's headers are those of CRIU 4.2 and later. */
  readonly wideHeader: boolean;
  /** Bytes of pages that have come so far: where these grow, a server is no dead one. */
  readonly bytesReceived: () => number;
}

/** Events of a {@link PageServerLink}. */
export interface LinkEvents {
  /** The connection is lost, and another is tried for; whoever needs pages waits. */
  stall: [where: string, reason: string];
  /** There is another. */
  resume: [where: string];
  /** There will be none: code SOURCE_LOST. */
  lost: [error: ThawError];
}

/** A loss. It lasts until pages come again, whatever connections are made meanwhile. */
interface Loss {
  readonly sinceMs: number;
  readonly bytesReceived: number;
  readonly awaited: boolean;
  pauseMs: number;
}

/** A link. Owns its connections; belongs to the thread of its pager. */
export class PageServerLink extends EventEmitter<LinkEvents> {
  readonly source: RemoteSource;
  readonly #options: LinkOptions;
  readonly #stopped = new AbortController();
  #connection: PageServerConnection;
  #loss: Loss | undefined;
  #reconnecting: Promise<void> | undefined;
  /** What was lost while the pager was given another connection. */
  #lostAgain: ThawError | undefined;

  private constructor(
    source: RemoteSource,
    connection: PageServerConnection,
    options: LinkOptions,
  ) {
    super();
    this.source = source;
    this.#connection = connection;
    this.#options = options;
    source.on('lost', (error, loss) => this.#lose(error, loss));
  }

  /**
   * Connects, and has the pager take pages from there.
   *
   * @throws SOURCE_UNREACHABLE; what Pager.addRemoteSource throws
   */
  static async open(options: LinkOptions): Promise<PageServerLink> {
    const { pager, pageServer, wideHeader } = options;
    const connection = await connectPageServer(pageServer);
    try {
      const source = await pager.addRemoteSource({ ...connection, wideHeader });
      return new PageServerLink(source, connection, options);
    } finally {
      connection.release();
    }
  }

  /** Resolves once the link is up, or lost for good: at once, or after a few seconds. */
  get settled(): Promise<void> {
    return this.#reconnecting ?? Promise.resolve();
  }

  /**
   * Takes leave of the server, once everything asked for is in.
   *
   * @throws SOURCE_LOST when the server does not say that it ended well.
   */
  async leave(): Promise<void> {
    this.#stopped.abort();
    await this.source.close();
  }

  /** Ends the link without a word, if it is there. */
  async drop(): Promise<void> {
    this.#stopped.abort();
    if (await this.source.drop()) await this.#connection.ended;
  }

  #lose(error: ThawError, { misunderstood, awaited }: SourceLoss): void {
    const { pageServer, bytesReceived } = this.#options;
    const noServer = misunderstood && bytesReceived() === 0;
    if (this.#reconnecting !== undefined) {
      this.#lostAgain = error;
    } else if (noServer || pageServer.socketFd !== undefined) {
      this.emit('lost', error);
    } else {
      this.#reconnecting = this.#reconnect(error, this.#noteLoss(awaited)).finally(() => {
        this.#reconnecting = undefined;
      });
    }
  }

  async #reconnect(error: ThawError, loss: Loss): Promise<void> {
    const { signal } = this.#stopped;
    const { label } = this.source;
    this.emit('stall', label, error.found ?? error.what);
    const deadlineMs = loss.sinceMs + RETRY_MS_MAX;
    let found = 'no page came over another connection';
    while (!signal.aborted && performance.now() < deadlineMs) {
      try {
        await this.#pause(loss, deadlineMs);
        this.#lostAgain = undefined;
        await this.#replace(deadlineMs);
        if (this.#lostAgain === undefined) {
          this.emit('resume', label);
          return;
        }
      } catch (cause) {
        found = foundBy(cause);
      }
    }
    if (!signal.aborted) this.emit('lost', lostError(error, found));
  }

  /**
   * A loss of its own, or still the last one, whose limit has begun already: what was asked for then is
   * not there yet.
   */
  #noteLoss(awaited: boolean): Loss {
    const bytesReceived = this.#options.bytesReceived();
    const last = this.#loss;
    const lasts = last?.awaited && awaited && last.bytesReceived === bytesReceived;
    if (lasts) return last;
    this.#loss = { sinceMs: performance.now(), bytesReceived, awaited, pauseMs: 0 };
    return this.#loss;
  }

  async #pause(loss: Loss, deadlineMs: number): Promise<void> {
    const pauseMs = Math.min(loss.pauseMs, deadlineMs - performance.now());
    loss.pauseMs = Math.min(Math.max(loss.pauseMs * 2, PAUSE_MS_MIN), PAUSE_MS_MAX);
    if (pauseMs > 0) await sleep(pauseMs, undefined, { signal: this.#stopped.signal });
  }

  async #replace(deadlineMs: number): Promise<void> {
    const connection = await connectPageServer(this.#options.pageServer, deadlineMs);
    try {
      if (this.#stopped.signal.aborted) return;
      await this.source.replace(connection.fd);
      this.#connection = connection;
    } finally {
      connection.release();
    }
  }
}

function foundBy(error: unknown): string {
  return error instanceof ThawError ? (error.found ?? error.what) : String(error);
}

function lostError(first: ThawError, found: string): ThawError {
  return new ThawError('SOURCE_LOST', {
    what: `${first.what}, and no other came about within ${RETRY_MS_MAX / 1000} s`,
    ...(first.expected === undefined ? {} : { expected: first.expected }),
    found: `${first.found}; then ${found}`,
    ...(first.where === undefined ? {} : { where: first.where }),
    ...(first.hint === undefined ? {} : { hint: first.hint }),
  });
}
