/** A page server in CRIU's protocol: hands out the pages of an image to lazy clients on other machines. */
import { EventEmitter, once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { ThawError } from '../errors.js';
import type { Checkpoint } from '../image/checkpoint.js';
import type { TlsCredentials } from '../tls-credentials.js';
import { createPlainListener, createTlsListener } from './client-sockets.js';
import { PageSession } from './page-session.js';
import { ServedPages } from './served-pages.js';
import type { HeaderLayout } from './wire.js';

const PORT_MAX = 65_535;

/** Options of a {@link CriuPageServer}. */
export interface CriuPageServerOptions {
  /**
   * Bytes of a header: 24 of clients up to CRIU 4.1.1, 32 of later ones.
   * @default each client's first request tells
   */
  readonly headerLayout?: HeaderLayout | undefined;
  /**
   * Certificate, key and authorities: clients speak TLS, and show a certificate themselves.
   * @default plain connections, from whoever reaches the port
   */
  readonly tls?: TlsCredentials | undefined;
  /**
   * What a client's certificate has to name, unless `tls` leaves names out. CRIU takes its own address
   * for it.
   * @default any name
   */
  readonly clientName?: string | undefined;
}

/** Where a {@link CriuPageServer} listens. */
export interface ListenAddress {
  /**
   * Address or host name.
   * @default every address of the machine
   */
  readonly address?: string | undefined;
  /** 0 to 65535; 0: a free one. */
  readonly port: number;
}

/** Events of a {@link CriuPageServer}. */
export interface CriuPageServerEvents {
  /** A client has connected. */
  session: [session: PageSession];
  /** A client did not get through the TLS handshake. */
  refused: [error: ThawError];
}

/**
 * Serves the stored pages of an image, whichever form they have there, to any number of
 * `criu lazy-pages --page-server` and their like. A client that goes wrong ends its own session only.
 *
 * Owns its sockets and sessions; the checkpoint stays the caller's, and is closed after the server.
 * Belongs to one thread. Keeps the process alive while it listens or serves.
 *
 * Source: docs/criu.md; criu(8), "page-server" and "lazy-pages".
 *
 * @example
 * const server = new CriuPageServer(await Checkpoint.open('dump'));
 * const { port } = await server.listen({ port: 0 });
 * server.on('session', ({ peer, finished }) => {
 *   finished.catch((error) => console.error(`${peer}: ${error.message}`));
 * });
 */
export class CriuPageServer extends EventEmitter<CriuPageServerEvents> {
  readonly #pages: ServedPages;
  readonly #options: CriuPageServerOptions;
  readonly #server: Server;
  readonly #sessions = new Set<PageSession>();
  /** While it listens, or begins to; aborted when that is over. */
  #listening: AbortController | undefined;

  /** @throws INVALID_ARGUMENT when the credentials for TLS cannot be used */
  constructor(checkpoint: Checkpoint, options: CriuPageServerOptions = {}) {
    super();
    const { tls, clientName } = options;
    const handler = {
      connected: (socket: Socket) => this.#serve(socket),
      refused: (error: ThawError) => void this.emit('refused', error),
    };
    this.#pages = new ServedPages(checkpoint);
    this.#options = options;
    this.#server =
      tls === undefined
        ? createPlainListener(handler)
        : createTlsListener(tls, clientName, handler);
  }

  /** The sessions that are not over. */
  get sessions(): ReadonlySet<PageSession> {
    return this.#sessions;
  }

  /**
   * Listens from now on, until it is stopped; then it may listen again. Resolves to where.
   *
   * @throws INVALID_ARGUMENT for an address or a port that is none, and when it listens already;
   * SOCKET_UNAVAILABLE; ABORTED when it was stopped before it had begun.
   */
  async listen({ address, port }: ListenAddress): Promise<AddressInfo> {
    const server = this.#server;
    checkListenAddress(address, port);
    if (this.#listening !== undefined) throw listeningError(server);
    const listening = new AbortController();
    this.#listening = listening;
    try {
      server.listen({ host: address, port });
      await once(server, 'listening', { signal: listening.signal });
      listening.signal.throwIfAborted();
      return server.address() as AddressInfo;
    } catch (cause) {
      if (listening.signal.aborted) {
        throw new ThawError('ABORTED', { what: 'the page server was stopped before it listened' });
      }
      this.#listening = undefined;
      throw unavailableError({ address, port }, cause as NodeJS.ErrnoException);
    }
  }

  /** Serves a client over a socket that is connected already, which the server owns from now on. */
  attach(socket: Socket): void {
    this.#server.emit('connection', socket);
  }

  /** Stops listening. Sessions go on. */
  stopListening(): void {
    this.#server.close();
    this.#listening?.abort();
    this.#listening = undefined;
  }

  /** Stops listening, ends the sessions, and resolves when they are over. */
  async close(): Promise<void> {
    this.stopListening();
    const sessions = [...this.#sessions];
    for (const session of sessions) session.close();
    await Promise.allSettled(sessions.map(({ finished }) => finished));
  }

  #serve(socket: Socket): void {
    const { headerLayout } = this.#options;
    const session = new PageSession({ pages: this.#pages, socket, headerLayout });
    this.#sessions.add(session);
    const end = (): boolean => this.#sessions.delete(session);
    session.finished.then(end, end);
    this.emit('session', session);
  }
}

/** What the types say, and more: no address at all is every address, an empty one is a mistake. */
function checkListenAddress(address: unknown, port: unknown): void {
  if (!Number.isInteger(port) || Number(port) < 0 || Number(port) > PORT_MAX) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'the page server cannot listen at such a port',
      expected: `a whole number from 0 to ${PORT_MAX}`,
      found: String(port),
      hint: 'Port 0 takes a free one',
    });
  }
  if (address === undefined || (typeof address === 'string' && address !== '')) return;
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'the page server cannot listen at such an address',
    expected: 'an address or a host name, or none for every address',
    found: address === '' ? 'an empty one' : String(address),
  });
}

function listeningError(server: Server): ThawError {
  const at = server.address() as AddressInfo | null;
  return new ThawError('INVALID_ARGUMENT', {
    what: 'the page server listens already',
    expected: 'one address and port at a time',
    found:
      at === null ? 'a listen() that has not come to its end' : `${at.address}, port ${at.port}`,
    hint: 'Call stopListening() before, or make another CriuPageServer',
  });
}

function unavailableError(
  { address, port }: ListenAddress,
  cause: NodeJS.ErrnoException,
): ThawError {
  return new ThawError('SOCKET_UNAVAILABLE', {
    what: 'the page server cannot listen',
    found: cause.code ?? cause.message,
    where: `address ${address ?? 'any'}, port ${port}`,
    hint: 'Port 0 takes a free one',
    cause,
  });
}
