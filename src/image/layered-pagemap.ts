/** The pages of one address space through a chain of dumps, as runs that each one dump owns. */
import { PAGE_SIZE, toVaddr } from '../address.js';
import { NO_CHECKSUM } from './checksums.js';
import { findLastAtMost } from './columns.js';
import { type Pagemap, sumBlocksBefore } from './pagemap.js';
import { PAGEMAP_FLAG } from './pagemap-entry.js';

/** Columns of {@link LayeredPagemap}, one row a run. */
export interface RunColumns {
  /** Page number at which a run begins. */
  readonly firstPage: Float64Array;
  /** Pages of a run. */
  readonly pageCount: Uint32Array;
  /** Layer that owns the run: 0 is the image itself, 1 its parent, and so on. */
  readonly layer: Uint16Array;
  /** Entry of that layer's pagemap. */
  readonly entry: Uint32Array;
  /** Pages of that entry in front of the run. */
  readonly skip: Uint32Array;
  /** Flags of the image's own entry (PAGEMAP_FLAG). */
  readonly flags: Uint8Array;
}

/** Where the payload of a part of a run is; the terms are those of a plan's extents. */
export interface PayloadPlace {
  /** Byte of the pages image: of the first page (raw) or of the first page's block. */
  fileOffset: number;
  /** Pages a block; 0 = raw. */
  blockPages: number;
  /** The block of the layer's pagemap that holds the first page. */
  firstBlock: number;
  /** Pages of that block in front of the first page. */
  skipPages: number;
  /** Pages from the start of that block to the end of its entry. */
  entryPages: number;
  /** The checksum of the layer's pagemap for the first page (raw) or its block; NO_CHECKSUM: none. */
  firstChecksum: number;
}

/** Pages in a row, by page number. */
export interface PageSpan {
  readonly firstPage: number;
  readonly pageCount: number;
}

/** One run of pages with what is stored for it, as {@link LayeredPagemap.extents} yields it. */
export interface ImageExtent {
  /** First address; for a shared object the offset in it. */
  readonly vaddr: bigint;
  /** Number of pages. */
  readonly pageCount: number;
  /** Whether bytes are stored; a `hole` is zero. */
  readonly kind: 'data' | 'hole';
  /** Whether CRIU may bring the pages lazily (LAZY). */
  readonly lazy: boolean;
  /** Directory that owns the bytes: 0 is the image itself, 1 its parent, and so on. */
  readonly layer: number;
  /** Id of the pages image of that directory. */
  readonly pagesId: number;
  /** Byte of the pages image: of the first page, or of its compressed block. */
  readonly fileOffset: number;
  /** Pages a compressed block; 0 = the pages are stored as they are. */
  readonly blockPages: number;
}

/**
 * The pages of a task or of a shared object, with the chain of parents resolved. Immutable; the
 * columns must not be written to.
 */
export class LayeredPagemap {
  constructor(
    /** The pagemap of the image itself, then those of its parents as far as they are needed. */
    readonly layers: readonly Pagemap[],
    /** The runs, ascending by address without overlap. */
    readonly runs: RunColumns,
  ) {}

  /** Number of runs. */
  get runCount(): number {
    return this.runs.firstPage.length;
  }

  /** The layer that owns `run`. */
  layerOf(run: number): Pagemap {
    const layer = this.layers[this.runs.layer[run] ?? 0];
    if (layer === undefined) throw new RangeError(`no run ${run}`);
    return layer;
  }

  /** Whether `run` has stored bytes; it is a hole otherwise. */
  isStored(run: number): boolean {
    const flags = this.layerOf(run).flags[this.runs.entry[run] ?? 0] ?? 0;
    return (flags & PAGEMAP_FLAG.present) !== 0;
  }

  /** Whether the bytes of `run` are where this image is not: a page server has them. */
  isRemote(run: number): boolean {
    const flags = this.layerOf(run).flags[this.runs.entry[run] ?? 0] ?? 0;
    const { lazy, parent, present } = PAGEMAP_FLAG;
    return (flags & (lazy | parent | present)) === lazy;
  }

  /** The first run that ends after page number `page`; {@link runCount} if there is none. */
  findRun(page: number): number {
    const run = findLastAtMost(this.runs.firstPage, page);
    if (run < 0) return 0;
    const end = (this.runs.firstPage[run] ?? 0) + (this.runs.pageCount[run] ?? 0);
    return page < end ? run : run + 1;
  }

  /** Where the payload of `run` is, from its page `page` (counted from the run's start) on. */
  place(run: number, page: number): PayloadPlace {
    const layer = this.layerOf(run);
    const entry = this.runs.entry[run] ?? 0;
    const pageInEntry = (this.runs.skip[run] ?? 0) + page;
    const payloadOffset = layer.payloadOffset[entry] ?? 0;
    const blockPages = layer.blockPages[entry] ?? 0;
    const checksum = layer.checksums === undefined ? undefined : layer.firstChecksum[entry];
    if (blockPages === 0) {
      return {
        fileOffset: payloadOffset + pageInEntry * PAGE_SIZE,
        blockPages,
        firstBlock: 0,
        skipPages: 0,
        entryPages: 0,
        firstChecksum: checksum === undefined ? NO_CHECKSUM : checksum + pageInEntry,
      };
    }
    const entryBlock = layer.firstBlock[entry] ?? 0;
    const blockInEntry = Math.floor(pageInEntry / blockPages);
    const firstBlock = entryBlock + blockInEntry;
    const stored =
      blockInEntry === 0
        ? 0
        : sumBlocksBefore(layer, firstBlock) - sumBlocksBefore(layer, entryBlock);
    return {
      fileOffset: payloadOffset + stored,
      blockPages,
      firstBlock,
      skipPages: pageInEntry - blockInEntry * blockPages,
      entryPages: (layer.pageCount[entry] ?? 0) - blockInEntry * blockPages,
      firstChecksum: checksum === undefined ? NO_CHECKSUM : checksum + blockInEntry,
    };
  }

  /** Number of stored pages. */
  countStored(): number {
    let pages = 0;
    for (let run = 0; run < this.runCount; run++) {
      if (this.isStored(run)) pages += this.runs.pageCount[run] ?? 0;
    }
    return pages;
  }

  /** Number of stored pages that have a checksum, of their own or of their block. */
  countChecksummed(): number {
    let pages = 0;
    for (let run = 0; run < this.runCount; run++) {
      if (!this.isStored(run) || this.layerOf(run).checksums === undefined) continue;
      pages += this.runs.pageCount[run] ?? 0;
    }
    return pages;
  }

  /** The stored pages by page number, in spans of at most `pagesMax` pages. */
  *storedSpans(pagesMax: number): Generator<PageSpan, void, undefined> {
    for (let run = 0; run < this.runCount; run++) {
      if (!this.isStored(run)) continue;
      const runStart = this.runs.firstPage[run] ?? 0;
      const runPages = this.runs.pageCount[run] ?? 0;
      for (let page = 0; page < runPages; page += pagesMax) {
        yield { firstPage: runStart + page, pageCount: Math.min(pagesMax, runPages - page) };
      }
    }
  }

  /**
   * The runs as objects, in the order of addresses. For millions of entries read {@link runs}.
   *
   * @example
   * for (const extent of task.pagemap.extents()) console.log(extent.vaddr, extent.pageCount);
   */
  *extents(): Generator<ImageExtent, void, undefined> {
    for (let run = 0; run < this.runCount; run++) {
      const { fileOffset, blockPages } = this.place(run, 0);
      yield {
        vaddr: toVaddr(this.runs.firstPage[run] ?? 0),
        pageCount: this.runs.pageCount[run] ?? 0,
        kind: this.isStored(run) ? 'data' : 'hole',
        lazy: ((this.runs.flags[run] ?? 0) & PAGEMAP_FLAG.lazy) !== 0,
        layer: this.runs.layer[run] ?? 0,
        pagesId: this.layerOf(run).pages.pagesId,
        fileOffset,
        blockPages,
      };
    }
  }
}
