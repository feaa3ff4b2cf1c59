/**
 * The one error class of the project and its stable codes.
 */
import { constants } from 'node:os';

/** Codes of a damaged, incomplete or unsupported image. */
export type ImageErrorCode =
  | 'IMAGE_MISSING'
  | 'FILE_TRUNCATED'
  | 'BAD_MAGIC'
  | 'RECORD_TRUNCATED'
  | 'RECORD_TOO_LARGE'
  | 'PROTO_MALFORMED'
  | 'INVENTORY_EMPTY'
  | 'VERSION_UNSUPPORTED'
  | 'MACHINE_UNSUPPORTED'
  | 'PAGE_SIZE_UNSUPPORTED'
  | 'COMPRESS_MODE_UNKNOWN'
  | 'COMPRESS_MODE_MISMATCH'
  | 'COMPRESS_LAYOUT_UNSUPPORTED'
  | 'REGION_SIZE_INVALID'
  | 'REGION_TOO_LARGE'
  | 'PAGEMAP_EMPTY'
  | 'VADDR_UNALIGNED'
  | 'NR_PAGES_ZERO'
  | 'NR_PAGES_OVERFLOW'
  | 'ENTRIES_OVERLAP'
  | 'FLAGS_CONFLICT'
  | 'FLAGS_UNKNOWN'
  | 'PAGE_OUTSIDE_VMA'
  | 'COMPRESSED_COUNT_MISMATCH'
  | 'BLOCK_TOO_LARGE'
  | 'TOTAL_MISMATCH'
  | 'LZ4_CORRUPT'
  | 'CHECKSUM_MISMATCH'
  | 'CHECKSUMS_INVALID'
  | 'PAGES_MISSING'
  | 'PAGES_TRUNCATED'
  | 'PAGES_TRAILING'
  | 'PARENT_MISSING'
  | 'PARENT_LOOP'
  | 'PARENT_PAGE_MISSING'
  | 'VMA_RANGE_INVALID'
  | 'VMA_UNALIGNED'
  | 'VMAS_OVERLAP'
  | 'PSTREE_INVALID'
  | 'SHMEM_MISSING';

/** Codes of a restore, its pager and its hosts. */
export type RestoreErrorCode =
  | 'PAGER_START_FAILED'
  | 'PAGER_LOST'
  | 'PAGER_REFUSED'
  | 'HOST_START_FAILED'
  | 'HOST_LOST'
  | 'HOST_FAILED'
  | 'PAGE_FAILED'
  | 'TASK_STOPPED'
  | 'VERIFY_MISMATCH'
  | 'NOTHING_TO_RESTORE'
  | 'SOCKET_UNAVAILABLE'
  | 'PEER_REFUSED'
  | 'PEER_LOST'
  | 'PAGE_NOT_STORED'
  | 'HANDOFF_MALFORMED'
  | 'RESTORE_FAILED'
  | 'SOURCE_UNREACHABLE'
  | 'SOURCE_LOST'
  | 'CRIU_MISSING'
  | 'CRIU_FAILED'
  | 'SCRIPT_FAILED'
  | 'ABORTED'
  | 'TIMED_OUT';

/** Codes of the machine, the build and the call. */
export type SystemErrorCode =
  | 'UFFD_UNAVAILABLE'
  | 'UFFD_FEATURE_MISSING'
  | 'UFFD_CLOSED'
  | 'NATIVE_MISSING'
  | 'SYSCALL_FAILED'
  | 'INVALID_ARGUMENT'
  | 'IO_FAILED';

/** Names of errnos (`EAGAIN`, `EEXIST`, `ESRCH`…), the codes of a system call that failed. */
export type ErrnoCode = Exclude<keyof typeof constants.errno, `WSA${string}`>;

/** Every code that a {@link ThawError} may carry. Codes are stable: they are never renamed. */
export type ErrorCode = ImageErrorCode | RestoreErrorCode | SystemErrorCode | ErrnoCode;

/** A system call that failed. */
export interface SystemFailure {
  /** Its name: `ioctl(UFFDIO_COPY)`. */
  readonly syscall: string;
  /** The positive errno that it answered. */
  readonly errno: number;
  /** The addresses that it was to work on, `end` exclusive. */
  readonly range?: { readonly start: bigint; readonly end: bigint };
  /** Bytes of the range that were done before it failed. */
  readonly bytesDone?: number;
}

/** What a {@link ThawError} is made of. Each part is a phrase without a final stop. */
export interface ErrorParts {
  /** What went wrong, in one short clause: `pagemap record is cut off`. */
  readonly what: string;
  /** What would have been right. */
  readonly expected?: string;
  /** What was there instead. */
  readonly found?: string;
  /** Where: a path, and record, byte or address inside it. */
  readonly where?: string;
  /** What the user can do about it. */
  readonly hint?: string;
  /** The error that caused this one. */
  readonly cause?: unknown;
  /** The system call that failed, where one did. */
  readonly system?: SystemFailure;
}

/**
 * Every error that the project throws or rejects with.
 *
 * `message` is complete on its own (what, expected, found, where, hint); the parts are there as fields
 * for programs. `code` is stable.
 *
 * @example
 * try {
 *   await Checkpoint.open('/no/such/directory');
 * } catch (error) {
 *   if (error instanceof ThawError && error.code === 'IMAGE_MISSING') process.exit(1);
 *   throw error;
 * }
 */
export class ThawError extends Error {
  override readonly name = 'ThawError';
  readonly code: ErrorCode;
  readonly what: string;
  readonly expected: string | undefined;
  readonly found: string | undefined;
  readonly where: string | undefined;
  readonly hint: string | undefined;
  /** The system call that failed, or undefined. */
  readonly syscall: string | undefined;
  /** Its positive errno, or undefined. */
  readonly errno: number | undefined;
  /** The addresses that it was to work on, or undefined. */
  readonly range: SystemFailure['range'];
  /** Bytes of that range that were done before it failed, or undefined. */
  readonly bytesDone: number | undefined;

  constructor(code: ErrorCode, parts: ErrorParts) {
    super(composeMessage(parts), parts.cause === undefined ? undefined : { cause: parts.cause });
    this.code = code;
    this.what = parts.what;
    this.expected = parts.expected;
    this.found = parts.found;
    this.where = parts.where;
    this.hint = parts.hint;
    this.syscall = parts.system?.syscall;
    this.errno = parts.system?.errno;
    this.range = parts.system?.range;
    this.bytesDone = parts.system?.bytesDone;
  }
}

const ERRNO_NAMES: ReadonlyMap<number, ErrnoCode> = new Map(
  Object.entries(constants.errno)
    .reverse() // two names of one number: the first, EAGAIN before EWOULDBLOCK, wins
    .map(([name, errno]) => [errno, name as ErrnoCode]),
);

/** The name of an errno: 11 is `EAGAIN`; `undefined` where it has none. */
export function errnoCode(errno: number): ErrnoCode | undefined {
  return ERRNO_NAMES.get(errno);
}

/**
 * The error of a failed system call: its `code` is the errno's name, or `SYSCALL_FAILED` where the
 * errno has none. `parts` says more where the caller knows more.
 */
export function systemError(
  system: SystemFailure,
  parts: Omit<ErrorParts, 'what' | 'system'> = {},
): ThawError {
  const code = errnoCode(system.errno);
  const what = `${system.syscall} failed with ${code ?? `errno ${system.errno}`}`;
  return new ThawError(code ?? 'SYSCALL_FAILED', { ...parts, what, system });
}

function composeMessage(parts: ErrorParts): string {
  const facts: string[] = [];
  if (parts.expected !== undefined) facts.push(`expected ${parts.expected}`);
  if (parts.found !== undefined) facts.push(`found ${parts.found}`);
  let message = parts.what;
  if (facts.length > 0) message += `: ${facts.join(', ')}`;
  if (parts.where !== undefined) message += ` (${parts.where})`;
  if (parts.hint !== undefined) message += `. ${parts.hint}`;
  return message;
}
