/**
 * The socket that `criu restore --lazy-pages` looks for in its work directory.
 */
import {
  closeSync,
  constants,
  type FSWatcher,
  lstatSync,
  openSync,
  type Stats,
  unlinkSync,
  watch,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { ThawError } from '../errors.js';
import { type AcceptedPeer, type FdWatcher, native } from '../native.js';

/** Its name, which CRIU fixes. */
const SOCKET_NAME = 'lazy-pages.socket';

const ROOT = 0;

/** What the owner of a socket is told. */
export interface SocketHandlers {
  /**
   * A peer connected; its descriptor belongs to the handler. Others wait until what is returned
   * resolves, which it must: each takes descriptors meanwhile.
   */
  connected(peer: AcceptedPeer): Promise<void>;
  /** A peer was turned away (PEER_REFUSED), or could not be accepted. */
  refused(error: unknown): void;
  /** The name is another's now, or gone (SOCKET_UNAVAILABLE): nobody can connect any more. */
  displaced(error: ThawError): void;
}

/** A listening socket. Owns its descriptor and its name. Belongs to one thread. */
export class LazyPagesSocket {
  /** Where it is. */
  readonly path: string;
  readonly #fd: number;
  readonly #inode: bigint;
  readonly #handlers: SocketHandlers;
  #watcher: FdWatcher;
  #acceptRetry: NodeJS.Timeout | undefined;
  readonly #nameWatcher: FSWatcher | undefined;
  #open = true;

  private constructor(path: string, fd: number, handlers: SocketHandlers) {
    this.path = path;
    this.#fd = fd;
    this.#inode = inodeOf(path);
    this.#handlers = handlers;
    this.#watcher = this.#watch();
    this.#nameWatcher = watchName(path, () => {
      if (!this.#open || this.#hasName()) return;
      // Whoever takes a name removes it first: which of the two it was shows a moment later.
      this.#nameWatcher?.close();
      setTimeout(() => {
        if (this.#open && !this.#hasName()) handlers.displaced(displacedError(path));
      }, TAKING_MS);
    });
  }

  /**
   * Listens in `workDirectory`, in place of a name that was left behind. Only this user and root may
   * connect.
   *
   * @throws SOCKET_UNAVAILABLE when there is no such directory, when another daemon listens there, or
   * when the name is another's.
   */
  static listen(workDirectory: string, handlers: SocketHandlers): LazyPagesSocket {
    const path = join(workDirectory, SOCKET_NAME);
    let directory: number;
    try {
      directory = openSync(workDirectory, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (cause) {
      throw new ThawError('SOCKET_UNAVAILABLE', {
        what: 'the work directory cannot be opened',
        found: errnoOf(cause),
        where: workDirectory,
        hint: 'Give the directory that `criu restore` gets with -W (or -D) here too',
        cause,
      });
    }
    try {
      checkName(path);
      // Through the descriptor, so that a deep directory does not exceed what an address holds.
      const fd = native.unixListen(`/proc/self/fd/${directory}/${SOCKET_NAME}`);
      return new LazyPagesSocket(path, fd, handlers);
    } catch (error) {
      throw error instanceof ThawError && error.code === 'SOCKET_UNAVAILABLE'
        ? error
        : listenError(path, error);
    } finally {
      closeSync(directory);
    }
  }

  /** Stops listening and removes the name, if it is still this socket's. Harmless when repeated. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watcher.close();
    clearTimeout(this.#acceptRetry);
    this.#nameWatcher?.close();
    native.closeFd(this.#fd);
    if (this.#hasName()) unlinkSync(this.path);
  }

  #hasName(): boolean {
    return statOf(this.path)?.ino === Number(this.#inode);
  }

  #watch(): FdWatcher {
    return new native.FdWatcher(this.#fd, () => this.#accept());
  }

  /** Looks again later: whoever could not be accepted still waits. Told once, until somebody is. */
  #retryAccept(cause: unknown): void {
    if (this.#acceptRetry === undefined) this.#handlers.refused(acceptError(this.path, cause));
    this.#watcher.close();
    this.#acceptRetry = setTimeout(() => {
      this.#watcher = this.#watch();
    }, ACCEPT_RETRY_MS);
  }

  #accept(): void {
    let peer: AcceptedPeer | null;
    try {
      peer = native.unixAccept(this.#fd);
    } catch (error) {
      this.#retryAccept(error);
      return;
    }
    if (peer === null) return;
    this.#acceptRetry = undefined;
    if (peer.uid !== ROOT && peer.uid !== process.getuid?.()) {
      native.closeFd(peer.fd);
      this.#handlers.refused(strangerError(peer, this.path));
      return;
    }
    this.#watcher.close();
    this.#handlers.connected(peer).finally(() => {
      if (this.#open) this.#watcher = this.#watch();
    });
  }
}

/** What another daemon needs at most from the removal of a name to its own. */
const TAKING_MS = 200;

/** Before an accept that failed is tried again, for want of a descriptor as a rule. */
const ACCEPT_RETRY_MS = 500;

function acceptError(path: string, cause: unknown): ThawError {
  const { code = 'SYSCALL_FAILED' } = cause as Partial<ThawError>;
  return new ThawError(code, {
    what: 'a peer cannot be accepted, and waits',
    found: code,
    where: path,
    hint: 'Where no descriptor is left, raise the limit of open files (ulimit -n), or end some peers',
    cause,
  });
}

function strangerError({ uid, pid }: AcceptedPeer, path: string): ThawError {
  return new ThawError('PEER_REFUSED', {
    what: 'another user connected to the lazy-pages socket',
    expected: `user ${process.getuid?.()} or root`,
    found: `user ${uid}, pid ${pid}`,
    where: path,
  });
}

/** Calls `changed` whenever the name may be another's; never, where the kernel has no watch left. */
function watchName(path: string, changed: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(dirname(path), { persistent: false }, (_, name) => {
      if (name === null || name === SOCKET_NAME) changed();
    });
    return watcher.on('error', () => {});
  } catch {
    return undefined;
  }
}

function displacedError(path: string): ThawError {
  const gone = statOf(path) === undefined;
  return new ThawError('SOCKET_UNAVAILABLE', {
    what: `the lazy-pages socket was ${gone ? 'removed' : 'replaced'} while it was waited at`,
    where: path,
    hint: gone
      ? 'Start the daemon again when nothing clears its work directory'
      : 'Another daemon took the name (`criu lazy-pages` does so unasked): end one of the two',
  });
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function inodeOf(path: string): bigint {
  return lstatSync(path, { bigint: true }).ino;
}

function errnoOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error);
}

/** Only a socket is replaced: whatever else has this name is somebody's file. */
function checkName(path: string): void {
  const stats = statOf(path);
  if (stats === undefined || stats.isSocket()) return;
  throw new ThawError('SOCKET_UNAVAILABLE', {
    what: 'the name of the lazy-pages socket is taken by something else',
    where: path,
    hint: 'Remove it, or give another work directory with -W to both sides',
  });
}

function listenError(path: string, cause: unknown): ThawError {
  const owner = statOf(path)?.uid;
  const inUse = errnoOf(cause) === 'EADDRINUSE';
  return new ThawError('SOCKET_UNAVAILABLE', {
    what: inUse
      ? 'another lazy-pages daemon listens in this directory'
      : 'the lazy-pages socket cannot be made',
    found: owner === undefined ? errnoOf(cause) : `${errnoOf(cause)}, a socket of user ${owner}`,
    where: path,
    hint: inUse
      ? 'End it, or give another work directory with -W to both sides'
      : 'The directory must be writable; -W names another one, for both sides',
    cause,
  });
}
