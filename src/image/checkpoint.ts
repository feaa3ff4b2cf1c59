/** A process checkpoint: the public way into an image directory. */
import { formatVaddr, PAGE_SIZE, toPageNumber, toVaddr } from '../address.js';
import { ThawError } from '../errors.js';
import { READ_PAGES_MAX } from '../limits.js';
import type { ImageFile } from './files.js';
import { type ImageMetadata, type ImageOptions, loadImage } from './image-loader.js';
import type { Inventory } from './inventory.js';
import { PageReader, WINDOW_BYTES } from './page-reader.js';
import type { ImageDirectory } from './parent-chain.js';
import { raise } from './report.js';
import { resolveDirectory } from './resolve-directory.js';
import type { PageOwner, SharedObject, StoredRun, Task } from './task.js';

/** Most pages of one {@link StoredRun} (1 MiB). */
const STORED_RUN_PAGES_MAX = 256;

const ADDRESS_END = 2n ** 64n;

/**
 * A CRIU image directory, opened, checked and immutable.
 *
 * Opening reads the metadata only and checks all of it, the sizes of the pages images included, so
 * that whatever comes later can fail only for damaged payload. Pages images are opened when they are
 * first read; {@link close} closes them. One checkpoint serves any number of reads at once.
 *
 * Source: docs/images.md describes the forms of images that are read.
 *
 * @example
 * const checkpoint = await Checkpoint.open('dump');
 * for (const task of checkpoint.tasks) {
 *   if (task.state === 'dead') continue;
 *   for (const { vaddr, pageCount } of task.pagemap.extents()) console.log(vaddr, pageCount);
 * }
 * await checkpoint.close();
 */
export class Checkpoint implements AsyncDisposable {
  readonly #metadata: ImageMetadata;

  private constructor(
    /** Absolute path of the image directory. */
    readonly directory: string,
    metadata: ImageMetadata,
  ) {
    this.#metadata = metadata;
  }

  /**
   * Opens the image in `directory`.
   *
   * @throws ThawError INVALID_ARGUMENT for an empty path; otherwise with one of the image codes
   *   (`IMAGE_MISSING`, `BAD_MAGIC`, ...): the message names the file, the record and the byte or
   *   address.
   */
  static async open(directory: string, options: ImageOptions = {}): Promise<Checkpoint> {
    const path = resolveDirectory(directory);
    return new Checkpoint(path, await loadImage(path, raise, options));
  }

  /** Version of the image, and how its pages are stored. */
  get inventory(): Inventory {
    return this.#metadata.inventory;
  }

  /** The tasks in the order of the process tree, zombies included. */
  get tasks(): readonly Task[] {
    return this.#metadata.tasks;
  }

  /** Memory that tasks share, each object once, also those that are open but not mapped. */
  get sharedObjects(): readonly SharedObject[] {
    return this.#metadata.sharedObjects;
  }

  /** Regular files and memory files by the id that VMAs name them by. */
  get files(): ReadonlyMap<number, ImageFile> {
    return this.#metadata.files;
  }

  /** The chain of parent dumps, nearest first; empty if the image stands alone. */
  get parents(): readonly ImageDirectory[] {
    return this.#metadata.parents;
  }

  /**
   * The bytes of `pageCount` pages of a task or a shared object, from `vaddr` (a page border) on.
   * Pages for which nothing is stored are zero. The bytes belong to the caller.
   *
   * @throws ThawError CHECKSUM_MISMATCH, LZ4_CORRUPT, PAGES_TRUNCATED or IO_FAILED if the payload is damaged;
   *   INVALID_ARGUMENT if the range is not possible, has more than READ_PAGES_MAX pages, or the
   *   checkpoint is closed.
   * @example
   * const bytes = await checkpoint.readPages(task, 0x7e0002000000n, 16);
   */
  async readPages(owner: PageOwner, vaddr: bigint, pageCount: number): Promise<Uint8Array> {
    checkRange(vaddr, pageCount);
    const bytes = new Uint8Array(pageCount * PAGE_SIZE);
    await new PageReader(owner.pagemap).read(toPageNumber(vaddr), bytes);
    return bytes;
  }

  /**
   * All stored pages of a task or a shared object in the order of addresses, in runs of at most 1 MiB.
   * Holds one run and one read-ahead window in memory at a time.
   *
   * @throws ThawError as {@link readPages}, when the run that is damaged is reached.
   * @example
   * for await (const { vaddr, bytes } of checkpoint.storedRuns(task)) hash.update(bytes);
   */
  async *storedRuns(owner: PageOwner): AsyncGenerator<StoredRun, void, undefined> {
    const { pagemap } = owner;
    const reader = new PageReader(pagemap, WINDOW_BYTES);
    for (const { firstPage, pageCount } of pagemap.storedSpans(STORED_RUN_PAGES_MAX)) {
      const bytes = new Uint8Array(pageCount * PAGE_SIZE);
      await reader.read(firstPage, bytes);
      yield { vaddr: toVaddr(firstPage), pageCount, bytes };
    }
  }

  /** Closes the files that reads have opened. Reads after that are refused. */
  async close(): Promise<void> {
    const owners = [...this.tasks, ...this.sharedObjects];
    const layers = owners.flatMap(({ pagemap }) => pagemap?.layers ?? []);
    await Promise.all(layers.map(({ pages }) => pages.close()));
  }

  /** As {@link close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function checkRange(vaddr: bigint, pageCount: number): void {
  const byteLength = Number.isInteger(pageCount) && pageCount >= 0 ? pageCount * PAGE_SIZE : -1;
  const possible =
    byteLength >= 0 &&
    pageCount <= READ_PAGES_MAX &&
    vaddr >= 0n &&
    vaddr % BigInt(PAGE_SIZE) === 0n &&
    vaddr + BigInt(byteLength) <= ADDRESS_END;
  if (possible) return;
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'the range of pages cannot be read',
    expected: `an address at a page border and 0 to ${READ_PAGES_MAX} pages`,
    found: `${formatVaddr(vaddr)}, ${pageCount} pages`,
  });
}
