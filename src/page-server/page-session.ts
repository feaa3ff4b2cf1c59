/** One client of a page server, from its first header to its end. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import { HeaderReader } from './header-reader.js';
import { PageReaders } from './page-readers.js';
import type { ServedPages } from './served-pages.js';
import {
  abortedError,
  lostError,
  notStored,
  refusedCommand,
  strayBytes,
  timedOut,
} from './session-errors.js';
import {
  CLOSE_REPLY_BYTES,
  COMMAND,
  FLAG_PRESENT,
  type Header,
  type HeaderLayout,
  writeHeader,
} from './wire.js';

/** Most pages of one reply, 4 MiB: as many as CRIU asks for. */
const REPLY_PAGES_MAX = 1024;
/** Bytes of replies that may wait for the client: with more, it is first waited for. */
const IN_FLIGHT_BYTES_MAX = 8 * 1024 * 1024;
/** Longest silence in the middle of a header, and after a close: a client that lives is not silent. */
const SILENCE_MS_MAX = 10_000;
/** Silence after which the kernel asks whether the client's machine is still there. */
const KEEP_ALIVE_MS = 60_000;
/** What is left of a 32-byte close that was taken for a 24-byte one. */
const CLOSE_REST = Buffer.alloc(8);

/** What a session works with. */
export interface SessionParts {
  readonly pages: ServedPages;
  /** Connected, handshakes done; the session owns it. */
  readonly socket: Socket;
  /** Undefined: the first request tells. */
  readonly headerLayout: HeaderLayout | undefined;
}

/**
 * A client of a page server. Its requests are answered in their order. Belongs to one thread.
 *
 * Between requests a client may be silent for as long as it likes; TCP's own probes find out when its
 * machine is gone.
 */
export class PageSession {
  /** Who it is: address and port, where the socket has them. */
  readonly peer: string;
  /**
   * Resolves once the client has closed the session in order and its connection has ended.
   *
   * Rejects, when the connection has ended, with PEER_REFUSED for whatever a client of this image does
   * not send, PAGE_NOT_STORED for a page that the image does not have, PEER_LOST when the client ended
   * without a close, TIMED_OUT when half a header or the end did not come, ABORTED after
   * {@link close}, and LZ4_CORRUPT, PAGES_TRUNCATED or IO_FAILED when the image cannot be read.
   */
  readonly finished: Promise<void>;
  readonly #socket: Socket;
  readonly #pages: ServedPages;
  readonly #headers: HeaderReader;
  readonly #readers = new PageReaders();
  #closeAnswered = false;
  #requestCount = 0;
  #pageCount = 0;

  constructor({ pages, socket, headerLayout }: SessionParts) {
    const { remoteAddress, remotePort } = socket;
    this.peer =
      remoteAddress === undefined ? 'the socket given' : `${remoteAddress} port ${remotePort}`;
    this.#socket = socket;
    this.#pages = pages;
    this.#headers = new HeaderReader(pages, headerLayout);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.finished = this.#run();
    this.finished.catch(() => {});
  }

  /** Requests answered so far. */
  get requestCount(): number {
    return this.#requestCount;
  }

  /** Pages sent so far, zero pages included. */
  get pageCount(): number {
    return this.#pageCount;
  }

  /** Layout of the client's headers, once it is known. */
  get headerLayout(): HeaderLayout | undefined {
    return this.#headers.layout;
  }

  /** Ends the session at once. */
  close(): void {
    this.#socket.destroy(abortedError());
  }

  #run(): Promise<void> {
    const socket = this.#socket;
    let failure: Error | undefined;
    socket.on('data', (chunk: Buffer) => {
      socket.pause();
      this.#take(chunk).then(
        () => socket.resume(),
        (error) => socket.destroy(error),
      );
    });
    socket.on('end', () => socket.setTimeout(SILENCE_MS_MAX));
    socket.on('timeout', () =>
      socket.destroy(timedOut(this.#closeAnswered, this.#headers.rest.length)),
    );
    socket.on('error', (error) => {
      failure = error;
    });
    return new Promise((resolve, reject) => {
      socket.on('close', () => {
        if (failure instanceof ThawError) reject(failure);
        else if (this.#closeAnswered) resolve();
        else reject(lostError(this.#headers.rest.length, failure));
      });
    });
  }

  /** Answers every request that is whole now. */
  async #take(chunk: Buffer): Promise<void> {
    this.#socket.setTimeout(0);
    this.#headers.push(chunk);
    while (!this.#closeAnswered && !this.#socket.destroyed) {
      const header = this.#headers.next();
      if (header === undefined) break;
      await this.#serve(header);
    }
    if (this.#closeAnswered) this.#checkRest();
    const waiting = this.#closeAnswered || this.#headers.rest.length > 0;
    if (waiting) this.#socket.setTimeout(SILENCE_MS_MAX);
  }

  async #serve(header: Header): Promise<void> {
    if (header.command === COMMAND.get) return this.#answer(header);
    const close = header.command === COMMAND.close || header.command === COMMAND.forceClose;
    if (!close) throw refusedCommand(header);
    this.#closeAnswered = true;
    this.#socket.write(Buffer.alloc(CLOSE_REPLY_BYTES));
  }

  /** Behind a close comes the end; where no request told the layout, first what a long one has more. */
  #checkRest(): void {
    const rest = this.#headers.rest;
    const allowed = this.headerLayout === undefined ? CLOSE_REST.length : 0;
    if (rest.length > allowed || !rest.equals(CLOSE_REST.subarray(0, rest.length))) {
      throw strayBytes(rest.length);
    }
  }

  /** Sends what the image has of the pages asked for, or as much of it as one reply takes. */
  async #answer(request: Header): Promise<void> {
    const { id, vaddr, pageCount } = request;
    const found = this.#pages.find(id, vaddr, Math.min(pageCount, REPLY_PAGES_MAX));
    if (found === undefined) throw notStored(request, this.#pages);
    const layout = this.#headers.layout as HeaderLayout;
    const reply = Buffer.alloc(layout + found.pageCount * PAGE_SIZE);
    const command = COMMAND.addWithFlags;
    writeHeader(
      reply,
      { command, flags: FLAG_PRESENT, pageCount: found.pageCount, vaddr, id },
      layout,
    );
    await this.#readers.read(found, reply.subarray(layout));
    this.#requestCount += 1;
    this.#pageCount += found.pageCount;
    await this.#send(reply, layout);
  }

  /**
   * Hands a reply to the client. Waits until it has taken all, if too much is on the way.
   *
   * Over TLS, header and pages get records of their own, which writes that wait together would share:
   * CRIU reads one of the two at a wake-up, and sleeps on what its TLS library has taken in with it.
   */
  async #send(reply: Buffer, headerBytes: HeaderLayout): Promise<void> {
    if (this.#socket instanceof TLSSocket) {
      await this.#write(reply.subarray(0, headerBytes));
      return this.#write(reply.subarray(headerBytes));
    }
    const taken = this.#write(reply);
    if (this.#socket.writableLength > IN_FLIGHT_BYTES_MAX) await taken;
  }

  /** Resolves once the kernel has the bytes, or the connection has ended. */
  #write(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => this.#socket.write(bytes, () => resolve()));
  }
}
