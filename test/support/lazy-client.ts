/** A client of a lazy-pages socket, in the place of `criu restore`: says what a test has it say. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { ThawError } from '../../src/errors.js';
import { native } from '../../src/native.js';

/** Instead of a pid: all tasks are restored. */
const RESTORED = 0x52535446;

export class LazyClient {
  readonly #socket: Socket;
  readonly #fd: number;
  /** Resolves when the server has hung up. */
  readonly ended: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    // Node has no other way to a socket's descriptor.
    this.#fd = (socket as unknown as { _handle: { fd: number } })._handle.fd;
    this.ended = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {}).resume();
  }

  /** Connects; waits, as a blocking socket does, while too many others do. */
  static async connect(path: string): Promise<LazyClient> {
    for (;;) {
      const socket = connect(path);
      try {
        await once(socket, 'connect');
        return new LazyClient(socket);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      }
    }
  }

  /** Says it, unless the server has hung up already. */
  send(bytes: Uint8Array, fds: readonly number[] = []): void {
    try {
      native.sendMessage(this.#fd, bytes, fds);
    } catch (error) {
      if (!['EPIPE', 'ECONNRESET'].includes((error as ThawError).code)) throw error;
    }
  }

  /** A word, or as many of its bytes. */
  word(value: number, byteLength = 4): void {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    this.send(bytes.subarray(0, byteLength));
  }

  /** A task as `criu restore` announces it, with any number of descriptors. */
  announce(pid: number, ...fds: readonly number[]): void {
    this.word(pid);
    this.send(Uint8Array.of(0), fds);
  }

  restored(): void {
    this.word(RESTORED);
  }

  hangUp(): void {
    this.#socket.destroy();
  }
}
