/**
 * The pages of one address space through a chain of dumps: every entry that says "in the parent" is
 * replaced by the runs of pages that the parents have for it.
 */
import { formatVaddr, PAGE_SIZE, toVaddr } from '../address.js';
import { ThawError } from '../errors.js';
import { findLastAtMost, GrowingColumn } from './columns.js';
import { type Pagemap, sumBlocksBefore } from './pagemap.js';
import { PAGEMAP_FLAG } from './pagemap-entry.js';
import type { Report } from './report.js';

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
    if (blockPages === 0) {
      const fileOffset = payloadOffset + pageInEntry * PAGE_SIZE;
      return { fileOffset, blockPages, firstBlock: 0, skipPages: 0, entryPages: 0 };
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
    };
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

/** Hands out the pagemap of a further layer: `undefined` if that parent has none for this task. */
export type LayerSource = (layer: number) => Promise<Pagemap | undefined>;

/**
 * Resolves the entries of `top` that are in parents.
 *
 * @param parentCount number of parents of the image.
 * @param report takes the problems of single runs; others are thrown.
 * @throws ThawError PARENT_MISSING or PARENT_PAGE_MISSING, and those of reading a parent's pagemap.
 */
export async function resolveLayers(
  top: Pagemap,
  parentCount: number,
  readLayer: LayerSource,
  report: Report,
): Promise<LayeredPagemap> {
  const layers = [top];
  for (let layer = 1; layer <= parentCount && needsParent(layers[layer - 1]); layer++) {
    const pagemap = await readLayer(layer);
    if (pagemap === undefined) break;
    layers.push(pagemap);
  }
  if (!needsParent(top)) return new LayeredPagemap(layers, ownRuns(top));
  return new LayeredPagemap(layers, new RunResolver(layers, parentCount, report).resolve());
}

function needsParent(pagemap: Pagemap | undefined): boolean {
  return pagemap?.flags.some((flags) => (flags & PAGEMAP_FLAG.parent) !== 0) ?? false;
}

/** The entries of one pagemap as runs, those "in the parent" included; the columns are shared. */
export function ownRuns(top: Pagemap): RunColumns {
  const entry = new Uint32Array(top.entryCount);
  for (let row = 0; row < entry.length; row++) entry[row] = row;
  return {
    firstPage: top.firstPage,
    pageCount: top.pageCount,
    layer: new Uint16Array(top.entryCount),
    entry,
    skip: new Uint32Array(top.entryCount),
    flags: top.flags,
  };
}

/** A span of pages that is looked for in one layer. */
interface Span {
  firstPage: number;
  endPage: number;
  layer: number;
}

class RunResolver {
  readonly #firstPage = new GrowingColumn(Float64Array);
  readonly #pageCount = new GrowingColumn(Uint32Array);
  readonly #layer = new GrowingColumn(Uint16Array);
  readonly #entry = new GrowingColumn(Uint32Array);
  readonly #skip = new GrowingColumn(Uint32Array);
  readonly #flags = new GrowingColumn(Uint8Array);

  constructor(
    private readonly layers: readonly Pagemap[],
    private readonly parentCount: number,
    private readonly report: Report,
  ) {}

  resolve(): RunColumns {
    const top = this.layers[0];
    const entryCount = top?.entryCount ?? 0;
    for (let entry = 0; entry < entryCount; entry++) {
      const firstPage = top?.firstPage[entry] ?? 0;
      const endPage = firstPage + (top?.pageCount[entry] ?? 0);
      this.#resolveSpan({ firstPage, endPage, layer: 0 }, top?.flags[entry] ?? 0);
    }
    return {
      firstPage: this.#firstPage.finish(),
      pageCount: this.#pageCount.finish(),
      layer: this.#layer.finish(),
      entry: this.#entry.finish(),
      skip: this.#skip.finish(),
      flags: this.#flags.finish(),
    };
  }

  /** Emits runs for all pages of a span. A stack of what is left to do stands for recursion. */
  #resolveSpan(span: Span, topFlags: number): void {
    const stack = [span];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { firstPage, endPage, layer } = next;
      const pagemap = this.layers[layer];
      if (pagemap === undefined) {
        this.report(this.#missingError(next));
        continue;
      }
      const entry = findLastAtMost(pagemap.firstPage, firstPage);
      const entryStart = pagemap.firstPage[entry] ?? 0;
      const entryEnd = entryStart + (pagemap.pageCount[entry] ?? 0);
      if (entry < 0 || firstPage >= entryEnd) {
        this.report(this.#missingError(next));
        const nextStart = pagemap.firstPage[entry + 1] ?? endPage;
        if (nextStart < endPage) stack.push({ firstPage: nextStart, endPage, layer });
        continue;
      }
      const runEnd = Math.min(endPage, entryEnd);
      if (runEnd < endPage) stack.push({ firstPage: runEnd, endPage, layer });
      if (((pagemap.flags[entry] ?? 0) & PAGEMAP_FLAG.parent) !== 0) {
        stack.push({ firstPage, endPage: runEnd, layer: layer + 1 });
        continue;
      }
      this.#firstPage.push(firstPage);
      this.#pageCount.push(runEnd - firstPage);
      this.#layer.push(layer);
      this.#entry.push(entry);
      this.#skip.push(firstPage - entryStart);
      this.#flags.push(topFlags);
    }
  }

  #missingError({ firstPage, layer }: Span): ThawError {
    const address = `address ${formatVaddr(toVaddr(firstPage))}`;
    const child = this.layers[layer - 1]?.path;
    if (layer > this.parentCount) {
      return new ThawError('PARENT_MISSING', {
        what: 'a page is said to be in the parent image, but there is no parent',
        where: `${child}, ${address}`,
        hint: 'An incremental dump needs its `parent` link and every dump before it',
      });
    }
    return new ThawError('PARENT_PAGE_MISSING', {
      what: 'a page is said to be in the parent image, which does not have it',
      where: `${this.layers[layer]?.path ?? `parent ${layer} of ${child}`}, ${address}`,
    });
  }
}
