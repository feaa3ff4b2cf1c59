/** A TCP proxy that cuts its connections, in front of a page server. */
import { connect, createServer, type Server, type Socket } from 'node:net';

/** How connections end. */
export interface Cuts {
  /** Bytes from the server after which each connection is cut, one after another; then none is. */
  readonly afterBytes?: readonly number[];
}

/** A proxy at a port of its own, which it keeps when it goes away and comes back. */
export class CuttingProxy {
  /** Connections that clients have made. */
  connections = 0;
  port = 0;
  readonly #to: number;
  readonly #cuts: number[];
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  private constructor(to: number, { afterBytes = [] }: Cuts) {
    this.#to = to;
    this.#cuts = [...afterBytes];
  }

  /** A proxy in front of `port` of this machine. */
  static async start(port: number, cuts: Cuts = {}): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(port, cuts);
    await proxy.comeBack();
    return proxy;
  }

  /** Options of a lazy client. */
  get client(): readonly string[] {
    return ['--page-server', '--address', '127.0.0.1', '--port', String(this.port)];
  }

  /** Listens, at the port that it had. */
  async comeBack(): Promise<void> {
    const server = createServer((client) => this.#forward(client));
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.port = address.port;
    this.#server = server;
  }

  /** Cuts all connections, and takes no others. */
  async goAway(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve) ?? resolve(undefined));
    this.#server = undefined;
    this.cut();
    await closed;
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #forward(client: Socket): void {
    this.connections += 1;
    let left = this.#cuts.shift() ?? Number.POSITIVE_INFINITY;
    const server = connect(this.#to, '127.0.0.1');
    const end = (): void => {
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => this.#sockets.delete(socket));
    }
    client.once('close', end);
    client.pipe(server);
    server.on('data', (chunk) => {
      // What comes before the cut arrives: end() sends it, destroy() would not.
      client.write(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0) client.end();
    });
    server.once('close', () => client.end());
  }
}
