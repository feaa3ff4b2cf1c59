/**
 * The one loader of the addon, and the typed contract of what it exports.
 *
 * All calls run on the calling JavaScript thread and are short; whatever can wait is said so. Failed
 * system calls throw a {@link ThawError} whose `code` is the errno's name.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { systemError, ThawError } from './errors.js';

/** A message with the descriptors that came along. The receiver owns them (close-on-exec is set). */
export interface ReceivedMessage {
  readonly bytes: Uint8Array;
  readonly fds: readonly number[];
}

/** A peer that connected to a listening socket. */
export interface AcceptedPeer {
  /** The connection; the caller owns it. */
  readonly fd: number;
  /** Who connected, by SO_PEERCRED: the pid as this process's namespace has it, or 0. */
  readonly pid: number;
  readonly uid: number;
}

/**
 * Calls `callback(errno)` on this thread's event loop again and again while `fd` is readable or hung
 * up (errno 0), or once with an errno when it cannot be watched any more (EBADF where poll(2)
 * answers POLLERR); after an errno the watcher is closed.
 *
 * Does not own `fd`: close the watcher first, then the descriptor. Sets O_NONBLOCK on the open file.
 * One watcher a descriptor and thread (EEXIST). Keeps the event loop alive unless `unref()` is
 * called. May be closed inside its own callback; ends by itself with its thread.
 */
export interface FdWatcher {
  ref(): void;
  unref(): void;
  /** Ends the calls at once. Harmless when repeated. */
  close(): void;
}

/** The kernel's answer to a call that may do part of its work. `errno` is positive, or 0. */
export interface RawResult {
  readonly bytes: number;
  readonly errno: number;
}

/** Messages as read(2) gave them, 32 bytes each, and the descriptors of the fork messages in order. */
export interface RawMessages {
  readonly messages: Uint8Array;
  readonly children: readonly UffdHandle[];
}

/**
 * Owner of one userfaultfd: closed by `close()`, by garbage collection, or with its thread.
 *
 * Every operation is one system call; errnos are returned, not thrown, unless said otherwise. Used by
 * the class `Uffd`, which checks arguments and gives the answers their types.
 */
export interface UffdHandle {
  /** The descriptor, or -1 once closed or released. */
  readonly fd: number;
  /** Gives the descriptor up to the caller. */
  release(): number;
  close(): void;
  isNonBlocking(): boolean;
  /** What poll(2) says at once: the events that are ready, such as POLLIN (1) and POLLERR (8). */
  poll(): number;
  /** Up to `max` (at most 4096) messages, null where none waits. Throws what read(2) fails with. */
  read(max: number): RawMessages | null;
  api(features: bigint): { errno: number; features: bigint; ioctls: bigint };
  register(start: bigint, byteLength: number, mode: bigint): { errno: number; ioctls: bigint };
  unregister(start: bigint, byteLength: number): number;
  wake(start: bigint, byteLength: number): number;
  writeProtect(start: bigint, byteLength: number, mode: bigint): number;
  /** `source`: bytes, or an address in this process. */
  copy(start: bigint, source: Uint8Array | bigint, byteLength: number, mode: bigint): RawResult;
  move(start: bigint, source: bigint, byteLength: number, mode: bigint): RawResult;
  zeropage(start: bigint, byteLength: number, mode: bigint): RawResult;
  continue(start: bigint, byteLength: number, mode: bigint): RawResult;
  poison(start: bigint, byteLength: number, mode: bigint): RawResult;
}

/** What an operation on a mapping did: bytes done, and the errno or the signal that ended it. */
export interface RawOutcome extends RawResult {
  /** SIGBUS (7) or SIGSEGV (11), which became an outcome, or 0. */
  readonly signal: number;
}

/**
 * Owner of one range of this process's memory. Spans are byte offsets inside it (RangeError outside).
 *
 * Methods that return a promise run on threads of the addon and never keep the JavaScript thread or
 * libuv's threads waiting. Used by the class `Mapping`.
 */
export interface MappingHandle {
  readonly vaddr: bigint;
  /** The memfd of a shared mapping (stays the mapping's), or -1. */
  readonly memfd: number;
  read(offset: number, byteLength: number): Promise<RawOutcome & { readonly data: Uint8Array }>;
  write(offset: number, bytes: Uint8Array): Promise<RawOutcome>;
  touch(offset: number, byteLength: number): Promise<RawOutcome>;
  /** madvise(2). */
  advise(offset: number, byteLength: number, advice: number): Promise<RawOutcome>;
  /** madvise(2) on this thread, for advice of which no page handler hears. An errno, or 0. */
  adviseNow(offset: number, byteLength: number, advice: number): number;
  /** mprotect(2). */
  protect(offset: number, byteLength: number, protection: number): Promise<RawOutcome>;
  /** munmap(2) of the whole, after every operation begun before. Nothing may be begun after it. */
  unmap(): Promise<RawOutcome>;
}

/** What the addon exports. */
export interface NativeAddon {
  /** Opens a userfaultfd by userfaultfd(2) or /dev/userfaultfd: a descriptor, or a negated errno. */
  uffdOpen(flags: number, viaDevice: boolean): number;
  /** Adopts a descriptor. */
  UffdHandle: new (
    fd: number,
  ) => UffdHandle;
  /**
   * Maps memory. `vaddr` 0 lets the kernel choose; `protection` is PROT_* of mmap(2); `memfd` -1 is
   * anonymous private memory, else a shared mapping of (a duplicate of) that memfd.
   *
   * @throws EEXIST when `vaddr` is given and taken.
   */
  MappingHandle: new (
    vaddr: bigint,
    byteLength: number,
    protection: number,
    memfd: number,
  ) => MappingHandle;
  /**
   * A connected pair of AF_UNIX sockets, close-on-exec: SOCK_SEQPACKET, or with `stream` SOCK_STREAM.
   * The caller owns both.
   *
   * Source: socketpair(2), unix(7).
   */
  socketpair(stream?: boolean): [number, number];
  /**
   * Sends one message without waiting, with up to 253 descriptors attached (duplicates: the caller
   * keeps its own). `bytes` may not be empty. True when sent, false when the socket is full (EAGAIN).
   *
   * @throws EPIPE or ECONNRESET when the peer is gone (never SIGPIPE).
   */
  sendMessage(fd: number, bytes: Uint8Array, fds: readonly number[]): boolean;
  /**
   * Receives one message without waiting: null when none is there, `'end'` when the peer hung up. Of
   * a stream, up to `maxBytes` bytes.
   *
   * @throws EMSGSIZE when the message is longer than `maxBytes` or its descriptors did not all
   * arrive; those that did are closed.
   */
  receiveMessage(fd: number, maxBytes: number): ReceivedMessage | null | 'end';
  /**
   * The first `byteLength` bytes that wait in a stream, or as many as there are, without waiting and
   * without taking them.
   */
  peekBytes(fd: number, byteLength: number): Uint8Array;
  /** Ends what this side of a socket sends: the peer reads an end, and can still send. */
  shutdownSend(fd: number): void;
  /**
   * A stream socket that listens at `path` (at most 107 bytes) with mode 0600; a name that nobody
   * listens at any more is replaced. The caller owns it, and watches it with an `FdWatcher`.
   *
   * @throws EADDRINUSE when another socket is bound there.
   */
  unixListen(path: string): number;
  /** The next peer that waits at a listening socket, or null. */
  unixAccept(fd: number): AcceptedPeer | null;
  /**
   * Connects to a numeric address, in `limitMs` milliseconds at most: the connected descriptor
   * (close-on-exec, non-blocking), which the caller owns, or a negated errno.
   */
  connectTcp(address: string, port: number, limitMs: number): Promise<number>;
  FdWatcher: new (fd: number, callback: (errno: number) => void) => FdWatcher;
  /** A memfd of `byteLength` zero bytes, close-on-exec, not sealed. The caller owns it. */
  createMemfd(name: string, byteLength: number): number;
  /** A memfd of all `parts` in a row, sealed for ever against writing and resizing. */
  createSealedMemfd(name: string, parts: readonly Uint8Array[]): number;
  /** A descriptor of a process, close-on-exec; readable once the process ends. The caller owns it. */
  pidfdOpen(pid: number): number;
  /** Sends a signal (a number of `os.constants.signals`, 0 to ask): false when the process is gone. */
  pidfdSendSignal(pidfd: number, signal: number): boolean;
  /**
   * Gives the file's bytes back to the file system: they read as zeros, its size stays.
   *
   * @throws EOPNOTSUPP where the file system cannot, EBADF for a descriptor that is not writable.
   */
  punchHole(fd: number, offset: number, byteLength: number): void;
  /**
   * Locks the open file for this process, as flock(2) does without waiting; the kernel gives the lock
   * up when the descriptor closes, however the process ends. False when another open file has it.
   */
  tryLock(fd: number): boolean;
  /**
   * Closes a descriptor. Nothing else may close those of {@link socketpair} (of packets),
   * {@link receiveMessage}, {@link createMemfd}, {@link createSealedMemfd} and {@link pidfdOpen}:
   * what is left of them is closed when this JavaScript thread ends, however it does.
   *
   * @throws EBADF when it is not open.
   */
  closeFd(fd: number): void;
}

interface RawAddon extends NativeAddon {
  setErrorFactory(factory: (syscall: string, errno: number) => Error): void;
}

/** Where the addon lies, from src/ and dist/ alike. */
const ADDON_PATH = fileURLToPath(new URL('../build/Release/thaw.node', import.meta.url));

function load(): NativeAddon {
  let addon: RawAddon;
  try {
    addon = createRequire(import.meta.url)(ADDON_PATH) as RawAddon;
  } catch (cause) {
    throw new ThawError('NATIVE_MISSING', {
      what: 'the native addon cannot be loaded',
      expected: `a file ${ADDON_PATH} built for Node ${process.version} on Linux x86-64`,
      found: String(cause).split('\n', 1).join(),
      hint: [
        'Causes and fixes:',
        '- installed with --ignore-scripts: run `npm rebuild thaw-restore`',
        '- no compiler when it was installed: get g++, make and python3, then `npm rebuild`',
        '- liblz4, libdeflate or a header of theirs is missing: get liblz4-dev and libdeflate-dev, ' +
          'then `npm rebuild`',
        '- node_modules came from another machine or another Node: run `npm rebuild`',
        '- in a clone of the sources: run `npm run build:native`',
      ].join('\n'),
      cause,
    });
  }
  addon.setErrorFactory((syscall, errno) => systemError({ syscall, errno }));
  return addon;
}

/** What the addon exports, once it is loaded. */
const exported = {} as NativeAddon;
let loaded = false;

/**
 * Loads the addon for this thread, unless it is there: for who would otherwise begin what cannot end.
 *
 * @returns its path
 * @throws ThawError NATIVE_MISSING
 */
export function loadAddon(): string {
  if (!loaded) Object.assign(exported, load());
  loaded = true;
  return ADDON_PATH;
}

/**
 * The addon of this thread, loaded when it is first used: what needs nothing of it works without it.
 *
 * @throws ThawError NATIVE_MISSING from every use, where it cannot be loaded
 */
export const native: NativeAddon = new Proxy(exported, {
  get(target, name) {
    loadAddon();
    return Reflect.get(target, name);
  },
});
