/**
 * Serves the lazy pages of one image to `criu restore --lazy-pages`: once, or again and again.
 */
import { EventEmitter } from 'node:events';
import { type ErrorCode, ThawError } from '../errors.js';
import { type AcceptedPeer, native } from '../native.js';
import { windowOf } from '../servicer/fill-options.js';
import type { PreparedSources } from '../servicer/local-sources.js';
import type { Pager } from '../servicer/pager.js';
import type { OnError } from '../servicer/pager-protocol.js';
import { LazyPagesSocket } from './lazy-pages-socket.js';
import type { PageServerOptions } from './page-server-client.js';
import { RestoreSession } from './restore-session.js';
import type { ServedImage } from './served-image.js';

/** Errors of a restore that was right, and is over. */
const FINAL_ERRORS: ReadonlySet<ErrorCode> = new Set([
  'RESTORE_FAILED',
  'SOURCE_UNREACHABLE',
  'SOURCE_LOST',
]);

/**
 * Longest silence of a restore, in milliseconds. Restoring namespaces takes CRIU seconds; a peer that
 * hangs, or is none, would hold the socket for ever.
 */
const SILENCE_MS_MAX = 120_000;

/** What {@link LazyPagesServer.listen} is given. */
export interface LazyPagesOptions {
  readonly image: ServedImage;
  /** The pager, which may serve others too; it stays the caller's. */
  readonly pager: Pager;
  /** Directory of the socket: the work directory of `criu restore`. */
  readonly workDirectory: string;
  /**
   * Whether the pager brings in behind the tasks what they have not touched.
   * @default true
   */
  readonly fill?: boolean;
  /**
   * Most bytes installed for one fault where a task shows a pattern, from 4096 to 64 KiB.
   * @default 64 KiB, or 4096 with the fill off
   */
  readonly windowBytes?: number | undefined;
  /** The page server that has what the image says is remote. */
  readonly pageServer?: PageServerOptions | undefined;
  /**
   * What becomes of a task of which pages cannot be produced.
   * @default 'poison'
   */
  readonly onError?: OnError;
  /**
   * Whether to go on after the first restore, and serve several at once.
   * @default false
   */
  readonly persist?: boolean;
  /**
   * Longest silence of a restore before all its tasks are announced, in milliseconds.
   * @default 120 s
   */
  readonly silenceMs?: number;
}

/** Events of a {@link LazyPagesServer}. */
export interface LazyPagesEvents {
  /** A restore announced its first task, or failed before that. */
  session: [session: RestoreSession];
  /** A peer that is no restore of this image was turned away; the server goes on. */
  refused: [error: unknown];
  /** Nobody can connect any more: the name of the socket is gone, or another's. */
  displaced: [error: ThawError];
}

/**
 * A server. Owns its socket and its sessions. Belongs to one thread.
 *
 * @example
 * const server = LazyPagesServer.listen({ image, pager, workDirectory: 'dump' });
 * server.on('session', async (session) => {
 *   await session.finished;
 * });
 */
export class LazyPagesServer extends EventEmitter<LazyPagesEvents> {
  readonly #options: LazyPagesOptions;
  readonly #socket: LazyPagesSocket;
  readonly #prepared: Promise<PreparedSources>;
  readonly #sessions = new Set<RestoreSession>();

  private constructor(options: LazyPagesOptions) {
    super();
    this.#options = options;
    this.#socket = LazyPagesSocket.listen(options.workDirectory, {
      connected: (peer) => this.#connect(peer),
      refused: (error) => this.emit('refused', error),
      displaced: (error) => this.emit('displaced', error),
    });
    const { image, pager } = options;
    this.#prepared = pager.prepare(image.sources.filter(({ remote }) => !remote));
    // What is wrong with one is told when a restore needs it.
    this.#prepared.catch(() => {});
  }

  /**
   * Listens from now on.
   *
   * @throws SOCKET_UNAVAILABLE
   */
  static listen(options: LazyPagesOptions): LazyPagesServer {
    return new LazyPagesServer(options);
  }

  /** Where the socket is. */
  get socketPath(): string {
    return this.#socket.path;
  }

  /** The sessions that are not over. */
  get sessions(): ReadonlySet<RestoreSession> {
    return this.#sessions;
  }

  /** Stops listening. Sessions go on. */
  stopListening(): void {
    this.#socket.close();
    this.#prepared.then((prepared) => prepared.release()).catch(() => {});
  }

  /** Stops listening and ends the sessions. */
  async close(): Promise<void> {
    this.stopListening();
    await Promise.all([...this.#sessions].map((session) => session.close()));
  }

  async #connect(peer: AcceptedPeer): Promise<void> {
    const { image, pager, fill = true, persist = false, pageServer } = this.#options;
    const { onError = 'poison', silenceMs = SILENCE_MS_MAX } = this.#options;
    const windowBytes = windowOf(fill, this.#options.windowBytes);
    if (!persist && this.#sessions.size > 0) {
      native.closeFd(peer.fd);
      this.emit('refused', busyError(this.#socket.path, peer));
      return;
    }
    const parts = { image, pager, fill, windowBytes, onError, pageServer, silenceMs };
    const session = new RestoreSession(peer.fd, parts);
    this.#sessions.add(session);
    let begun = false;
    session.once('task', () => {
      begun = true;
      this.emit('session', session);
    });
    const end = (error?: unknown): void => {
      this.#sessions.delete(session);
      if (error === undefined || begun) return;
      // A restore that failed before its first task is over, and the only one that was to come.
      const failed = error instanceof ThawError && FINAL_ERRORS.has(error.code);
      if (failed && !persist) this.emit('session', session);
      else this.emit('refused', error);
    };
    session.finished.then(() => end(), end);
    if (!persist) session.announced.then(() => this.stopListening()).catch(() => {});
    await session.takenOver;
  }
}

function busyError(path: string, peer: AcceptedPeer): ThawError {
  return new ThawError('PEER_REFUSED', {
    what: 'a second restore connected while the first one was under way',
    expected: 'one restore',
    found: `pid ${peer.pid}`,
    where: path,
    hint: 'With --persist a daemon serves any number of restores',
  });
}
