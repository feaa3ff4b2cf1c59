/**
 * Reads the bytes of pages: by positioned reads through a window on each pages image, so that
 * neighbouring pages cost one read, and with one decoded block kept, so that none is decoded twice.
 */
import { crc32 } from 'node:zlib';
import { formatVaddr, PAGE_SIZE, toVaddr } from '../address.js';
import { ThawError } from '../errors.js';
import { mismatchError, NO_CHECKSUM } from './checksums.js';
import type { LayeredPagemap, PayloadPlace } from './layered-pagemap.js';
import { decodeBlock, LZ4_PREFIX_BYTES } from './lz4-block.js';
import type { Pagemap } from './pagemap.js';
import type { PagesImage } from './pages-image.js';

/** Most bytes taken in at once. */
export const WINDOW_BYTES = 1024 * 1024;

const NO_BYTES = new Uint8Array(0);

/** What a reader was asked for, to tell in an error. */
interface BlockRequest {
  layer: Pagemap;
  block: number;
  fileOffset: number;
  storedBytes: number;
  fullBytes: number;
  /** Page with which the block begins. */
  page: number;
  /** Its checksum, or `undefined`. */
  checksum: number | undefined;
}

/** Reads pages of one {@link LayeredPagemap}, best in the order of addresses. Not for parallel use. */
export class PageReader {
  readonly #windows = new Map<PagesImage, PayloadWindow>();
  #decodedLayer: Pagemap | undefined;
  #decodedBlock = -1;
  #decoded: Uint8Array = NO_BYTES;

  /**
   * @param readAheadBytes what a read may take in at once beyond what it was asked for, for a caller
   *   that goes on reading behind it.
   */
  constructor(
    private readonly pagemap: LayeredPagemap,
    private readonly readAheadBytes = 0,
  ) {}

  /**
   * Fills `target` (whole pages, all zero) with the pages from number `firstPage` on.
   *
   * @throws ThawError CHECKSUM_MISMATCH, LZ4_CORRUPT, PAGES_MISSING, PAGES_TRUNCATED, IO_FAILED.
   */
  async read(firstPage: number, target: Uint8Array): Promise<void> {
    const { pagemap } = this;
    const endPage = firstPage + target.length / PAGE_SIZE;
    for (let run = pagemap.findRun(firstPage); run < pagemap.runCount; run++) {
      const runStart = pagemap.runs.firstPage[run] ?? 0;
      if (runStart >= endPage) return;
      if (pagemap.isRemote(run)) throw remoteError(pagemap, run);
      if (!pagemap.isStored(run)) continue;
      const from = Math.max(runStart, firstPage);
      const to = Math.min(runStart + (pagemap.runs.pageCount[run] ?? 0), endPage);
      const part = target.subarray((from - firstPage) * PAGE_SIZE, (to - firstPage) * PAGE_SIZE);
      const place = pagemap.place(run, from - runStart);
      const budget = (endPage - from) * PAGE_SIZE + this.readAheadBytes;
      if (place.blockPages === 0) {
        await this.#readRaw(pagemap.layerOf(run), place.fileOffset, part, budget);
        checkPages(pagemap.layerOf(run), place, from, part);
      } else {
        await this.#readBlocks(pagemap.layerOf(run), place, from, part, budget);
      }
    }
  }

  async #readRaw(
    layer: Pagemap,
    fileOffset: number,
    target: Uint8Array,
    budget: number,
  ): Promise<void> {
    if (target.length >= WINDOW_BYTES) return layer.pages.read(target, fileOffset);
    const window = this.#windowOf(layer.pages);
    const start = await window.seek(fileOffset, target.length, budget);
    target.set(window.buffer.subarray(start, start + target.length));
  }

  async #readBlocks(
    layer: Pagemap,
    place: PayloadPlace,
    firstPage: number,
    target: Uint8Array,
    budget: number,
  ): Promise<void> {
    let { fileOffset, firstBlock: block, skipPages, entryPages } = place;
    for (let filled = 0; filled < target.length; block++) {
      const blockPages = Math.min(place.blockPages, entryPages);
      const fullBytes = blockPages * PAGE_SIZE;
      const storedBytes = layer.blockSize[block] ?? 0;
      const wanted = Math.min(fullBytes - skipPages * PAGE_SIZE, target.length - filled);
      if (storedBytes > 0) {
        const page = firstPage + filled / PAGE_SIZE - skipPages;
        const checksum = checksumAt(layer, place.firstChecksum, block - place.firstBlock);
        const request = { layer, block, fileOffset, storedBytes, fullBytes, page, checksum };
        const bytes = await this.#readBlock(request, budget - filled);
        const start = skipPages * PAGE_SIZE;
        target.set(bytes.subarray(start, start + wanted), filled);
      }
      filled += wanted;
      fileOffset += storedBytes;
      entryPages -= blockPages;
      skipPages = 0;
    }
  }

  /** The bytes of one block with a payload: a view that is valid until the next read. */
  async #readBlock(request: BlockRequest, budget: number): Promise<Uint8Array> {
    const { layer, block, fileOffset, storedBytes, fullBytes } = request;
    if (this.#decodedLayer === layer && this.#decodedBlock === block) return this.#decoded;
    const window = this.#windowOf(layer.pages);
    const start = await window.seek(fileOffset, storedBytes, budget);
    const end = start + storedBytes;
    checkBlock(request, window.buffer.subarray(start, end));
    if (storedBytes === fullBytes) return window.buffer.subarray(start, end);
    const decoded = decodeBlock(window.buffer, start, end, fullBytes);
    if (decoded === undefined) throw corruptError(request);
    this.#decodedLayer = layer;
    this.#decodedBlock = block;
    this.#decoded = decoded;
    return decoded;
  }

  #windowOf(pages: PagesImage): PayloadWindow {
    let window = this.#windows.get(pages);
    if (window === undefined) {
      window = new PayloadWindow(pages);
      this.#windows.set(pages, window);
    }
    return window;
  }
}

function checksumAt(layer: Pagemap, first: number, index: number): number | undefined {
  return first === NO_CHECKSUM ? undefined : layer.checksums?.[first + index];
}

/** Checks raw pages that were read from `place`. */
function checkPages(
  layer: Pagemap,
  { firstChecksum, fileOffset }: PayloadPlace,
  firstPage: number,
  bytes: Uint8Array,
): void {
  if (firstChecksum === NO_CHECKSUM) return;
  for (let page = 0; page * PAGE_SIZE < bytes.length; page++) {
    const expected = checksumAt(layer, firstChecksum, page) ?? 0;
    const found = crc32(bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
    if (found === expected) continue;
    const where =
      `${layer.pages.path}, byte ${fileOffset + page * PAGE_SIZE}, of ${layer.path}, ` +
      `address ${formatVaddr(toVaddr(firstPage + page))}`;
    throw mismatchError('a page is not as it was written', where, { expected, found });
  }
}

/** Checks a block as it is stored: nothing that is damaged gets to the decoder. */
function checkBlock(request: BlockRequest, stored: Uint8Array): void {
  if (request.checksum === undefined) return;
  const found = crc32(stored);
  if (found === request.checksum) return;
  const expected = request.checksum;
  throw mismatchError('a block is not as it was written', whereIs(request), { expected, found });
}

function whereIs({ layer, block, fileOffset, page }: BlockRequest): string {
  return (
    `${layer.pages.path}, byte ${fileOffset}, block ${block} of ${layer.path}, ` +
    `address ${formatVaddr(toVaddr(page))}`
  );
}

function corruptError(request: BlockRequest): ThawError {
  const { storedBytes, fullBytes } = request;
  return new ThawError('LZ4_CORRUPT', {
    what: 'a compressed block does not decode to its size',
    expected: `${fullBytes} bytes from ${storedBytes}`,
    where: whereIs(request),
    hint: 'The image is damaged: take it again from where it was stored',
  });
}

/** The part of a pages image that was read last, with room in front for a block's size. */
class PayloadWindow {
  buffer = Buffer.alloc(LZ4_PREFIX_BYTES);
  #fileOffset = 0;
  #end = LZ4_PREFIX_BYTES;

  constructor(private readonly pages: PagesImage) {}

  /**
   * Where in {@link buffer} the `byteLength` bytes from `fileOffset` on are, which are read first if
   * they are not there; then up to `budget` bytes are read at once.
   */
  async seek(fileOffset: number, byteLength: number, budget: number): Promise<number> {
    const start = LZ4_PREFIX_BYTES + fileOffset - this.#fileOffset;
    if (fileOffset >= this.#fileOffset && start + byteLength <= this.#end) return start;
    const rest = this.pages.byteLength - fileOffset;
    const count = Math.max(byteLength, Math.min(budget, WINDOW_BYTES, rest));
    const size = LZ4_PREFIX_BYTES + count;
    if (this.buffer.length < size) this.buffer = Buffer.allocUnsafeSlow(size);
    this.#end = LZ4_PREFIX_BYTES;
    await this.pages.read(this.buffer.subarray(LZ4_PREFIX_BYTES, size), fileOffset);
    this.#fileOffset = fileOffset;
    this.#end = size;
    return LZ4_PREFIX_BYTES;
  }
}

/** Zeros would be wrong: the pages exist, but not here. */
function remoteError(pagemap: LayeredPagemap, run: number): ThawError {
  const address = formatVaddr(toVaddr(pagemap.runs.firstPage[run] ?? 0));
  return new ThawError('PAGES_MISSING', {
    what: 'the pages of an entry are not in the image: a page server has them',
    where: `${pagemap.layerOf(run).path}, address ${address}`,
  });
}
