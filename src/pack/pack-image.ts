/** Compresses images, and brings them back. */
import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import { Checkpoint } from '../image/checkpoint.js';
import { CHECKSUMS_NAME } from '../image/checksums.js';
import { INVENTORY_FILE } from '../image/inventory.js';
import type { LayeredPagemap } from '../image/layered-pagemap.js';
import { PARENT_LINK } from '../image/parent-chain.js';
import { CheckpointWriter, type StorageMode } from './checkpoint-writer.js';
import { listRuns, ownLayer } from './image-runs.js';
import { PACK_RECORD_FILE, restoreRecorded, writePackRecord } from './pack-record.js';

/** How far packing or unpacking has come. */
export interface PackProgress {
  /** Stored pages that are written. */
  readonly pagesDone: number;
  /** Stored pages that will be. */
  readonly pagesTotal: number;
  /** Bytes of those pages in the output so far. */
  readonly payloadBytes: number;
}

/** Options of {@link unpackImage}. */
export interface UnpackOptions {
  /** Is called after each megabyte or so. */
  readonly onProgress?: ((progress: PackProgress) => void) | undefined;
  /** Stops the work: it fails with ABORTED and leaves nothing behind. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link packImage}. */
export interface PackOptions extends UnpackOptions {
  /**
   * LZ4 blocks of one page, or of a region.
   *
   * @default 'page'
   */
  readonly mode?: Exclude<StorageMode, 'off'> | undefined;
  /**
   * Whether the pages of parent images become part of the output, which then stands alone.
   *
   * @default false
   */
  readonly flatten?: boolean | undefined;
  /**
   * Whether every block gets a checksum, which `verifyImage` and each later read and restore compare
   * with. An image that has checksums keeps having them.
   *
   * @default false
   */
  readonly checksums?: boolean | undefined;
  /**
   * Threads that compress.
   *
   * @default the number of cores
   */
  readonly jobs?: number | undefined;
}

/** What packing or unpacking did. */
export interface PackSummary {
  /** Stored pages. */
  readonly pages: number;
  /** Blocks that are all zero and take no space. */
  readonly zeroBlocks: number;
  /** Bytes of the stored pages. */
  readonly pageBytes: number;
  /** Bytes of the pages images that were written. */
  readonly payloadBytes: number;
}

/** First version whose files all have the common magic. */
const VERSION_COMMON_MAGIC = 2;

/**
 * Writes the image in `image` to `output` with compressed pages. The other files are carried over
 * with their modes, and a file that CRIU ignores is added, with which {@link unpackImage} gives back
 * the same bytes (unless the image was compressed before, or is flattened).
 *
 * `output` is there in full or not at all. Memory is bounded, whatever the size of the image.
 *
 * @throws ThawError those of {@link Checkpoint.open}; INVALID_ARGUMENT if `output` exists or an option
 *   is not possible; VERSION_UNSUPPORTED for version 1, which cannot say that it is compressed;
 *   CHECKSUM_MISMATCH, LZ4_CORRUPT, ABORTED, IO_FAILED.
 * @example
 * const { pageBytes, payloadBytes } = await packImage('dump', 'packed', { mode: { regionPages: 64 } });
 */
export async function packImage(
  image: string,
  output: string,
  options: PackOptions = {},
): Promise<PackSummary> {
  await using checkpoint = await Checkpoint.open(image);
  const { inventory, directory } = checkpoint;
  if (inventory.version < VERSION_COMMON_MAGIC) {
    throw new ThawError('VERSION_UNSUPPORTED', {
      what: 'images of version 1 cannot have compressed pages',
      where: join(directory, INVENTORY_FILE),
    });
  }
  const flatten = options.flatten === true && checkpoint.parents.length > 0;
  const mode = options.mode ?? 'page';
  const repack = new Rewriter(checkpoint, mode, flatten, options);
  return await repack.run(output, async (writer) => {
    if (flatten) return;
    if (inventory.compress === 'off') {
      const files = repack.owners.map(({ pagemap }) => pagemap.layers[0]?.path ?? '');
      await writePackRecord(writer, [join(directory, INVENTORY_FILE), ...files]);
    } else if ((await readdir(directory)).includes(PACK_RECORD_FILE)) {
      await writer.copy(join(directory, PACK_RECORD_FILE), PACK_RECORD_FILE);
    }
  });
}

/**
 * Writes the compressed image in `image` to `output` with plain pages: byte for byte the image that
 * {@link packImage} was given, if it was plain and not flattened.
 *
 * @throws ThawError as {@link packImage}; INVALID_ARGUMENT also if the image is not compressed.
 * @example
 * await unpackImage('packed', 'dump-again');
 */
export async function unpackImage(
  image: string,
  output: string,
  options: UnpackOptions = {},
): Promise<PackSummary> {
  await using checkpoint = await Checkpoint.open(image);
  if (checkpoint.inventory.compress === 'off') {
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'the image is not compressed',
      where: checkpoint.directory,
    });
  }
  const rewriter = new Rewriter(checkpoint, 'off', false, { ...options, jobs: 1 });
  return await rewriter.run(output, async (writer) => {
    await restoreRecorded(checkpoint.directory, writer.temporary);
  });
}

/** Something with pages, for which the output has a pagemap. */
interface Owner {
  readonly pagemap: LayeredPagemap;
}

/** Writes a checkpoint with its pages stored in another way. */
class Rewriter {
  readonly owners: readonly Owner[];

  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly mode: StorageMode,
    private readonly flatten: boolean,
    private readonly options: Omit<PackOptions, 'mode' | 'flatten'>,
  ) {
    const live = checkpoint.tasks.filter((task) => task.state === 'alive');
    this.owners = [...live, ...checkpoint.sharedObjects];
  }

  /** @param finish adds what is left to do before the output is checked and takes its place. */
  async run(
    output: string,
    finish: (writer: CheckpointWriter) => Promise<void>,
  ): Promise<PackSummary> {
    const { directory } = this.checkpoint;
    const pagemaps = this.owners.map(({ pagemap }) => (this.flatten ? pagemap : ownLayer(pagemap)));
    const written = this.#checkNames(output);
    const { jobs, signal } = this.options;
    await using writer = await CheckpointWriter.create(output, {
      mode: this.mode,
      checksums: this.mode !== 'off' && this.#wantsChecksums(pagemaps),
      jobs,
      signal,
      onPages: this.#progress(pagemaps),
    });
    const summary = { pages: 0, zeroBlocks: 0, pageBytes: 0, payloadBytes: 0 };
    for (const pagemap of pagemaps) {
      const [own] = pagemap.layers;
      if (own === undefined) continue;
      const { pages } = own;
      const mode = (await stat(own.path)).mode;
      const pagesMode = (await stat(pages.path).catch(() => ({ mode }))).mode;
      const name = { file: basename(own.path), pagesId: pages.pagesId, mode, pagesMode };
      const counts = await writer.writePagemap(name, listRuns(pagemap, this.mode !== 'off'));
      summary.pages += counts.pages;
      summary.zeroBlocks += counts.zeroBlocks;
      summary.payloadBytes += counts.payloadBytes;
    }
    summary.pageBytes = summary.pages * PAGE_SIZE;
    const inventoryPath = join(directory, INVENTORY_FILE);
    const inventoryMode = (await stat(inventoryPath)).mode;
    await writer.writeInventory(await readFile(inventoryPath), inventoryMode);
    await this.#carryOver(writer, written);
    await finish(writer);
    await (await Checkpoint.open(writer.temporary)).close();
    await writer.commit((await stat(directory)).mode);
    return summary;
  }

  #wantsChecksums(pagemaps: readonly LayeredPagemap[]): boolean {
    return (
      this.options.checksums === true || pagemaps.some((pagemap) => pagemap.countChecksummed() > 0)
    );
  }

  #progress(pagemaps: readonly LayeredPagemap[]): (pages: number, payloadBytes: number) => void {
    const pagesTotal = pagemaps.reduce((sum, pagemap) => sum + pagemap.countStored(), 0);
    let pagesDone = 0;
    let payloadBytes = 0;
    return (pages, bytes) => {
      pagesDone += pages;
      payloadBytes += bytes;
      this.options.onProgress?.({ pagesDone, pagesTotal, payloadBytes });
    };
  }

  /** Names of the files that are written anew. */
  #checkNames(output: string): Set<string> {
    const { directory } = this.checkpoint;
    if (`${resolve(output)}${sep}`.startsWith(`${directory}${sep}`)) {
      throw new ThawError('INVALID_ARGUMENT', {
        what: 'the output lies inside the image',
        found: resolve(output),
        where: directory,
      });
    }
    const names = new Set([INVENTORY_FILE, PACK_RECORD_FILE, PARENT_LINK]);
    for (const { pagemap } of this.owners) {
      const [own] = pagemap.layers;
      if (own === undefined) continue;
      const pagesName = basename(own.pages.path);
      if (names.has(pagesName)) {
        throw new ThawError('INVALID_ARGUMENT', {
          what: 'two pagemaps share one pages image, so it cannot be written anew',
          where: own.pages.path,
        });
      }
      names.add(pagesName).add(basename(own.path));
    }
    return names;
  }

  /** Copies all other files, and leads the link to the parent to where it led. */
  async #carryOver(writer: CheckpointWriter, written: ReadonlySet<string>): Promise<void> {
    const { directory } = this.checkpoint;
    for (const name of await readdir(directory)) {
      if (written.has(name) || CHECKSUMS_NAME.test(name)) continue;
      await writer.copy(join(directory, name), name);
    }
    if (this.checkpoint.parents.length === 0 || this.flatten) return;
    const link = join(directory, PARENT_LINK);
    const text = await readlink(link).catch(async () => (await readFile(link, 'utf8')).trimEnd());
    if (isAbsolute(text)) return writer.linkParent(text);
    const home = await realpath(dirname(writer.directory));
    const target = resolve(await realpath(directory), text);
    await writer.linkParent(relative(join(home, basename(writer.directory)), target));
  }
}
