/**
 * A packet socket to one of our native processes: packets in, packets out, descriptors with them.
 */
import { ThawError } from '../errors.js';
import { type FdWatcher, native, type ReceivedMessage } from '../native.js';

/** What the owner of a channel is told. */
export interface ChannelHandlers {
  /** A packet came; its descriptors belong to the handler. */
  message(message: ReceivedMessage): void;
  /** The peer is gone or the socket failed; called once, nothing follows. */
  end(error?: unknown): void;
}

/**
 * The near end of a SOCK_SEQPACKET pair. Owns its descriptor.
 *
 * Runs on the event loop of the thread that made it.
 */
export class Channel {
  readonly #fd: number;
  readonly #watcher: FdWatcher;
  readonly #handlers: ChannelHandlers;
  readonly #packetBytesMax: number;
  #open = true;

  constructor(fd: number, packetBytesMax: number, handlers: ChannelHandlers) {
    this.#fd = fd;
    this.#packetBytesMax = packetBytesMax;
    this.#handlers = handlers;
    this.#watcher = new native.FdWatcher(fd, () => this.#drain());
  }

  /** Whether the peer was still there when last heard of. */
  get open(): boolean {
    return this.#open;
  }

  /**
   * Sends one packet; false when the socket is full or the peer is gone.
   *
   * @throws EBADF when one of `fds` is not open; the channel is none the worse for it.
   */
  send(bytes: Uint8Array, fds: readonly number[] = []): boolean {
    if (!this.#open) return false;
    try {
      return native.sendMessage(this.#fd, bytes, fds);
    } catch (error) {
      if (error instanceof ThawError && error.code === 'EBADF') throw error;
      this.#finish(error);
      return false;
    }
  }

  /** Whether a wait for packets keeps the event loop alive. */
  keepAlive(wanted: boolean): void {
    if (!this.#open) return;
    if (wanted) this.#watcher.ref();
    else this.#watcher.unref();
  }

  /** Says that no more will be sent. What the peer still sends, and its end, are told. */
  finishSending(): void {
    if (!this.#open) return;
    native.shutdownSend(this.#fd);
    this.keepAlive(true);
  }

  /** Closes without telling the handlers. Harmless when repeated. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watcher.close();
    native.closeFd(this.#fd);
  }

  #drain(): void {
    while (this.#open) {
      let message: ReceivedMessage | null | 'end';
      try {
        message = native.receiveMessage(this.#fd, this.#packetBytesMax);
      } catch (error) {
        this.#finish(error);
        return;
      }
      if (message === null) return;
      if (message === 'end') {
        this.#finish();
        return;
      }
      this.#handlers.message(message);
    }
  }

  #finish(error?: unknown): void {
    if (!this.#open) return;
    this.close();
    this.#handlers.end(error);
  }
}
