/**
 * Resolves a chain of dumps: every entry that says "in the parent" is replaced by the runs of pages
 * that the parents have for it.
 */
import { formatVaddr, toVaddr } from '../address.js';
import { ThawError } from '../errors.js';
import { findLastAtMost, GrowingColumn } from './columns.js';
import { LayeredPagemap, type RunColumns } from './layered-pagemap.js';
import type { Pagemap } from './pagemap.js';
import { PAGEMAP_FLAG } from './pagemap-entry.js';
import type { Report } from './report.js';

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
