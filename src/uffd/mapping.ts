/**
 * Memory of this process, mapped for a page handler to fill.
 */
import { constants } from 'node:os';
import { formatRange, formatVaddr, PAGE_SIZE } from '../address.js';
import { systemError, ThawError } from '../errors.js';
import { type MappingHandle, native, type RawOutcome } from '../native.js';

/** Rights to a mapping's memory. `write` alone means reading as well, on x86-64. */
export interface Protection {
  /** @default false */
  readonly read?: boolean;
  /** @default false */
  readonly write?: boolean;
  /** @default false */
  readonly execute?: boolean;
}

/** Options of {@link Mapping.anonymous} and {@link Mapping.shared}. */
export interface MappingOptions {
  /**
   * Where to map, above 0; fails with EEXIST when anything is there.
   * @default any free place
   */
  readonly vaddr?: bigint;
  /** @default read and write */
  readonly protection?: Protection;
}

// madvise(2) and mmap(2) on x86-64.
const MADV = { DONTNEED: 4, REMOVE: 9, DONTFORK: 10, DONTDUMP: 16 } as const;
const PROT = { read: 1, write: 2, execute: 4 } as const;

const READ_WRITE: Protection = { read: true, write: true };

/**
 * A range of this process's memory, whose pages a {@link Uffd} may handle.
 *
 * Everything that can wait for a page handler (read, write, touch, zap, protect, unmap) runs on
 * threads of the addon and returns a promise; JavaScript and libuv's thread pool never wait, so the
 * same JavaScript thread can handle the pages. Operations run at once and side by side; await one
 * before starting the next where the order matters. Up to 512 wait at a time, more queue up. One that
 * waits keeps the event loop alive, but neither process.exit() nor the end of a worker waits for it.
 *
 * A touch of a poisoned or forbidden page, which would end a C program by SIGBUS or SIGSEGV, rejects
 * with the code EFAULT, the signal's name and the bytes done.
 *
 * Positions are byte offsets from `vaddr`. Unmapped by {@link Mapping.unmap}, and at the latest by
 * garbage collection or the end of the thread. Belongs to the thread that made it.
 *
 * Source: mmap(2), madvise(2), mprotect(2).
 *
 * @example
 * const mapping = Mapping.anonymous(16 * PAGE_SIZE);
 * uffd.register(mapping.vaddr, mapping.byteLength, RegisterMode.MISSING);
 * const bytes = await mapping.read(0, 5); // waits until the page has come
 */
export class Mapping {
  readonly #handle: MappingHandle;
  /** Bits of PROT_* that any page may have now. */
  #granted: number;
  /** Bits of PROT_* that may still be asked for. */
  #allowed = PROT.read | PROT.write | PROT.execute;
  #closed = false;
  /** Address of the first byte. */
  readonly vaddr: bigint;
  /** Length in bytes, whole pages. */
  readonly byteLength: number;
  /** True for memory of a memfd, false for anonymous private memory. */
  readonly shared: boolean;

  private constructor(byteLength: number, options: MappingOptions, memfd: number) {
    const { vaddr, protection = READ_WRITE } = options;
    checkPages('the mapping', vaddr ?? 0n, byteLength);
    checkAddress(vaddr);
    this.#granted = toBits(protection);
    this.#handle = mapMemory(vaddr, byteLength, this.#granted, memfd);
    this.vaddr = this.#handle.vaddr;
    this.byteLength = byteLength;
    this.shared = memfd >= 0;
  }

  /**
   * Maps private memory of `byteLength` bytes (whole pages) with nothing behind it.
   *
   * @throws ThawError INVALID_ARGUMENT, EEXIST (the address is taken), ENOMEM.
   */
  static anonymous(byteLength: number, options: MappingOptions = {}): Mapping {
    return new Mapping(byteLength, options, -1);
  }

  /** Maps a new memfd of `byteLength` bytes, shared. Throws as {@link Mapping.anonymous}. */
  static shared(byteLength: number, options: MappingOptions = {}): Mapping {
    const memfd = native.createMemfd('thaw-mapping', byteLength);
    try {
      return new Mapping(byteLength, options, memfd);
    } finally {
      native.closeFd(memfd); // the mapping has a duplicate
    }
  }

  /**
   * A second mapping of the same memfd: bytes written there are in the page cache, but not mapped
   * here until a minor fault is answered by {@link Uffd.continue}.
   *
   * @throws ThawError INVALID_ARGUMENT on private memory.
   */
  alias(options: MappingOptions = {}): Mapping {
    this.#live();
    if (this.shared) return new Mapping(this.byteLength, options, this.#handle.memfd);
    throw invalid('private memory has no second mapping', 'a mapping made by Mapping.shared');
  }

  /** Rights that any of its pages may have now. */
  get protection(): Required<Protection> {
    return toProtection(this.#granted);
  }

  /** Rights that {@link Mapping.protect} may still give. */
  get allowedProtection(): Required<Protection> {
    return toProtection(this.#allowed);
  }

  /** Reads bytes into a new array. Rejects with EFAULT where a page is poisoned or forbidden. */
  async read(byteOffset: number, byteLength: number): Promise<Uint8Array> {
    this.#checkSpan(byteOffset, byteLength);
    const outcome = await this.#handle.read(byteOffset, byteLength);
    this.#check(outcome, 'read', byteOffset, byteLength);
    return outcome.data;
  }

  /** Writes `bytes`, which are copied at once. Rejects as {@link Mapping.read}. */
  async write(byteOffset: number, bytes: Uint8Array): Promise<void> {
    this.#checkSpan(byteOffset, bytes.byteLength);
    const outcome = await this.#handle.write(byteOffset, bytes);
    this.#check(outcome, 'write', byteOffset, bytes.byteLength);
  }

  /** Reads one byte of each page, so that all are there afterwards. Rejects as {@link Mapping.read}. */
  async touch(byteOffset = 0, byteLength: number = this.byteLength - byteOffset): Promise<void> {
    this.#checkSpan(byteOffset, byteLength);
    const outcome = await this.#handle.touch(byteOffset, byteLength);
    this.#check(outcome, 'touch', byteOffset, byteLength);
  }

  /**
   * Discards pages. Private memory (MADV_DONTNEED): they are missing again. Shared memory
   * (MADV_REMOVE): the memfd forgets them too. Waits until a handler with EVENT_REMOVE read it.
   */
  async zap(byteOffset = 0, byteLength: number = this.byteLength - byteOffset): Promise<void> {
    this.#checkPages(byteOffset, byteLength);
    const advice = this.shared ? MADV.REMOVE : MADV.DONTNEED;
    const outcome = await this.#handle.advise(byteOffset, byteLength, advice);
    this.#check(outcome, 'madvise', byteOffset, byteLength);
  }

  /**
   * Changes the rights to whole pages.
   *
   * Rejects with EACCES when a right was given up by {@link Mapping.giveUp}, as the kernel does where
   * VM_MAYREAD and its kin are clear.
   */
  async protect(
    protection: Protection,
    byteOffset = 0,
    byteLength: number = this.byteLength - byteOffset,
  ): Promise<void> {
    this.#checkPages(byteOffset, byteLength);
    const bits = toBits(protection);
    if ((bits & ~this.#allowed) !== 0) {
      const refused = { bytes: 0, errno: constants.errno.EACCES, signal: 0 };
      this.#check(refused, 'mprotect', byteOffset, byteLength);
    }
    const whole = byteLength === this.byteLength;
    this.#granted |= bits; // before the call: a right that may be there counts as there
    const outcome = await this.#handle.protect(byteOffset, byteLength, bits);
    this.#check(outcome, 'mprotect', byteOffset, byteLength);
    if (whole) this.#granted = bits;
  }

  /**
   * Gives rights up once and for all: {@link Mapping.protect} never gives them back.
   *
   * @throws ThawError EINVAL when a page may have such a right now: take it away first.
   */
  giveUp(rights: Protection): void {
    this.#live();
    const bits = toBits(rights);
    if ((bits & this.#granted) !== 0) {
      throw systemError({ syscall: 'giveUp', errno: constants.errno.EINVAL });
    }
    this.#allowed &= ~bits;
  }

  /** The child of a later fork(2) does not get this memory (MADV_DONTFORK). */
  setDontCopy(): void {
    this.#adviseNow(MADV.DONTFORK);
  }

  /** Core dumps leave this memory out (MADV_DONTDUMP). */
  setDontDump(): void {
    this.#adviseNow(MADV.DONTDUMP);
  }

  /**
   * Unmaps all of it, once the operations begun before are over. Nothing can be begun afterwards.
   * Waits until a handler with EVENT_UNMAP read it.
   */
  async unmap(): Promise<void> {
    this.#live();
    this.#closed = true;
    this.#check(await this.#handle.unmap(), 'munmap', 0, this.byteLength);
  }

  #adviseNow(advice: number): void {
    this.#live();
    const errno = this.#handle.adviseNow(0, this.byteLength, advice);
    this.#check({ bytes: 0, errno, signal: 0 }, 'madvise', 0, this.byteLength);
  }

  #live(): void {
    if (this.#closed) throw invalid('the mapping is unmapped', 'a mapping before unmap()');
  }

  #checkSpan(byteOffset: number, byteLength: number): void {
    this.#live();
    const whole = Number.isSafeInteger(byteOffset) && Number.isSafeInteger(byteLength);
    const end = byteOffset + byteLength;
    if (whole && byteOffset >= 0 && byteLength >= 0 && end <= this.byteLength) return;
    throw invalid(
      'the span is outside the mapping',
      `bytes 0 to ${this.byteLength}`,
      `${byteLength} bytes at ${byteOffset}`,
    );
  }

  #checkPages(byteOffset: number, byteLength: number): void {
    this.#checkSpan(byteOffset, byteLength);
    checkPages('the span', BigInt(byteOffset), byteLength);
  }

  #check(outcome: RawOutcome, syscall: string, byteOffset: number, byteLength: number): void {
    if (outcome.errno === 0 && outcome.signal === 0) return;
    const start = this.vaddr + BigInt(byteOffset);
    const end = start + BigInt(byteLength);
    const errno = outcome.signal === 0 ? outcome.errno : constants.errno.EFAULT;
    const system = { syscall, errno, range: { start, end }, bytesDone: outcome.bytes };
    const where = formatRange(start, end);
    throw systemError(
      system,
      outcome.signal === 0 ? { where } : { where, found: signalName(outcome.signal) },
    );
  }
}

function signalName(signal: number): string {
  return signal === constants.signals.SIGBUS ? 'SIGBUS' : 'SIGSEGV';
}

function toBits(protection: Protection): number {
  return (
    (protection.read === true ? PROT.read : 0) |
    (protection.write === true ? PROT.write : 0) |
    (protection.execute === true ? PROT.execute : 0)
  );
}

function toProtection(bits: number): Required<Protection> {
  return {
    read: (bits & PROT.read) !== 0,
    write: (bits & PROT.write) !== 0,
    execute: (bits & PROT.execute) !== 0,
  };
}

/** Maps; says where mmap(2) failed, which the addon's own error does not. */
function mapMemory(
  vaddr: bigint | undefined,
  byteLength: number,
  protection: number,
  memfd: number,
): MappingHandle {
  try {
    return new native.MappingHandle(vaddr ?? 0n, byteLength, protection, memfd);
  } catch (error) {
    if (!(error instanceof ThawError) || error.syscall !== 'mmap') throw error;
    const system = { syscall: 'mmap', errno: error.errno as number };
    if (vaddr === undefined) throw systemError(system, { where: `${byteLength} bytes anywhere` });
    const range = { start: vaddr, end: vaddr + BigInt(byteLength) };
    const where = formatRange(range.start, range.end);
    const hint = 'Without vaddr the kernel chooses a free place';
    throw systemError({ ...system, range }, { where, hint });
  }
}

/** 0 is what mmap(2) takes for any place. */
function checkAddress(vaddr: bigint | undefined): void {
  if (vaddr === undefined || (vaddr > 0n && BigInt.asUintN(64, vaddr) === vaddr)) return;
  throw invalid(
    'the mapping cannot be there',
    'a start above 0 and below 2^64, or no vaddr for any free place',
    `start ${formatVaddr(vaddr)}`,
  );
}

function checkPages(what: string, start: bigint, byteLength: number): void {
  const aligned = start >= 0n && start % BigInt(PAGE_SIZE) === 0n;
  if (aligned && byteLength > 0 && byteLength % PAGE_SIZE === 0) return;
  throw invalid(
    `${what} is not whole pages`,
    `a start and a length that are multiples of ${PAGE_SIZE}`,
    `start ${formatVaddr(start)}, length ${byteLength}`,
  );
}

function invalid(what: string, expected: string, found?: string): ThawError {
  const parts = found === undefined ? { what, expected } : { what, expected, found };
  return new ThawError('INVALID_ARGUMENT', parts);
}
