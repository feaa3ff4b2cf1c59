/** Writes one pagemap with its pages image. */
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import { PAGEMAP_FLAG } from '../image/pagemap-entry.js';
import { MAGIC } from '../image/record-file.js';
import { WRITTEN_ENTRY_PAGES_MAX } from '../limits.js';
import { thaw } from '../proto/messages.js';
import { fromBigint } from '../proto/uint64.js';
import type { EncodedBlocks } from './block-encoder.js';
import { ChecksumWriter } from './checksum-writer.js';
import type { EncoderPool } from './encoder-pool.js';
import { OutputFile } from './output-file.js';
import { encodeMagics, encodeRecord } from './record-writer.js';

/** Pages that are read and encoded at once, if a region is not larger (1 MiB). */
const BATCH_PAGES = 256;
/** Batches under way for each encoding thread: one at work, one waiting. */
const BATCHES_PER_JOB = 2;

const PADDING = new Uint8Array(PAGE_SIZE);

/** A run of pages to write. */
export interface WrittenRun {
  /** First address; in a shared object the offset in it. */
  readonly vaddr: bigint;
  /** Number of pages. */
  readonly pageCount: number;
  /** `stored`: `read` gives the bytes. `hole`: zero. `parent`: the parent image has them. */
  readonly kind: 'stored' | 'hole' | 'parent';
  /** Whether CRIU may bring the pages lazily. */
  readonly lazy: boolean;
  /**
   * Fills `target` (whole pages, all zero) with the run's pages from `firstPage` on, counted from
   * its start. It is called in order, for stored runs only.
   */
  read?(firstPage: number, target: Uint8Array): Promise<void>;
}

/** What was written. */
export interface PagemapCounts {
  /** Stored pages. */
  pages: number;
  /** Blocks that are all zero and have no payload. */
  zeroBlocks: number;
  /** Bytes of the pages image. */
  payloadBytes: number;
}

/** What the writers of an image have in common. */
export interface WriterContext {
  /** Pages a block; 0 = the pages stay as they are. */
  readonly blockPages: number;
  /** Whether entries carry `region_pages`. */
  readonly regions: boolean;
  readonly pool: EncoderPool;
  readonly signal: AbortSignal | undefined;
  /** Is told how many pages were just written, and how many bytes they took. */
  readonly onPages: (pages: number, payloadBytes: number) => void;
}

/** The blocks of one entry as they come in. */
interface EntryBlocks {
  flags: number;
  payloadBytes: number;
  readonly sizes: number[];
  /** Of the blocks, and of the pages of raw ones. */
  readonly checksums: { readonly blocks: number[]; readonly rawPages: number[] };
}

/** Where a pagemap and what belongs to it are written. */
interface PagemapPaths {
  readonly pagemap: string;
  readonly pages: string;
  readonly checksums: string;
  readonly pagesId: number;
}

/** Writes runs, which have to come in ascending order, to a pagemap and its pages image. */
export class PagemapWriter {
  readonly counts: PagemapCounts = { pages: 0, zeroBlocks: 0, payloadBytes: 0 };
  readonly #checksums: ChecksumWriter | undefined;

  private constructor(
    private readonly paths: PagemapPaths,
    private readonly modes: { readonly pagemap: number; readonly pages: number },
    private readonly pagemap: OutputFile,
    private readonly pages: OutputFile,
    private readonly context: WriterContext,
  ) {
    if (context.pool.checksummed) this.#checksums = new ChecksumWriter();
  }

  /** Creates both files. */
  static async create(
    paths: PagemapPaths,
    modes: { readonly pagemap: number; readonly pages: number },
    context: WriterContext,
  ): Promise<PagemapWriter> {
    const pagemap = await OutputFile.create(paths.pagemap, modes.pagemap);
    try {
      const pages = await OutputFile.create(paths.pages, modes.pages);
      const writer = new PagemapWriter(paths, modes, pagemap, pages, context);
      const head = thaw.PagemapHead.encode({ pages_id: paths.pagesId }).finish();
      await writer.#appendPagemap(encodeMagics(MAGIC.pagemap));
      await writer.#appendPagemap(encodeRecord(head));
      return writer;
    } catch (error) {
      await pagemap.close();
      throw error;
    }
  }

  /**
   * Writes one run, in entries of at most WRITTEN_ENTRY_PAGES_MAX pages if it is stored.
   *
   * @throws ThawError ABORTED, IO_FAILED, and what `read` throws.
   */
  async write(run: WrittenRun): Promise<void> {
    const lazy = run.lazy ? PAGEMAP_FLAG.lazy : 0;
    if (run.kind !== 'stored') {
      const flags = run.kind === 'parent' ? PAGEMAP_FLAG.parent | lazy : 0;
      await this.#writeEntry(run.vaddr, run.pageCount, newEntry(flags));
      return;
    }
    for (let page = 0; page < run.pageCount; page += WRITTEN_ENTRY_PAGES_MAX) {
      const pageCount = Math.min(run.pageCount - page, WRITTEN_ENTRY_PAGES_MAX);
      await this.#writeStored(run, page, pageCount, PAGEMAP_FLAG.present | lazy);
    }
  }

  /** Finishes both files. */
  async close(): Promise<void> {
    await Promise.all([this.pagemap.close(), this.pages.close()]);
    this.counts.payloadBytes = this.pages.byteLength;
    await this.#checksums?.finish(this.paths.checksums, this.modes.pages);
  }

  async #appendPagemap(bytes: Uint8Array): Promise<void> {
    this.#checksums?.takePagemap(bytes);
    await this.pagemap.append(bytes);
  }

  async #writeStored(
    run: WrittenRun,
    firstPage: number,
    pageCount: number,
    flags: number,
  ): Promise<void> {
    const entry = newEntry(flags);
    const { blockPages, pool } = this.context;
    const batchPages = Math.max(1, Math.floor(BATCH_PAGES / (blockPages || 1))) * (blockPages || 1);
    const underWay: { pages: number; encoded: Promise<EncodedBlocks> }[] = [];
    const takeFirst = async (): Promise<void> => {
      const first = underWay.shift();
      if (first !== undefined) await this.#appendBlocks(entry, await first.encoded, first.pages);
    };
    for (let page = 0; page < pageCount; page += batchPages) {
      this.#checkAborted();
      const pages = Math.min(batchPages, pageCount - page);
      const bytes = new Uint8Array(pages * PAGE_SIZE);
      await run.read?.(firstPage + page, bytes);
      const encoded = pool.encode(bytes, blockPages);
      encoded.catch(() => undefined); // it is awaited later, or never if an earlier one fails
      underWay.push({ pages, encoded });
      if (underWay.length >= pool.jobs * BATCHES_PER_JOB) await takeFirst();
    }
    while (underWay.length > 0) await takeFirst();
    await this.#writeEntry(run.vaddr + BigInt(firstPage) * BigInt(PAGE_SIZE), pageCount, entry);
    this.counts.pages += pageCount;
  }

  async #appendBlocks(entry: EntryBlocks, encoded: EncodedBlocks, pages: number): Promise<void> {
    const { sizes, payload, checksums } = encoded;
    const firstStored = sizes.findIndex((size) => size > 0);
    if (entry.payloadBytes === 0 && firstStored >= 0) {
      const isRaw = sizes[firstStored] === this.#fullSize(firstStored, pages);
      if (isRaw) await this.#alignPayload(entry);
    }
    for (const size of sizes) entry.sizes.push(size);
    for (const checksum of checksums.blocks) entry.checksums.blocks.push(checksum);
    for (const checksum of checksums.rawPages) entry.checksums.rawPages.push(checksum);
    entry.payloadBytes += payload.length;
    await this.pages.append(payload);
    this.counts.zeroBlocks += sizes.filter((size) => size === 0).length;
    this.context.onPages(pages, payload.length);
  }

  /** Bytes of the pages of `block`, where `pages` pages are in blocks from its first one on. */
  #fullSize(block: number, pages: number): number {
    const { blockPages } = this.context;
    return Math.min(blockPages, pages - block * blockPages) * PAGE_SIZE;
  }

  async #alignPayload(entry: EntryBlocks): Promise<void> {
    const beyond = this.pages.byteLength % PAGE_SIZE;
    if (beyond > 0) await this.pages.append(PADDING.subarray(beyond));
    entry.flags |= PAGEMAP_FLAG.payloadAligned;
  }

  /** Both counts are written, so that CRIU before 4.2 finds the one it knows. */
  async #writeEntry(vaddr: bigint, pageCount: number, entry: EntryBlocks): Promise<void> {
    const { sizes, flags, payloadBytes, checksums } = entry;
    const message: thaw.PagemapEntry.$Shape = {
      vaddr: fromBigint(vaddr),
      compat_nr_pages: pageCount,
      flags,
      nr_pages: fromBigint(BigInt(pageCount)),
    };
    const isRaw = sizes.every((size, block) => size === this.#fullSize(block, pageCount));
    if (sizes.length > 0 && !isRaw) {
      message.compressed_size = sizes;
      message.total_compressed_size = fromBigint(BigInt(payloadBytes));
      if (this.context.regions) message.region_pages = this.context.blockPages;
    }
    this.#checksums?.add(isRaw ? checksums.rawPages : checksums.blocks);
    await this.#appendPagemap(encodeRecord(thaw.PagemapEntry.encode(message).finish()));
  }

  #checkAborted(): void {
    if (!this.context.signal?.aborted) return;
    const cause = this.context.signal.reason;
    throw new ThawError('ABORTED', { what: 'writing the image was stopped', cause });
  }
}

function newEntry(flags: number): EntryBlocks {
  return { flags, payloadBytes: 0, sizes: [], checksums: { blocks: [], rawPages: [] } };
}
