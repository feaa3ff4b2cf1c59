/** A file that is written from its beginning to its end. */
import { type FileHandle, open } from 'node:fs/promises';
import { ThawError } from '../errors.js';

/** Bytes that are gathered before they are written. */
const BUFFER_BYTES = 256 * 1024;

/** A new file with a buffer in front. */
export class OutputFile {
  /** Bytes of the file so far. */
  byteLength = 0;
  #parts: Uint8Array[] = [];
  #partBytes = 0;

  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  /**
   * Creates the file at `path`.
   *
   * @throws ThawError IO_FAILED, also if there is one already.
   */
  static async create(path: string, mode: number): Promise<OutputFile> {
    const handle = await open(path, 'wx').catch((cause) => {
      throw writeError(path, cause);
    });
    const file = new OutputFile(path, handle);
    try {
      await handle.chmod(mode & 0o7777);
    } catch (cause) {
      await handle.close();
      throw writeError(path, cause);
    }
    return file;
  }

  /**
   * Appends `bytes`, which must not change until {@link close}, or a later append that it fills the
   * buffer with.
   */
  async append(bytes: Uint8Array): Promise<void> {
    this.#parts.push(bytes);
    this.#partBytes += bytes.length;
    this.byteLength += bytes.length;
    if (this.#partBytes >= BUFFER_BYTES) await this.#flush();
  }

  /** Writes what is left and closes the file. */
  async close(): Promise<void> {
    try {
      await this.#flush();
    } finally {
      await this.handle.close();
    }
  }

  async #flush(): Promise<void> {
    const parts = this.#parts;
    this.#parts = [];
    this.#partBytes = 0;
    const [first] = parts;
    let bytes = parts.length === 1 && first !== undefined ? first : Buffer.concat(parts);
    try {
      while (bytes.length > 0) {
        const { bytesWritten } = await this.handle.write(bytes);
        bytes = bytes.subarray(bytesWritten);
      }
    } catch (cause) {
      throw writeError(this.path, cause);
    }
  }
}

/** A failure to write `path` as the user shall see it. */
export function writeError(path: string, cause: unknown): ThawError {
  return new ThawError('IO_FAILED', {
    what: 'a file of the output cannot be written',
    // Without the system call and the temporary name at its end.
    found: (cause instanceof Error ? cause.message : String(cause)).replace(/, \w+( '.*)?$/, ''),
    where: path,
    cause,
  });
}
