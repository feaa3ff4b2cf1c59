/** A page server in CRIU's protocol: hands out the pages of an image to lazy clients on other machines. */
import { EventEmitter } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { ThawError } from '../errors.js';
import type { Checkpoint } from '../image/checkpoint.js';
import type { TlsCredentials } from '../tls-credentials.js';
import { createPlainListener, createTlsListener } from './client-sockets.js';
import { PageSession } from './page-session.js';
import { ServedPages } from './served-pages.js';
import type { HeaderLayout } from './wire.js';

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
  /** 0: a free one. */
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
   * Listens from now on; resolves to where.
   *
   * @throws SOCKET_UNAVAILABLE
   */
  listen({ address, port }: ListenAddress): Promise<AddressInfo> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const fail = (cause: NodeJS.ErrnoException): void => {
        reject(
          new ThawError('SOCKET_UNAVAILABLE', {
            what: 'the page server cannot listen',
            found: cause.code ?? cause.message,
            where: `address ${address ?? 'any'}, port ${port}`,
            hint: 'Port 0 takes a free one',
            cause,
          }),
        );
      };
      server.once('error', fail);
      server.listen({ host: address, port }, () => {
        server.off('error', fail);
        resolve(server.address() as AddressInfo);
      });
    });
  }

  /** Serves a client over a socket that is connected already, which the server owns from now on. */
  attach(socket: Socket): void {
    this.#server.emit('connection', socket);
  }

  /** Stops listening. Sessions go on. */
  stopListening(): void {
    this.#server.close();
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
