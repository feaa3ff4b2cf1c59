/**
 * The one error class of the project and its stable codes.
 */

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
  | 'VERIFY_MISMATCH'
  | 'NOTHING_TO_RESTORE'
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

/** Every code that a {@link ThawError} may carry. Codes are stable: they are never renamed. */
export type ErrorCode = ImageErrorCode | RestoreErrorCode | SystemErrorCode;

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

  constructor(code: ErrorCode, parts: ErrorParts) {
    super(composeMessage(parts), parts.cause === undefined ? undefined : { cause: parts.cause });
    this.code = code;
    this.what = parts.what;
    this.expected = parts.expected;
    this.found = parts.found;
    this.where = parts.where;
    this.hint = parts.hint;
  }
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
