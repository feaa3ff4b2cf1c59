/**
 * What an ioctl that may do part of its work answers.
 */
import { type ErrnoCode, errnoCode, systemError } from '../errors.js';
import type { RawResult } from '../native.js';

/**
 * The kernel's answer to UFFDIO_COPY and its kin: bytes done, and the errno that ended the call.
 *
 * Both may be there: a copy that meets a present page after two pages answers 8192 bytes and EAGAIN.
 * Such answers are a page server's daily bread, so they are values; {@link IoctlResult.orThrow} makes
 * an error of them where one is wanted.
 *
 * @example
 * const { bytes, code } = uffd.copy(vaddr, page);
 * if (code === 'EAGAIN' && bytes === 0) deferUntilEventsAreRead(vaddr);
 */
export class IoctlResult {
  /** Bytes done, from the start of the range. */
  readonly bytes: number;
  /** The positive errno, or 0 when all was done. */
  readonly errno: number;
  readonly #syscall: string;
  readonly #range: { readonly start: bigint; readonly end: bigint };

  /** @internal */
  constructor(raw: RawResult, ioctl: string, start: bigint, byteLength: number) {
    this.bytes = raw.bytes;
    this.errno = raw.errno;
    this.#syscall = `ioctl(${ioctl})`;
    this.#range = { start, end: start + BigInt(byteLength) };
  }

  /** The errno's name, or undefined when all was done. */
  get code(): ErrnoCode | undefined {
    return this.errno === 0 ? undefined : errnoCode(this.errno);
  }

  /**
   * The bytes done, when all were.
   *
   * @throws ThawError with `code`, `errno`, `syscall`, `range` and `bytesDone` when not.
   */
  orThrow(): number {
    if (this.errno === 0) return this.bytes;
    throw systemError({
      syscall: this.#syscall,
      errno: this.errno,
      range: this.#range,
      bytesDone: this.bytes,
    });
  }
}
