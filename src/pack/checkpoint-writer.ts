/** Writes an image directory as one step: it is there in full, or not at all. */
import { chmod, cp, lstat, mkdtemp, rename, rm, symlink } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import { checksumsPath } from '../image/checksums.js';
import type { Inventory } from '../image/inventory.js';
import { resolveDirectory } from '../image/resolve-directory.js';
import { LZ4_REGION_BYTES_MAX } from '../limits.js';
import { EncoderPool } from './encoder-pool.js';
import { encodeInventory } from './inventory-writer.js';
import { OutputFile, writeError } from './output-file.js';
import {
  type PagemapCounts,
  PagemapWriter,
  type WriterContext,
  type WrittenRun,
} from './pagemap-writer.js';

const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

/** How pages are stored: as they are, in blocks of one page, or of a region. */
export type StorageMode = 'off' | 'page' | { readonly regionPages: number };

/** How a {@link CheckpointWriter} writes. */
export interface WriterOptions {
  /**
   * How pages are stored.
   *
   * @default 'page'
   */
  readonly mode?: StorageMode | undefined;
  /**
   * Threads that compress.
   *
   * @default the number of cores
   */
  readonly jobs?: number | undefined;
  /**
   * Whether every block gets a checksum, in files that CRIU ignores.
   *
   * @default false
   */
  readonly checksums?: boolean | undefined;
  /** Stops the work: what is under way fails with ABORTED. */
  readonly signal?: AbortSignal | undefined;
  /** Is told how many pages were just written, and how many bytes they took. */
  readonly onPages?: ((pages: number, payloadBytes: number) => void) | undefined;
}

/** What names a pagemap and its pages image. */
export interface PagemapName {
  /** File name of the pagemap: `pagemap-<pid>.img` or `pagemap-shmem-<shmid>.img`. */
  readonly file: string;
  /** Id of the pages image. */
  readonly pagesId: number;
  /**
   * Mode of the pagemap.
   *
   * @default 0o644
   */
  readonly mode?: number;
  /**
   * Mode of the pages image.
   *
   * @default that of the pagemap
   */
  readonly pagesMode?: number;
}

/**
 * Writes an image directory. Everything goes to a temporary directory beside it, which
 * {@link commit} renames; a writer that is disposed of before that leaves nothing behind. One call
 * at a time.
 *
 * Source: docs/images.md describes the forms.
 *
 * @example
 * await using writer = await CheckpointWriter.create('packed', { mode: 'page' });
 * await writer.writeInventory();
 * await writer.writePagemap({ file: 'pagemap-100.img', pagesId: 1 }, runs);
 * await writer.commit();
 */
export class CheckpointWriter implements AsyncDisposable {
  readonly #context: WriterContext;
  #settled = false;

  private constructor(
    /** Absolute path of the directory that {@link commit} makes. */
    readonly directory: string,
    /** Where the image grows up until then. */
    readonly temporary: string,
    private readonly mode: StorageMode,
    options: WriterOptions,
  ) {
    this.#context = {
      blockPages: blockPagesOf(mode),
      regions: typeof mode === 'object',
      pool: new EncoderPool(options.jobs ?? availableParallelism(), options.checksums === true),
      signal: options.signal,
      onPages: options.onPages ?? (() => undefined),
    };
  }

  /**
   * Begins to write an image that shall be at `directory`.
   *
   * @throws ThawError INVALID_ARGUMENT if there is something already, or an option is not possible;
   *   IO_FAILED.
   */
  static async create(directory: string, options: WriterOptions = {}): Promise<CheckpointWriter> {
    const path = resolveDirectory(directory);
    const mode = options.mode ?? 'page';
    checkOptions(mode, options.jobs);
    if (await lstat(path).catch(() => undefined)) {
      throw new ThawError('INVALID_ARGUMENT', {
        what: 'the output exists already',
        where: path,
        hint: 'Name a directory that does not exist; it will be made',
      });
    }
    const prefix = join(dirname(path), `.${basename(path)}.thaw-`);
    const temporary = await mkdtemp(prefix).catch((cause) => {
      throw writeError(dirname(path), cause);
    });
    return new CheckpointWriter(path, temporary, mode, options);
  }

  /**
   * Writes `inventory.img` for the storage mode of this writer.
   *
   * @param original bytes of another inventory.img, whose other fields are taken over.
   */
  async writeInventory(original?: Uint8Array, fileMode = FILE_MODE): Promise<void> {
    await this.addFile(
      'inventory.img',
      encodeInventory(inventoryOf(this.mode), original),
      fileMode,
    );
  }

  /**
   * Writes one pagemap with its pages image. Runs come in ascending order; they become one entry each.
   *
   * @throws ThawError ABORTED, IO_FAILED, and what reading the runs throws.
   */
  async writePagemap(
    name: PagemapName,
    runs: Iterable<WrittenRun> | AsyncIterable<WrittenRun>,
  ): Promise<PagemapCounts> {
    const paths = {
      pagemap: this.#pathOf(name.file),
      pages: this.#pathOf(`pages-${name.pagesId}.img`),
      checksums: checksumsPath(this.temporary, name.pagesId),
      pagesId: name.pagesId,
    };
    const mode = name.mode ?? FILE_MODE;
    const modes = { pagemap: mode, pages: name.pagesMode ?? mode };
    const writer = await PagemapWriter.create(paths, modes, this.#context);
    try {
      for await (const run of runs) await writer.write(run);
    } finally {
      await writer.close();
    }
    return writer.counts;
  }

  /** Writes any other file of the image. */
  async addFile(name: string, bytes: Uint8Array, fileMode = FILE_MODE): Promise<void> {
    const file = await this.openFile(name, fileMode);
    try {
      await file.append(bytes);
    } finally {
      await file.close();
    }
  }

  /** Begins any other file of the image; the caller closes it. */
  async openFile(name: string, fileMode = FILE_MODE): Promise<OutputFile> {
    return OutputFile.create(this.#pathOf(name), fileMode);
  }

  /** Carries a file over with its mode, a symbolic link as it stands, or a directory with all in it. */
  async copy(source: string, name: string): Promise<void> {
    const options = { recursive: true, verbatimSymlinks: true, filter: isCopied };
    await cp(source, this.#pathOf(name), options).catch((cause) => {
      throw writeError(this.#pathOf(name), cause);
    });
  }

  /** Makes the link to the parent image: the directory that the image is an increment of. */
  async linkParent(target: string): Promise<void> {
    await symlink(target, this.#pathOf('parent')).catch((cause) => {
      throw writeError(this.#pathOf('parent'), cause);
    });
  }

  /**
   * Puts the finished image in its place.
   *
   * @param directoryMode mode of the directory.
   * @throws ThawError IO_FAILED, ABORTED; nothing is left behind then.
   */
  async commit(directoryMode = DIRECTORY_MODE): Promise<void> {
    try {
      if (this.#context.signal?.aborted) {
        const cause = this.#context.signal.reason;
        throw new ThawError('ABORTED', { what: 'writing the image was stopped', cause });
      }
      await chmod(this.temporary, directoryMode & 0o7777);
      await rename(this.temporary, this.directory).catch((cause) => {
        throw writeError(this.directory, cause);
      });
      this.#settled = true;
    } finally {
      await this.abort();
    }
  }

  /** Takes away what was written, unless it was committed. */
  async abort(): Promise<void> {
    await this.#context.pool.close();
    if (this.#settled) return;
    this.#settled = true;
    await rm(this.temporary, { recursive: true, force: true });
  }

  /** As {@link abort}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #pathOf(name: string): string {
    return join(this.temporary, name);
  }
}

/** Sockets and FIFOs are rendezvous of processes that are gone: they are left behind. */
async function isCopied(source: string): Promise<boolean> {
  const stats = await lstat(source);
  return stats.isFile() || stats.isDirectory() || stats.isSymbolicLink();
}

function blockPagesOf(mode: StorageMode): number {
  if (typeof mode === 'object') return mode.regionPages;
  return mode === 'page' ? 1 : 0;
}

function inventoryOf(mode: StorageMode): Omit<Inventory, 'version'> {
  if (typeof mode === 'object') return { compress: 'region', regionPages: mode.regionPages };
  return { compress: mode, regionPages: blockPagesOf(mode) };
}

function checkOptions(mode: StorageMode, jobs = 1): void {
  const regionPages = typeof mode === 'object' ? mode.regionPages : 1;
  const regionPagesMax = LZ4_REGION_BYTES_MAX / PAGE_SIZE;
  if (!Number.isInteger(regionPages) || regionPages < 1 || regionPages > regionPagesMax) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'the region size is not possible',
      expected: `1 to ${regionPagesMax} pages`,
      found: String(regionPages),
    });
  }
  if (!Number.isInteger(jobs) || jobs < 1) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'the number of jobs is not possible',
      expected: 'a whole number from 1',
      found: String(jobs),
    });
  }
}
