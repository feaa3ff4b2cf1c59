/**
 * `pagemap-<pid>.img` and `pagemap-shmem-<shmid>.img`: which pages a pages image holds, and where.
 *
 * An image can have millions of entries, so they are kept as columns.
 */
import { dirname, join } from 'node:path';
import { formatVaddr, PAGE_SIZE, toVaddr } from '../address.js';
import { ThawError } from '../errors.js';
import { thaw } from '../proto/messages.js';
import { type Checksums, checkPagemap, checksumsPath, readChecksums } from './checksums.js';
import { GrowingColumn } from './columns.js';
import type { Inventory } from './inventory.js';
import { decodeEntry, layoutParts, PAGEMAP_FLAG, type PagemapEntry } from './pagemap-entry.js';
import { PagesImage } from './pages-image.js';
import {
  decodeRecord,
  formatPlace,
  MAGIC,
  openImageFile,
  type RecordPlace,
  readRecords,
} from './record-file.js';
import { attempt, attemptSync, type Report } from './report.js';

/** Blocks between two samples of the running payload size. */
const BLOCK_SAMPLE_INTERVAL = 64;

const PAYLOAD_BYTES_MAX = Number.MAX_SAFE_INTEGER;

/**
 * One pagemap file with its pages image. Entries ascend by address without overlap. The columns have
 * one row an entry and must not be written to.
 */
export interface Pagemap {
  /** Path of the pagemap file. */
  readonly path: string;
  /** Where the payload is. */
  readonly pages: PagesImage;
  /** Number of entries. */
  readonly entryCount: number;
  /** Whether an entry counts its pages in 64 bits, as CRIU does since 4.2. */
  readonly wideCounts: boolean;
  /** Page number at which an entry begins. */
  readonly firstPage: Float64Array;
  /** Pages of an entry. */
  readonly pageCount: Uint32Array;
  /** PAGEMAP_FLAG bits of an entry, old forms translated. */
  readonly flags: Uint8Array;
  /** Byte of the pages image at which an entry's payload begins. */
  readonly payloadOffset: Float64Array;
  /** Pages a block of an entry; 0 = its payload is raw. */
  readonly blockPages: Uint16Array;
  /** Blocks of all entries before an entry. */
  readonly firstBlock: Uint32Array;
  /** Stored size of each block: 0 = all zero, its full size = raw, else one LZ4 block. */
  readonly blockSize: Uint32Array;
  /** Sum of `blockSize` before each 64th block, and before the end where that is one. */
  readonly blockSample: BigUint64Array;
  /** Checksums of all entries before an entry. */
  readonly firstChecksum: Uint32Array;
  /** CRC-32 of each page (raw) or block as it is stored; `undefined` if the image has none. */
  readonly checksums: Uint32Array | undefined;
}

/** A pagemap as it was read: `intact` unless a problem was reported and its entry left out. */
export interface PagemapReading {
  readonly pagemap: Pagemap;
  readonly intact: boolean;
}

/**
 * Reads and checks one pagemap, and that its pages image has exactly the payload it speaks of.
 *
 * @param report takes the problems of single entries; others are thrown.
 * @param remotePages whether a page server has lazy pages: they, and with them the end of the pages
 *   image or all of it, need not be there.
 * @throws ThawError PAGEMAP_EMPTY, ENTRIES_OVERLAP, PAGES_MISSING, PAGES_TRUNCATED, PAGES_TRAILING,
 *   COMPRESS_LAYOUT_UNSUPPORTED, those of an entry and of a record file.
 */
export async function readPagemap(
  path: string,
  inventory: Inventory,
  report: Report,
  remotePages = false,
): Promise<PagemapReading> {
  const builder = new PagemapBuilder(path);
  let pagesId: number | undefined;
  let intact = true;
  const reportEntry: Report = (problem) => {
    intact = false;
    report(problem);
  };
  await readRecords(path, MAGIC.pagemap, (bytes, place) => {
    if (pagesId === undefined) pagesId = decodeRecord(thaw.PagemapHead, bytes, place).pages_id;
    else {
      attemptSync(reportEntry, () => {
        builder.add(decodeEntry(bytes, place, inventory, remotePages), place);
      });
    }
  });
  if (pagesId === undefined) {
    throw new ThawError('PAGEMAP_EMPTY', { what: 'the pagemap has no record', where: path });
  }
  const pagesPath = join(dirname(path), `pages-${pagesId}.img`);
  const pages = await findPages(pagesPath, pagesId, remotePages || builder.payloadEnd === 0);
  const mayEndEarly = remotePages && pages.byteLength < builder.payloadEnd;
  if (intact && !mayEndEarly) builder.checkPayload(pages);
  const checksums = intact ? await findChecksums(path, pagesId, builder, report) : undefined;
  return { pagemap: builder.finish(pages, checksums), intact };
}

/** Checksums that cannot be used are reported, and the image is read without. */
async function findChecksums(
  pagemapPath: string,
  pagesId: number,
  { checksumCount }: PagemapBuilder,
  report: Report,
): Promise<Checksums | undefined> {
  const path = checksumsPath(dirname(pagemapPath), pagesId);
  return attempt(report, async () => {
    const checksums = await readChecksums(path);
    if (checksums !== undefined) {
      await checkPagemap(checksums, checksumCount, path, pagemapPath);
    }
    return checksums;
  });
}

async function findPages(
  path: string,
  pagesId: number,
  mayBeMissing: boolean,
): Promise<PagesImage> {
  let byteLength = 0;
  try {
    const file = await openImageFile(path, 'PAGES_MISSING');
    byteLength = file.byteLength;
    await file.handle.close();
  } catch (error) {
    if (!(mayBeMissing && error instanceof ThawError && error.code === 'PAGES_MISSING')) {
      throw error;
    }
  }
  return new PagesImage(path, pagesId, byteLength);
}

class PagemapBuilder {
  /** Bytes of payload so far. */
  payloadEnd = 0;
  /** Pages (raw) and blocks so far: each has a checksum where there are any. */
  checksumCount = 0;
  #nextPage = 0;
  #wideCounts = false;
  #doubtful: RecordPlace | undefined;
  readonly #firstPage = new GrowingColumn(Float64Array);
  readonly #pageCount = new GrowingColumn(Uint32Array);
  readonly #flags = new GrowingColumn(Uint8Array);
  readonly #payloadOffset = new GrowingColumn(Float64Array);
  readonly #blockPages = new GrowingColumn(Uint16Array);
  readonly #firstBlock = new GrowingColumn(Uint32Array);
  readonly #blockSize = new GrowingColumn(Uint32Array);
  readonly #firstChecksum = new GrowingColumn(Uint32Array);

  constructor(private readonly path: string) {}

  add(entry: PagemapEntry, place: RecordPlace): void {
    if (entry.firstPage < this.#nextPage) {
      throw new ThawError('ENTRIES_OVERLAP', {
        what: 'a pagemap entry begins before the one in front of it ends',
        expected: `an address from ${formatVaddr(toVaddr(this.#nextPage))}`,
        found: formatVaddr(toVaddr(entry.firstPage)),
        where: formatPlace(place),
      });
    }
    this.#nextPage = entry.firstPage + entry.pageCount;
    this.#wideCounts ||= entry.wideCount;
    if (entry.doubtful) this.#doubtful ??= place;
    if ((entry.flags & PAGEMAP_FLAG.payloadAligned) !== 0) {
      this.payloadEnd = Math.ceil(this.payloadEnd / PAGE_SIZE) * PAGE_SIZE;
    }
    this.#firstPage.push(entry.firstPage);
    this.#pageCount.push(entry.pageCount);
    this.#flags.push(entry.flags);
    this.#payloadOffset.push(this.payloadEnd);
    this.#blockPages.push(entry.blockPages);
    this.#firstBlock.push(this.#blockSize.length);
    if (entry.blockPages > 0) this.#blockSize.pushAll(entry.blockSizes);
    this.#firstChecksum.push(this.checksumCount);
    this.checksumCount +=
      entry.blockPages > 0 ? entry.blockSizes.length : entry.payloadBytes / PAGE_SIZE;
    this.payloadEnd += entry.payloadBytes;
    if (this.payloadEnd > PAYLOAD_BYTES_MAX) {
      throw new ThawError('PAGES_TRUNCATED', {
        what: 'the entries have more payload than any file',
        where: formatPlace(place),
      });
    }
  }

  /** Checks the payload of all entries against the size of the pages image. */
  checkPayload({ path: pagesPath, byteLength }: PagesImage): void {
    if (this.payloadEnd === byteLength) return;
    if (this.#doubtful !== undefined) {
      const where = formatPlace(this.#doubtful);
      throw new ThawError('COMPRESS_LAYOUT_UNSUPPORTED', { ...layoutParts(), where });
    }
    const truncated = byteLength < this.payloadEnd;
    throw new ThawError(truncated ? 'PAGES_TRUNCATED' : 'PAGES_TRAILING', {
      what: truncated
        ? 'the pages image is shorter than its pagemap says'
        : 'the pages image is longer than its pagemap says',
      expected: `${this.payloadEnd} bytes`,
      found: String(byteLength),
      where: `${pagesPath}, byte ${Math.min(byteLength, this.payloadEnd)}, of ${this.path}`,
    });
  }

  finish(pages: PagesImage, checksums: Checksums | undefined): Pagemap {
    const blockSize = this.#blockSize.finish();
    return {
      path: this.path,
      pages,
      entryCount: this.#firstPage.length,
      wideCounts: this.#wideCounts,
      firstPage: this.#firstPage.finish(),
      pageCount: this.#pageCount.finish(),
      flags: this.#flags.finish(),
      payloadOffset: this.#payloadOffset.finish(),
      blockPages: this.#blockPages.finish(),
      firstBlock: this.#firstBlock.finish(),
      blockSize,
      blockSample: sampleBlocks(blockSize),
      firstChecksum: this.#firstChecksum.finish(),
      checksums: checksums?.crc32,
    };
  }
}

/** The running sums of `blockSize` that {@link Pagemap.blockSample} holds. */
export function sampleBlocks(blockSize: Uint32Array): BigUint64Array {
  const samples = new BigUint64Array(Math.floor(blockSize.length / BLOCK_SAMPLE_INTERVAL) + 1);
  let sum = 0;
  for (let block = 0; block <= blockSize.length; block++) {
    if (block % BLOCK_SAMPLE_INTERVAL === 0) samples[block / BLOCK_SAMPLE_INTERVAL] = BigInt(sum);
    sum += blockSize[block] ?? 0;
  }
  return samples;
}

/** Sum of the stored sizes of all blocks before `block`. */
export function sumBlocksBefore(pagemap: Pagemap, block: number): number {
  const sample = Math.floor(block / BLOCK_SAMPLE_INTERVAL);
  let sum = Number(pagemap.blockSample[sample] ?? 0n);
  for (let index = sample * BLOCK_SAMPLE_INTERVAL; index < block; index++) {
    sum += pagemap.blockSize[index] ?? 0;
  }
  return sum;
}
