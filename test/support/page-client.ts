/** A client of a page server: writes what a test says, and reads replies. */
import { connect, type Socket } from 'node:net';
import {
  COMMAND,
  type Header,
  type HeaderLayout,
  readHeader,
  writeHeader,
} from '../../src/page-server/wire.js';

const PAGE = 4096;

export interface PageReply {
  readonly header: Header;
  readonly bytes: Buffer;
}

export class PageClient {
  #received = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => {};

  /** @param socket connected; the client owns it */
  constructor(
    readonly socket: Socket,
    readonly layout: HeaderLayout = 24,
  ) {
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  static connect(port: number, layout?: HeaderLayout): PageClient {
    return new PageClient(connect(port, '127.0.0.1'), layout);
  }

  /** Sends one header. */
  send(header: Partial<Header>): void {
    const bytes = Buffer.alloc(this.layout);
    const full = { command: COMMAND.get, flags: 0, pageCount: 0, vaddr: 0n, id: 0n, ...header };
    writeHeader(bytes, full, this.layout);
    this.socket.write(bytes);
  }

  ask(pid: number, vaddr: bigint, pageCount: number): void {
    this.send({ id: BigInt(pid), vaddr, pageCount });
  }

  /** The next reply, or undefined at the end of the connection. */
  async reply(): Promise<PageReply | undefined> {
    const head = await this.read(this.layout);
    if (head === undefined) return undefined;
    const header = readHeader(head, this.layout);
    const bytes = await this.read(header.pageCount * PAGE);
    return bytes && { header, bytes };
  }

  /** Closes in order; resolves to the answer once the connection has ended. */
  async close(command: number = COMMAND.close): Promise<number | undefined> {
    this.send({ command });
    const answer = await this.read(4);
    this.socket.end();
    await this.end();
    return answer?.readInt32LE(0);
  }

  /** Waits for the end of the connection. */
  async end(): Promise<void> {
    while (!this.#ended) await this.#next();
  }

  async read(byteLength: number): Promise<Buffer | undefined> {
    while (this.#received.length < byteLength) {
      if (this.#ended) return undefined;
      await this.#next();
    }
    const bytes = this.#received.subarray(0, byteLength);
    this.#received = this.#received.subarray(byteLength);
    return bytes;
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
