/**
 * A page server that a pager takes pages from, over a connection that it was given.
 */
import { EventEmitter } from 'node:events';
import { errnoCode, ThawError } from '../errors.js';
import { checkMilliseconds } from '../limits.js';
import { createDeferred } from './deferred.js';
import type { PagerProcess } from './pager-process.js';
import { REMOTE_WIDE_HEADER, REQUEST } from './pager-protocol.js';

/**
 * Longest wait for the server's farewell, in milliseconds: the pager's own limit (remote_source.cc),
 * and a little more.
 */
const FAREWELL_MS_MAX = 12_000;

/** Longest silence before the first answer where nothing else is said, in milliseconds. */
const FIRST_ANSWER_MS_MAX = 10_000;

/** What becomes of a connection to a server that reads other headers, or does not serve lazy pages. */
const MISUNDERSTANDINGS: ReadonlySet<string | undefined> = new Set(['ETIMEDOUT', 'EPROTO']);

/** Commands that end a session: of a connection of our own, and of one that was handed to us. */
export const CLOSE_COMMAND = { own: 0x1023, handed: 0x1024 } as const;

/** What {@link RemoteSource} is made of. */
export interface RemoteSourceOptions {
  /** A connected stream socket. The pager gets a duplicate: the caller keeps its own, and closes it. */
  readonly fd: number;
  /** Whether the server is that of CRIU 4.2 or later, whose headers are longer. */
  readonly wideHeader: boolean;
  /** One of {@link CLOSE_COMMAND}. */
  readonly closeCommand: number;
  /** What to call the server in messages. */
  readonly label: string;
  /**
   * Longest silence before the first answer, in milliseconds, from 0 to 2147483647.
   * @default 10 s
   */
  readonly firstAnswerMs?: number;
}

/** What is known of a lost connection. */
export interface SourceLoss {
  /** Whether pages had been asked for that have not come. */
  readonly awaited: boolean;
  /** Whether it answered nothing but silence, or what is no answer: it may be no page server at all. */
  readonly misunderstood: boolean;
}

/** Events of a {@link RemoteSource}. */
export interface RemoteSourceEvents {
  /** The connection is lost, with code SOURCE_LOST; what was asked for waits. */
  lost: [error: ThawError, loss: SourceLoss];
}

/**
 * A page server as the control plane sees it. Made by `Pager.addRemoteSource`.
 *
 * Belongs to the thread of its pager.
 */
export class RemoteSource extends EventEmitter<RemoteSourceEvents> {
  /** The pager's number for it. */
  readonly id: number;
  /** What to call it in messages. */
  readonly label: string;
  readonly #process: PagerProcess;
  readonly #options: RemoteSourceOptions;
  readonly #forget: () => void;
  readonly #closed = createDeferred<void>();

  /** @internal */
  constructor(process: PagerProcess, id: number, options: RemoteSourceOptions, forget: () => void) {
    super();
    this.#forget = forget;
    this.id = id;
    this.label = options.label;
    this.#process = process;
    this.#options = options;
  }

  /** @internal Tells the pager. */
  async announce(): Promise<void> {
    const { fd, wideHeader, closeCommand, firstAnswerMs = FIRST_ANSWER_MS_MAX } = this.#options;
    checkMilliseconds('firstAnswerMs', firstAnswerMs);
    const op = REQUEST.addRemoteSource;
    const flags = wideHeader ? REMOTE_WIDE_HEADER : 0;
    const limits = { a: BigInt(closeCommand), b: BigInt(Math.ceil(firstAnswerMs)) };
    await this.#process.request({ op, target: this.id, flags, ...limits }, [fd]);
  }

  /**
   * Goes on over another connected stream socket, duplicated like the first. What was asked for and has
   * not come is asked for again.
   */
  async replace(fd: number): Promise<void> {
    await this.#process.request({ op: REQUEST.replaceSource, target: this.id }, [fd]);
  }

  /** Gives up after a loss: every page that is missing from here is poisoned. */
  async abandon(): Promise<void> {
    await this.#process.request({ op: REQUEST.abandonSource, target: this.id });
  }

  /**
   * Takes leave of the server, once everything asked for is in.
   *
   * @throws SOURCE_LOST when the server does not say that it ended well, within 12 s.
   */
  async close(): Promise<void> {
    const timer = setTimeout(() => {
      this.#closed.reject(this.#farewellError(`silence for ${FAREWELL_MS_MAX / 1000} s`));
    }, FAREWELL_MS_MAX);
    try {
      await this.#process.request({ op: REQUEST.closeSource, target: this.id });
      await this.#closed.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Ends the connection without a word, if it is there, and has the pager forget the source. False
   * when the pager is not ours any more.
   */
  async drop(): Promise<boolean> {
    this.#forget();
    return this.#process.requestUnlessLost({ op: REQUEST.dropSource, target: this.id });
  }

  /** @internal */
  lose(errno: number, answers: number, awaited: boolean): void {
    const strange = MISUNDERSTANDINGS.has(errnoCode(errno));
    const misunderstood = answers === 0 && strange;
    this.emit('lost', this.#lostError(errno, answers), { awaited, misunderstood });
  }

  /** @internal */
  finish(errno: number): void {
    if (errno === 0) this.#closed.resolve();
    else this.#closed.reject(this.#farewellError(remoteFailureText(errno)));
  }

  #lostError(errno: number, answers: number): ThawError {
    const { wideHeader } = this.#options;
    return new ThawError('SOURCE_LOST', {
      what: 'the connection to the page server is lost',
      expected: answers === 0 ? 'an answer to the first request' : 'answers',
      found: remoteFailureText(errno),
      where: this.label,
      hint:
        answers > 0
          ? 'Its log says why (lines with `Error`)'
          : 'It must be a lazy page server (`criu dump --lazy-pages`, or `page-server --lazy-pages`) ' +
            `of this very image; one of CRIU ${wideHeader ? 'before 4.2' : '4.2 or later'} needs ` +
            `--ps-header ${wideHeader ? '24' : '32'} here`,
    });
  }

  #farewellError(found: string): ThawError {
    return new ThawError('SOURCE_LOST', {
      what: 'the page server did not take leave',
      expected: 'a status of 0',
      found,
      where: this.label,
      hint: 'Every page is in; but the server may report a failure',
    });
  }
}

/** What an errno of the pager means for a page server. */
export function remoteFailureText(errno: number): string {
  switch (errnoCode(errno)) {
    case 'ECONNRESET':
    case 'EPIPE':
      return 'the server hung up';
    case 'ETIMEDOUT':
      return 'the server is silent';
    case 'EPROTO':
      return 'the server sent what is no answer to a request';
    case 'ENOTCONN':
      return 'there is no connection';
    default:
      return `${errnoCode(errno) ?? `errno ${errno}`}`;
  }
}
