/**
 * What `criu restore --lazy-pages` says over its socket: which tasks there are, each with its
 * userfaultfd, and when all of them are restored.
 *
 * Source: docs/criu.md, "The socket".
 */
import { ThawError } from '../errors.js';
import { type FdWatcher, native, type ReceivedMessage } from '../native.js';

/** Instead of a pid: every task is past its last stage. "FTSR" in memory. */
const RESTORED_WORD = 0x52535446;
const WORD_BYTES = 4;

/** One thing that was said. Descriptors belong to who is told. */
export type Announcement =
  | {
      readonly kind: 'task';
      /** The task's pid in the image and in its own pid namespace. */
      readonly pid: number;
      readonly uffd: number;
      /** Of the task, whatever namespace it is in; undefined where the kernel sends none. */
      readonly pidfd: number | undefined;
    }
  | { readonly kind: 'zombie'; readonly pid: number }
  | { readonly kind: 'restored' };

/** What the owner of a reader is told. */
export interface AnnouncementHandlers {
  announced(announcement: Announcement): void;
  /** Nothing follows: the peer hung up, or (with an error) said something senseless. */
  ended(error?: unknown): void;
}

/** Reads one connection, which it owns. Belongs to one thread. */
export class AnnouncementReader {
  readonly #fd: number;
  readonly #handlers: AnnouncementHandlers;
  readonly #watcher: FdWatcher;
  #word: number[] = [];
  /** The task whose descriptor comes next. */
  #pid: number | undefined;
  #open = true;

  constructor(fd: number, handlers: AnnouncementHandlers) {
    this.#fd = fd;
    this.#handlers = handlers;
    this.#watcher = new native.FdWatcher(fd, () => this.#drain());
  }

  /** Stops, without telling the handlers. Harmless when repeated. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watcher.close();
    native.closeFd(this.#fd);
  }

  #drain(): void {
    while (this.#open) {
      let message: ReceivedMessage | null | 'end';
      // A stream: one byte too many would swallow the descriptor of the next message.
      const wanted = this.#pid === undefined ? WORD_BYTES - this.#word.length : 1;
      try {
        message = native.receiveMessage(this.#fd, wanted);
        if (message === null) return;
        if (message === 'end') {
          this.#finish(this.#isBetween() ? undefined : malformed('it ended in the middle'));
        } else if (this.#pid === undefined) this.#takeWord(message);
        else this.#takeDescriptor(this.#pid, message);
      } catch (error) {
        this.#finish(toReceiveError(error));
      }
    }
  }

  #isBetween(): boolean {
    return this.#word.length === 0 && this.#pid === undefined;
  }

  #takeWord({ bytes, fds, pidfd }: ReceivedMessage): void {
    closeAll(fds, pidfd);
    if (fds.length > 0) throw malformed('a descriptor that belongs to no task');
    this.#word.push(...bytes);
    if (this.#word.length < WORD_BYTES) return;
    const word = Buffer.from(this.#word).readInt32LE();
    this.#word = [];
    if (word === RESTORED_WORD) this.#handlers.announced({ kind: 'restored' });
    else if (word < 0) this.#handlers.announced({ kind: 'zombie', pid: -word });
    else if (word > 0) this.#pid = word;
    else throw malformed('pid 0');
  }

  #takeDescriptor(pid: number, { fds, pidfd }: ReceivedMessage): void {
    const [uffd] = fds;
    this.#pid = undefined;
    if (uffd === undefined || fds.length > 1) {
      closeAll(fds, pidfd);
      throw malformed(`${fds.length} descriptors for task ${pid}`);
    }
    this.#handlers.announced({ kind: 'task', pid, uffd, pidfd });
  }

  #finish(error?: unknown): void {
    if (!this.#open) return;
    this.close();
    this.#handlers.ended(error);
  }
}

function closeAll(fds: readonly number[], pidfd: number | undefined): void {
  for (const fd of fds) native.closeFd(fd);
  if (pidfd !== undefined) native.closeFd(pidfd);
}

/** Of a stream, a message is cut for one reason only: its descriptors find no place. */
function toReceiveError(error: unknown): unknown {
  if (!(error instanceof ThawError && error.code === 'EMSGSIZE')) return error;
  return new ThawError('EMFILE', {
    what: 'a descriptor that came over the lazy-pages socket could not be received',
    hint: 'Raise the limit of open files (ulimit -n), or end some of the restores that are under way',
    cause: error,
  });
}

function malformed(found: string): ThawError {
  return new ThawError('HANDOFF_MALFORMED', {
    what: 'what came over the lazy-pages socket is not what criu restore sends',
    expected: 'pids, each with one userfaultfd',
    found,
    hint: 'Only `criu restore --lazy-pages` may connect to this socket',
  });
}
