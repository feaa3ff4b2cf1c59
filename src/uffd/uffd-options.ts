/**
 * Options and answers of the calls of a {@link Uffd}.
 */

/** Whether the threads that wait for the range are woken. */
export interface WakeOptions {
  /**
   * False leaves them waiting until {@link Uffd.wake}.
   * @default true
   */
  readonly wake?: boolean;
}

/** Options of the calls that can install pages write-protected. */
export interface InstallOptions extends WakeOptions {
  /**
   * Installs the pages write-protected; the range must be registered with RegisterMode.WP.
   * @default false
   */
  readonly writeProtect?: boolean;
}

/** Options of {@link Uffd.move}. */
export interface MoveOptions extends WakeOptions {
  /**
   * Passes over pages of the source that are not there, instead of failing with ENOENT.
   * @default false
   */
  readonly allowSourceHoles?: boolean;
}

/** A span of this process's own memory. */
export interface MemorySpan {
  readonly vaddr: bigint;
  readonly byteLength: number;
}

/** What poll(2) says of a descriptor. */
export interface PollResult {
  /** Descriptors that are ready: 0 after a time-out, else 1. */
  readonly ready: 0 | 1;
  /** POLLIN: an event can be read. */
  readonly readable: boolean;
  /** POLLERR: the descriptor is blocking, which the kernel does not poll. */
  readonly error: boolean;
}
