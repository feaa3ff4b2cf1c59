/**
 * Record files: the frame of every CRIU image but the pages images.
 *
 *     u32 LE  common magic    (absent in inventory.img, and in all files of img_version 1)
 *     u32 LE  type magic
 *     repeated:  u32 LE length, then a protobuf message of that length
 *
 * Files are read in chunks, so that a file's size costs time but no memory.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type ErrorCode, ThawError } from '../errors.js';
import { RECORD_BYTES_MAX } from '../limits.js';
import { decodeMessage } from '../proto/messages.js';

/** Type magics of the files that are read or written. */
export const MAGIC = {
  inventory: 0x58313116,
  pstree: 0x50273030,
  mm: 0x57492820,
  pagemap: 0x56084025,
  core: 0x55053847,
  regularFiles: 0x50363636,
  files: 0x56303138,
  memfd: 0x48453499,
  /** "THCK", little-endian: of Thaw's own. */
  checksums: 0x4b434854,
} as const;

/** First magic of all files but those that have their type's only. */
export const COMMON_MAGIC = 0x54564319;

/** Bytes read at once. */
const CHUNK_BYTES = 256 * 1024;

/** Where a record is: its file, its number (from 0) and the byte at which its message begins. */
export interface RecordPlace {
  readonly path: string;
  readonly record: number;
  readonly byte: number;
}

/** A place as messages name it. */
export function formatPlace(place: RecordPlace): string {
  return `${place.path}, record ${place.record}, byte ${place.byte}`;
}

/**
 * Opens a file of an image for reading.
 *
 * @throws ThawError `missing` if there is no such file; `IO_FAILED` if it is not a regular file or
 *   cannot be read. A FIFO or device that stands in its place is refused, never waited for.
 */
export async function openImageFile(
  path: string,
  missing: ErrorCode,
): Promise<{ handle: FileHandle; byteLength: number }> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw openError(path, missing, cause);
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) {
      throw new ThawError('IO_FAILED', { what: 'not a regular file', where: path });
    }
    return { handle, byteLength: stat.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function openError(path: string, missing: ErrorCode, cause: unknown): ThawError {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new ThawError(missing, {
      what: 'an image file is missing',
      where: path,
      hint: 'Check that the directory is a complete CRIU image',
      cause,
    });
  }
  return new ThawError('IO_FAILED', {
    what: 'an image file cannot be opened',
    found: code ?? String(cause),
    where: path,
    ...(code === 'EACCES'
      ? { hint: 'Images belong to who dumped them, mostly root: use sudo' }
      : {}),
    cause,
  });
}

/**
 * Hands every record of the file at `path` to `onRecord`, in order. The bytes are a view that is
 * valid during the call only. Errors that `onRecord` throws pass through.
 *
 * @returns the number of records.
 * @throws ThawError IMAGE_MISSING, FILE_TRUNCATED, BAD_MAGIC, RECORD_TRUNCATED, RECORD_TOO_LARGE or
 *   IO_FAILED.
 */
export async function readRecords(
  path: string,
  magic: number,
  onRecord: (bytes: Uint8Array, place: RecordPlace) => void,
): Promise<number> {
  const { handle, byteLength } = await openImageFile(path, 'IMAGE_MISSING');
  try {
    const input = new ChunkedInput(path, handle, byteLength);
    await readMagics(input, magic);
    let record = 0;
    while (input.remaining > 0) {
      if (input.buffered < 4) await input.fill(Math.min(4, input.remaining));
      const length = takeLength(input, record);
      if (input.buffered < length) await input.fill(length);
      const place = { path, record, byte: input.position };
      onRecord(input.take(length), place);
      record++;
    }
    return record;
  } finally {
    await handle.close();
  }
}

async function readMagics(input: ChunkedInput, magic: number): Promise<void> {
  let found = await readMagic(input);
  if (found === COMMON_MAGIC) found = await readMagic(input);
  if (found === magic) return;
  throw new ThawError('BAD_MAGIC', {
    what: 'the file does not begin as an image of its type does',
    expected: `magic 0x${magic.toString(16)}`,
    found: `0x${found.toString(16)}`,
    where: `${input.path}, byte ${input.position - 4}`,
  });
}

async function readMagic(input: ChunkedInput): Promise<number> {
  if (input.remaining < 4) {
    throw new ThawError('FILE_TRUNCATED', {
      what: 'the file ends inside its magic number',
      found: `a file of ${input.byteLength} bytes`,
      where: input.path,
    });
  }
  if (input.buffered < 4) await input.fill(4);
  return input.takeUint32();
}

function takeLength(input: ChunkedInput, record: number): number {
  // What is only needed for an error is not made before: there may be a million records.
  const byte = input.position;
  if (input.remaining < 4) {
    throw new ThawError('RECORD_TRUNCATED', {
      what: 'the file ends inside the length of a record',
      expected: '4 bytes',
      found: String(input.remaining),
      where: formatPlace({ path: input.path, record, byte }),
    });
  }
  const length = input.takeUint32();
  if (length > RECORD_BYTES_MAX) {
    throw new ThawError('RECORD_TOO_LARGE', {
      what: 'a record is longer than any record can be',
      expected: `at most ${RECORD_BYTES_MAX} bytes`,
      found: String(length),
      where: formatPlace({ path: input.path, record, byte }),
    });
  }
  if (length > input.remaining) {
    throw new ThawError('RECORD_TRUNCATED', {
      what: 'the file ends inside a record',
      expected: `${length} bytes`,
      found: String(input.remaining),
      where: formatPlace({ path: input.path, record, byte }),
    });
  }
  return length;
}

/** Sequential input of one file through a buffer that grows to its longest record only. */
class ChunkedInput {
  /** Byte of the file that is taken next. */
  position = 0;
  #buffer = Buffer.allocUnsafe(0);
  #begin = 0;
  #end = 0;

  constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    readonly byteLength: number,
  ) {}

  /** Bytes of the file that have not been taken. */
  get remaining(): number {
    return this.byteLength - this.position;
  }

  /** Bytes that can be taken without reading. */
  get buffered(): number {
    return this.#end - this.#begin;
  }

  /** Reads until at least `count` bytes (no more than remain) are buffered. */
  async fill(count: number): Promise<void> {
    this.#makeRoom(Math.min(this.remaining, Math.max(count, CHUNK_BYTES)));
    while (this.buffered < count) {
      const filePosition = this.position + this.buffered;
      const room = this.#buffer.length - this.#end;
      const { bytesRead } = await this.handle.read(this.#buffer, this.#end, room, filePosition);
      if (bytesRead === 0) {
        throw new ThawError('FILE_TRUNCATED', {
          what: 'the file became shorter while it was read',
          expected: `${this.byteLength} bytes`,
          found: String(filePosition),
          where: this.path,
        });
      }
      this.#end += bytesRead;
    }
  }

  #makeRoom(capacity: number): void {
    const target = capacity > this.#buffer.length ? Buffer.allocUnsafeSlow(capacity) : this.#buffer;
    this.#buffer.copy(target, 0, this.#begin, this.#end);
    this.#buffer = target;
    this.#end -= this.#begin;
    this.#begin = 0;
  }

  /** The next `count` bytes, which are buffered already. */
  take(count: number): Uint8Array {
    // Not subarray(): a Buffer is three times as dear to make, and there may be a million records.
    const { buffer, byteOffset } = this.#buffer;
    const bytes = new Uint8Array(buffer, byteOffset + this.#begin, count);
    this.#begin += count;
    this.position += count;
    return bytes;
  }

  /** The next 4 bytes, which are buffered already. */
  takeUint32(): number {
    const value = this.#buffer.readUInt32LE(this.#begin);
    this.#begin += 4;
    this.position += 4;
    return value;
  }
}

/**
 * The message of one record.
 *
 * @throws ThawError PROTO_MALFORMED with the place of the record.
 */
export function decodeRecord<T>(
  type: Parameters<typeof decodeMessage<T>>[0],
  bytes: Uint8Array,
  place: RecordPlace,
): T {
  try {
    return decodeMessage(type, bytes);
  } catch (cause) {
    throw new ThawError('PROTO_MALFORMED', {
      what: 'a record is not a valid message',
      found: cause instanceof Error ? cause.message : String(cause),
      where: formatPlace(place),
      cause,
    });
  }
}
