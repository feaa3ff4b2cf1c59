/**
 * One userfaultfd as an object.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { formatRange, formatVaddr, PAGE_SIZE, USER_SPACE_END } from '../address.js';
import { systemError, ThawError } from '../errors.js';
import { native, type UffdHandle } from '../native.js';
import { checkWaitLimits, Readiness, type WaitLimits } from '../readiness.js';
import { FlagSet } from './flag-set.js';
import {
  ContinueMode,
  CopyMode,
  MoveMode,
  PoisonMode,
  UffdFeature,
  type UffdFeatures,
  UffdIoctl,
  type UffdIoctls,
  WriteProtectMode,
  ZeropageMode,
} from './flags.js';
import { IoctlResult } from './ioctl-result.js';
import { decodeMessages, type ForkEvent, type PlainEvent } from './uffd-event.js';
import type {
  InstallOptions,
  MemorySpan,
  MoveOptions,
  PollResult,
  WakeOptions,
} from './uffd-options.js';

/** An event read from a {@link Uffd}. */
export type UffdEvent = PlainEvent | ForkEvent<Uffd>;

/** Which way a userfaultfd was opened. */
export type UffdOpener = 'syscall' | 'device';

const POLLIN = 1;
const POLLERR = 8;

/** Messages asked for by one read of {@link Uffd.readEvents}. */
const READ_MESSAGES_DEFAULT = 64;
/** Bounds the buffer of one read: 128 KiB of messages. */
const READ_MESSAGES_MAX = 4096;

/** The kernel's own bit in the features that fdinfo shows: UFFDIO_API has been done. */
const FEATURE_INITIALIZED = 1n << 31n;

/**
 * A userfaultfd: tells of page faults and other events in the address space that it was made in (the
 * target), and resolves them.
 *
 * Made by {@link UffdBuilder}, adopted by {@link Uffd.fromFd}, or carried by a fork event. Owns its
 * descriptor: closed by {@link Uffd.close} or `using`, and at the latest by garbage collection or the
 * end of the thread. Closing the last descriptor of a userfaultfd lets waiting threads go on, and
 * missing pages read as zeros from then on.
 *
 * Calls are single system calls that do not wait (reading a blocking descriptor apart) and belong to
 * the thread that made the object. Ranges must start and end on page borders (checked before the
 * call) and lie in one mapping each. After close every call throws UFFD_CLOSED.
 *
 * Source: userfaultfd(2), ioctl_userfaultfd(2).
 *
 * @example
 * using uffd = new UffdBuilder().closeOnExec(true).nonBlocking(true).create();
 * uffd.register(mapping.vaddr, mapping.byteLength, RegisterMode.MISSING);
 * for await (const event of uffd) {
 *   if (event.type === 'pagefault') uffd.copy(event.vaddr, page).orThrow();
 * }
 */
export class Uffd {
  readonly #handle: UffdHandle;
  readonly #readiness: Readiness;
  /** How the builder opened it; undefined where the descriptor came from elsewhere. */
  readonly openedBy: UffdOpener | undefined;

  /** @internal Takes a handle over; programs use {@link UffdBuilder} or {@link Uffd.fromFd}. */
  constructor(handle: UffdHandle, openedBy?: UffdOpener) {
    this.#handle = handle;
    this.#readiness = new Readiness(handle.fd);
    this.openedBy = openedBy;
  }

  /**
   * Adopts a descriptor, received from another process for example, that went through UFFDIO_API
   * there. From now on the object owns it.
   *
   * @throws ThawError INVALID_ARGUMENT when it is not a userfaultfd; it then stays the caller's.
   */
  static fromFd(fd: number): Uffd {
    let found: string;
    try {
      found = readlinkSync(`/proc/self/fd/${fd}`);
    } catch (cause) {
      throw notUffd(fd, 'no open descriptor', cause);
    }
    if (found !== 'anon_inode:[userfaultfd]') throw notUffd(fd, found);
    return new Uffd(new native.UffdHandle(fd));
  }

  /** The descriptor, which stays the object's. */
  get fd(): number {
    return this.#live().fd;
  }

  /** True once closed or given up. */
  get closed(): boolean {
    return this.#handle.fd < 0;
  }

  /** O_NONBLOCK is set: `poll`, `for await` and page servers work. */
  get nonBlocking(): boolean {
    return this.#live().isNonBlocking();
  }

  /**
   * True once the target's address space is gone: it ended or called execve(2). No event tells so and
   * poll(2) stays silent; this asks the kernel, by a call that changes nothing.
   */
  get targetGone(): boolean {
    const last = USER_SPACE_END - BigInt(PAGE_SIZE);
    return this.writeProtect(last, PAGE_SIZE, false, { wake: false }).code === 'ESRCH';
  }

  /** Features that are on. Read from the kernel (fdinfo), so true of adopted descriptors too. */
  get features(): UffdFeatures {
    return this.#describe().features;
  }

  /** Ioctls that this kernel knows; which of them a range can do, {@link Uffd.register} tells. */
  get ioctls(): UffdIoctls {
    return this.#describe().ioctls;
  }

  /** Gives the descriptor up to the caller, open; the object then counts as closed. */
  intoFd(): number {
    this.#live();
    this.#readiness.close();
    return this.#handle.release();
  }

  /** Closes the descriptor and ends the waits on it. Harmless when repeated. */
  close(): void {
    this.#readiness.close();
    this.#handle.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Registers a range for the faults named in `modes` (bits of {@link RegisterMode}).
   *
   * @returns the ioctls that work on this range.
   * @throws ThawError EINVAL (memory of a kind that cannot be registered, or a mode the kernel lacks),
   * EBUSY (registered with another userfaultfd), EPERM (a read-only shared memfd), ENOMEM, ESRCH.
   */
  register(vaddr: bigint, byteLength: number, modes: bigint): UffdIoctls {
    const handle = this.#checked(vaddr, byteLength);
    const { errno, ioctls } = handle.register(vaddr, byteLength, modes);
    checkErrno('UFFDIO_REGISTER', errno, vaddr, byteLength);
    return new FlagSet(UffdIoctl, ioctls);
  }

  /** Ends the registration: waiting threads go on, and missing pages are zeros. */
  unregister(vaddr: bigint, byteLength: number): void {
    const errno = this.#checked(vaddr, byteLength).unregister(vaddr, byteLength);
    checkErrno('UFFDIO_UNREGISTER', errno, vaddr, byteLength);
  }

  /** Wakes the threads that wait for pages of the range. A page still missing faults again. */
  wake(vaddr: bigint, byteLength: number): void {
    const errno = this.#checked(vaddr, byteLength).wake(vaddr, byteLength);
    checkErrno('UFFDIO_WAKE', errno, vaddr, byteLength);
  }

  /**
   * Installs copies of whole pages at `vaddr` and on. `source` is bytes, or a span of this process's
   * memory, which must not itself wait for this thread to resolve it.
   *
   * Codes: EEXIST (a page is there: none installed), EAGAIN (with bytes: pages before a present one;
   * without: an event must be read first), ENOENT (not registered, or across the border of a
   * mapping), ESRCH (the target is gone), EFAULT (the source cannot be read), ENOMEM.
   */
  copy(vaddr: bigint, source: Uint8Array | MemorySpan, options: InstallOptions = {}): IoctlResult {
    const { byteLength } = source;
    const from = source instanceof Uint8Array ? source : source.vaddr;
    const mode = installMode(CopyMode, options);
    const raw = this.#checked(vaddr, byteLength).copy(vaddr, from, byteLength, mode);
    return new IoctlResult(raw, 'UFFDIO_COPY', vaddr, byteLength);
  }

  /** Installs zero pages. Codes as for {@link Uffd.copy}. */
  zeropage(vaddr: bigint, byteLength: number, options: WakeOptions = {}): IoctlResult {
    const mode = wakeMode(ZeropageMode, options);
    const raw = this.#checked(vaddr, byteLength).zeropage(vaddr, byteLength, mode);
    return new IoctlResult(raw, 'UFFDIO_ZEROPAGE', vaddr, byteLength);
  }

  /**
   * Maps the pages that the memfd behind the range already holds (the answer to a minor fault).
   *
   * Codes: EEXIST (mapped already), EFAULT (the memfd does not hold the page), else as for copy.
   */
  continue(vaddr: bigint, byteLength: number, options: InstallOptions = {}): IoctlResult {
    const mode = installMode(ContinueMode, options);
    const raw = this.#checked(vaddr, byteLength).continue(vaddr, byteLength, mode);
    return new IoctlResult(raw, 'UFFDIO_CONTINUE', vaddr, byteLength);
  }

  /** Marks pages as lost: who touches one gets SIGBUS. Linux 6.6. Codes as for {@link Uffd.copy}. */
  poison(vaddr: bigint, byteLength: number, options: WakeOptions = {}): IoctlResult {
    const mode = wakeMode(PoisonMode, options);
    const raw = this.#checked(vaddr, byteLength).poison(vaddr, byteLength, mode);
    return new IoctlResult(raw, 'UFFDIO_POISON', vaddr, byteLength);
  }

  /**
   * Moves pages without copying from `sourceVaddr`, in the target as well, to `vaddr`. Linux 6.8.
   *
   * Codes: EEXIST, ENOENT (a hole in the source), EBUSY (a page is shared or pinned), EINVAL (the
   * mappings do not match), EAGAIN.
   */
  move(
    vaddr: bigint,
    sourceVaddr: bigint,
    byteLength: number,
    options: MoveOptions = {},
  ): IoctlResult {
    checkRange(sourceVaddr, byteLength);
    let mode = wakeMode(MoveMode, options);
    if (options.allowSourceHoles === true) mode |= MoveMode.ALLOW_SRC_HOLES;
    const raw = this.#checked(vaddr, byteLength).move(vaddr, sourceVaddr, byteLength, mode);
    return new IoctlResult(raw, 'UFFDIO_MOVE', vaddr, byteLength);
  }

  /**
   * Write-protects the range, or (`protect` false) takes the protection away and wakes the writers.
   * The kernel reports no bytes: it is all or nothing. `wake` matters for taking away only.
   *
   * Codes: EAGAIN (an event must be read first), ENOENT (not registered with RegisterMode.WP).
   */
  writeProtect(
    vaddr: bigint,
    byteLength: number,
    protect: boolean,
    options: WakeOptions = {},
  ): IoctlResult {
    const mode = protect ? WriteProtectMode.WP : wakeMode(WriteProtectMode, options);
    const errno = this.#checked(vaddr, byteLength).writeProtect(vaddr, byteLength, mode);
    const raw = { bytes: errno === 0 ? byteLength : 0, errno };
    return new IoctlResult(raw, 'UFFDIO_WRITEPROTECT', vaddr, byteLength);
  }

  /**
   * Waits on the event loop until an event can be read, or until `limits` end the wait (`timeoutMs` 0
   * only asks).
   *
   * A blocking descriptor answers POLLERR at once. Closing rejects with UFFD_CLOSED, a `timeoutMs` out
   * of range with INVALID_ARGUMENT.
   */
  async poll(limits: WaitLimits = {}): Promise<PollResult> {
    checkWaitLimits(limits);
    const now = this.#pollNow();
    if (now.ready === 1 || limits.timeoutMs === 0) return now;
    const state = await this.#readiness.wait(limits);
    if (state === 'closed') throw closedError();
    return this.#pollNow();
  }

  /** The next event, or null when none waits (a blocking descriptor waits for one, thread and all). */
  readEvent(): UffdEvent | null {
    return this.readEvents(1)[0] ?? null;
  }

  /**
   * Up to `max` events by one read(2), oldest first but page faults before all others; empty when
   * none waits.
   *
   * @param max 1 to 4096. @default 64
   */
  readEvents(max: number = READ_MESSAGES_DEFAULT): UffdEvent[] {
    if (!Number.isInteger(max) || max < 1 || max > READ_MESSAGES_MAX) {
      throw new ThawError('INVALID_ARGUMENT', {
        what: 'the number of events is out of range',
        expected: `1 to ${READ_MESSAGES_MAX}`,
        found: `${max}`,
      });
    }
    const raw = this.#live().read(max);
    return raw === null ? [] : decodeMessages(raw, (child) => new Uffd(child));
  }

  /**
   * Events as they come, read one at a time so that none is lost when the loop is left. Ends when the
   * object is closed; the target's exit sends no event.
   *
   * @throws ThawError INVALID_ARGUMENT on a blocking descriptor, which the kernel does not poll.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<UffdEvent, void, undefined> {
    if (!this.nonBlocking) throw blockingError();
    while (!this.closed) {
      const event = this.readEvent();
      if (event !== null) yield event;
      else await this.#readiness.wait();
    }
  }

  #live(): UffdHandle {
    if (this.#handle.fd < 0) throw closedError();
    return this.#handle;
  }

  #checked(vaddr: bigint, byteLength: number): UffdHandle {
    checkRange(vaddr, byteLength);
    return this.#live();
  }

  #pollNow(): PollResult {
    const events = this.#live().poll();
    return {
      ready: events === 0 ? 0 : 1,
      readable: (events & POLLIN) !== 0,
      error: (events & POLLERR) !== 0,
    };
  }

  #describe(): { features: UffdFeatures; ioctls: UffdIoctls } {
    const text = readFileSync(`/proc/self/fdinfo/${this.fd}`, 'latin1');
    const match = /^API:\s+[0-9a-f]+:([0-9a-f]+):([0-9a-f]+)$/m.exec(text);
    if (match === null) {
      throw new ThawError('IO_FAILED', { what: 'fdinfo shows no API line', found: text });
    }
    return {
      features: new FlagSet(UffdFeature, BigInt(`0x${match[1]}`) & ~FEATURE_INITIALIZED),
      ioctls: new FlagSet(UffdIoctl, BigInt(`0x${match[2]}`)),
    };
  }
}

function wakeMode(modes: { readonly DONTWAKE: bigint }, options: WakeOptions): bigint {
  return options.wake === false ? modes.DONTWAKE : 0n;
}

function installMode(
  modes: { readonly DONTWAKE: bigint; readonly WP: bigint },
  options: InstallOptions,
): bigint {
  return wakeMode(modes, options) | (options.writeProtect === true ? modes.WP : 0n);
}

function checkRange(vaddr: bigint, byteLength: number): void {
  const size = BigInt(PAGE_SIZE);
  if (vaddr >= 0n && vaddr % size === 0n && byteLength > 0 && byteLength % PAGE_SIZE === 0) return;
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'the range is not whole pages',
    expected: `a start and a length that are multiples of ${PAGE_SIZE}`,
    found: `start ${formatVaddr(vaddr)}, length ${byteLength}`,
  });
}

function checkErrno(ioctl: string, errno: number, vaddr: bigint, byteLength: number): void {
  if (errno === 0) return;
  const range = { start: vaddr, end: vaddr + BigInt(byteLength) };
  const where = formatRange(range.start, range.end);
  throw systemError({ syscall: `ioctl(${ioctl})`, errno, range, bytesDone: 0 }, { where });
}

function closedError(): ThawError {
  return new ThawError('UFFD_CLOSED', { what: 'the userfaultfd is closed' });
}

/** The error of waiting for events of a blocking descriptor. */
export function blockingError(): ThawError {
  return new ThawError('INVALID_ARGUMENT', {
    what: 'events of a blocking userfaultfd cannot be awaited',
    expected: 'a descriptor with O_NONBLOCK',
    hint: 'Build it with nonBlocking(true)',
  });
}

function notUffd(fd: number, found: string, cause?: unknown): ThawError {
  return new ThawError('INVALID_ARGUMENT', {
    what: 'the descriptor is not a userfaultfd',
    expected: 'anon_inode:[userfaultfd]',
    found,
    where: `descriptor ${fd}`,
    cause,
  });
}
