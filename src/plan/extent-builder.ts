/** Collects extents as columns, and joins what lies together. */
import { formatVaddr, PAGE_SIZE, toVaddr } from '../address.js';
import { ThawError } from '../errors.js';
import { NO_CHECKSUM } from '../image/checksums.js';
import type { PayloadPlace } from '../image/layered-pagemap.js';
import { EXTENT_KIND, type ExtentColumns } from './restore-plan.js';

const WORD = 0x1_0000_0000;
const PAGES_PER_WORD = WORD / PAGE_SIZE;
const PAGE_INDEX_MAX = WORD - 1;
/** Longest extent: a power of two that fits the 32-bit column. */
const EXTENT_PAGES_MAX = 2 ** 31;

/** A column of 64-bit numbers that is written without making a `bigint` for each. */
class Uint64Column {
  readonly values: BigUint64Array;
  readonly #words: Uint32Array;

  constructor(capacity: number) {
    this.values = new BigUint64Array(capacity);
    this.#words = new Uint32Array(this.values.buffer);
  }

  setNumber(row: number, value: number): void {
    this.#words[row * 2] = value % WORD;
    this.#words[row * 2 + 1] = Math.floor(value / WORD);
  }

  setPage(row: number, page: number): void {
    this.#words[row * 2] = (page % PAGES_PER_WORD) * PAGE_SIZE;
    this.#words[row * 2 + 1] = Math.floor(page / PAGES_PER_WORD);
  }
}

/** The last extent, as long as the next one may continue it. */
interface OpenExtent {
  kind: number;
  endPage: number;
  source: number;
  /** Byte after its last one, if it is raw. */
  endOffset: number;
  /** Checksum of the page after its last one, if it is raw; NO_CHECKSUM: none. */
  endChecksum: number;
}

/** Builds {@link ExtentColumns}. Pages have to be added in ascending order. */
export class ExtentBuilder {
  dataPages = 0;
  holePages = 0;
  eagerPages = 0;
  #length = 0;
  #open: OpenExtent | undefined;
  readonly #vaddr: Uint64Column;
  readonly #fileOffset: Uint64Column;
  readonly #pageCount: Uint32Array;
  readonly #kind: Uint8Array;
  readonly #pageIndex: Uint32Array;
  readonly #source: Uint32Array;
  readonly #blockPages: Uint32Array;
  readonly #firstBlock: Uint32Array;
  readonly #skipPages: Uint32Array;
  readonly #entryPages: Uint32Array;
  readonly #firstChecksum: Uint32Array;

  /** @param capacity most extents that will come; memory that is not used is not touched. */
  constructor(capacity: number) {
    this.#vaddr = new Uint64Column(capacity);
    this.#fileOffset = new Uint64Column(capacity);
    this.#pageCount = new Uint32Array(capacity);
    this.#kind = new Uint8Array(capacity);
    this.#pageIndex = new Uint32Array(capacity);
    this.#source = new Uint32Array(capacity);
    this.#blockPages = new Uint32Array(capacity);
    this.#firstBlock = new Uint32Array(capacity);
    this.#skipPages = new Uint32Array(capacity);
    this.#entryPages = new Uint32Array(capacity);
    this.#firstChecksum = new Uint32Array(capacity);
  }

  /** Ends the last extent: the next page belongs to another region. */
  closeExtent(): void {
    this.#open = undefined;
  }

  /** Adds pages for which nothing is stored. */
  addHole(firstPage: number, pageCount: number): void {
    this.holePages += pageCount;
    let page = firstPage;
    let rest = pageCount;
    if (this.#continues(EXTENT_KIND.hole, firstPage)) {
      const taken = Math.min(rest, this.#room());
      this.#extend(taken);
      page += taken;
      rest -= taken;
    }
    for (; rest > 0; page += EXTENT_PAGES_MAX, rest -= EXTENT_PAGES_MAX) {
      this.#append(EXTENT_KIND.hole, page, Math.min(rest, EXTENT_PAGES_MAX));
    }
  }

  /** Adds stored pages (of at most one pagemap entry) that lie at `place` of `source`. */
  addStored(
    kind: number,
    firstPage: number,
    pageCount: number,
    source: number,
    place: PayloadPlace,
  ): void {
    const raw = place.blockPages === 0;
    const joins =
      raw &&
      this.#continues(kind, firstPage) &&
      this.#open?.source === source &&
      this.#open.endOffset === place.fileOffset &&
      this.#open.endChecksum === place.firstChecksum &&
      pageCount <= this.#room();
    if (joins) this.#extend(pageCount);
    else this.#appendStored(kind, firstPage, pageCount, source, place);
    if (kind === EXTENT_KIND.data) this.dataPages += pageCount;
    else this.eagerPages += pageCount;
    if (this.dataPages > PAGE_INDEX_MAX) {
      throw new ThawError('NR_PAGES_OVERFLOW', {
        what: 'a task has more stored pages than a plan can count',
        expected: `at most ${PAGE_INDEX_MAX}`,
        where: `address ${formatVaddr(toVaddr(firstPage))}`,
      });
    }
  }

  /** The columns, of exactly the extents added. */
  finish(): ExtentColumns {
    const length = this.#length;
    return {
      vaddr: this.#vaddr.values.subarray(0, length),
      pageCount: this.#pageCount.subarray(0, length),
      kind: this.#kind.subarray(0, length),
      fileOffset: this.#fileOffset.values.subarray(0, length),
      pageIndex: this.#pageIndex.subarray(0, length),
      source: this.#source.subarray(0, length),
      blockPages: this.#blockPages.subarray(0, length),
      firstBlock: this.#firstBlock.subarray(0, length),
      skipPages: this.#skipPages.subarray(0, length),
      entryPages: this.#entryPages.subarray(0, length),
      firstChecksum: this.#firstChecksum.subarray(0, length),
    };
  }

  #continues(kind: number, firstPage: number): boolean {
    return this.#open?.kind === kind && this.#open.endPage === firstPage;
  }

  /** Pages by which the last extent can grow. */
  #room(): number {
    return Math.max(0, EXTENT_PAGES_MAX - (this.#pageCount[this.#length - 1] ?? 0));
  }

  #extend(pageCount: number): void {
    const row = this.#length - 1;
    this.#pageCount[row] = (this.#pageCount[row] ?? 0) + pageCount;
    if (this.#open === undefined) return;
    this.#open.endPage += pageCount;
    this.#open.endOffset += pageCount * PAGE_SIZE;
    this.#open.endChecksum = behind(this.#open.endChecksum, pageCount);
  }

  #appendStored(
    kind: number,
    firstPage: number,
    pageCount: number,
    source: number,
    place: PayloadPlace,
  ): void {
    const row = this.#append(kind, firstPage, pageCount);
    this.#fileOffset.setNumber(row, place.fileOffset);
    this.#source[row] = source;
    this.#blockPages[row] = place.blockPages;
    this.#firstBlock[row] = place.firstBlock;
    this.#skipPages[row] = place.skipPages;
    this.#entryPages[row] = place.entryPages;
    this.#firstChecksum[row] = place.firstChecksum;
    const endPage = firstPage + pageCount;
    const endOffset = place.fileOffset + pageCount * PAGE_SIZE;
    const endChecksum = behind(place.firstChecksum, pageCount);
    this.#open =
      place.blockPages === 0 ? { kind, endPage, source, endOffset, endChecksum } : undefined;
  }

  #append(kind: number, firstPage: number, pageCount: number): number {
    const row = this.#length++;
    if (row >= this.#kind.length) throw new RangeError('more extents than the bound');
    this.#vaddr.setPage(row, firstPage);
    this.#pageCount[row] = pageCount;
    this.#kind[row] = kind;
    this.#pageIndex[row] = this.dataPages;
    this.#firstChecksum[row] = NO_CHECKSUM;
    const endPage = firstPage + pageCount;
    this.#open = { kind, endPage, source: 0, endOffset: 0, endChecksum: NO_CHECKSUM };
    return row;
  }
}

function behind(checksum: number, pageCount: number): number {
  return checksum === NO_CHECKSUM ? NO_CHECKSUM : checksum + pageCount;
}
