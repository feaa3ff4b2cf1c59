/** `pages-<id>.img`: raw payload without a header, which pagemaps give a meaning. */
import type { FileHandle } from 'node:fs/promises';
import { ThawError } from '../errors.js';
import { openImageFile } from './record-file.js';

/** One pages image. Its file is opened by the first read and stays open until {@link close}. */
export class PagesImage {
  #handle: Promise<FileHandle> | undefined;
  #closed = false;

  constructor(
    /** Path of the file. */
    readonly path: string,
    /** Id by which pagemaps name it. */
    readonly pagesId: number,
    /** Size in bytes when the image was opened; 0 if there is no file, as nothing is stored. */
    readonly byteLength: number,
  ) {}

  /**
   * Fills `target` from `fileOffset` on.
   *
   * @throws ThawError PAGES_TRUNCATED if the file has become shorter, PAGES_MISSING if it has gone,
   *   INVALID_ARGUMENT after {@link close}, IO_FAILED if it cannot be read.
   */
  async read(target: Uint8Array, fileOffset: number): Promise<void> {
    const handle = await this.#open();
    for (let filled = 0; filled < target.length; ) {
      const rest = target.length - filled;
      const bytesRead = await this.#readOnce(handle, target, filled, rest, fileOffset + filled);
      if (bytesRead === 0) {
        throw new ThawError('PAGES_TRUNCATED', {
          what: 'the pages image became shorter after it was opened',
          expected: `${this.byteLength} bytes`,
          found: `an end at byte ${fileOffset + filled}`,
          where: this.path,
        });
      }
      filled += bytesRead;
    }
  }

  /** Closes the file. Reads that have begun end first; later ones are refused. */
  async close(): Promise<void> {
    this.#closed = true;
    const handle = this.#handle;
    this.#handle = undefined;
    if (handle === undefined) return;
    await (await handle.catch(() => undefined))?.close();
  }

  #open(): Promise<FileHandle> {
    if (this.#closed) {
      const what = 'the checkpoint is closed';
      return Promise.reject(new ThawError('INVALID_ARGUMENT', { what, where: this.path }));
    }
    this.#handle ??= openImageFile(this.path, 'PAGES_MISSING').then(({ handle }) => handle);
    return this.#handle;
  }

  async #readOnce(
    handle: FileHandle,
    target: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<number> {
    try {
      return (await handle.read(target, offset, length, position)).bytesRead;
    } catch (cause) {
      throw new ThawError('IO_FAILED', {
        what: 'the pages image cannot be read',
        found: cause instanceof Error ? cause.message : String(cause),
        where: `${this.path}, byte ${position}`,
        cause,
      });
    }
  }
}
