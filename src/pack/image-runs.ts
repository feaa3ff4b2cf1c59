/** The runs of an image that is read, as runs of an image that is written. */
import { toVaddr } from '../address.js';
import { LayeredPagemap } from '../image/layered-pagemap.js';
import { PageReader, WINDOW_BYTES } from '../image/page-reader.js';
import { PAGEMAP_FLAG } from '../image/pagemap-entry.js';
import { ownRuns } from '../image/run-resolver.js';
import type { WrittenRun } from './pagemap-writer.js';

/** The image's own layer of `pagemap`: what is in parents stays there. */
export function ownLayer(pagemap: LayeredPagemap): LayeredPagemap {
  const [top] = pagemap.layers;
  if (top === undefined) throw new RangeError('a pagemap without layers');
  return new LayeredPagemap([top], ownRuns(top));
}

/**
 * The runs of `pagemap`, ready to be written.
 *
 * @param join whether stored runs that touch and are equally lazy become one, so that regions are not
 *   cut by the 256 pages at which CRIU ends an entry.
 */
export function* listRuns(pagemap: LayeredPagemap, join: boolean): Generator<WrittenRun> {
  const reader = new PageReader(pagemap, WINDOW_BYTES);
  let pending: RunSpan | undefined;
  for (let run = 0; run < pagemap.runCount; run++) {
    const span = spanOf(pagemap, run);
    if (join && pending !== undefined && continues(pending, span)) {
      pending = { ...pending, pageCount: pending.pageCount + span.pageCount };
      continue;
    }
    if (pending !== undefined) yield toWrittenRun(pending, reader);
    pending = span;
  }
  if (pending !== undefined) yield toWrittenRun(pending, reader);
}

interface RunSpan {
  readonly firstPage: number;
  readonly pageCount: number;
  readonly kind: WrittenRun['kind'];
  readonly lazy: boolean;
}

/** The laziness is that of the dump that has the bytes. */
function spanOf(pagemap: LayeredPagemap, run: number): RunSpan {
  const flags = pagemap.layerOf(run).flags[pagemap.runs.entry[run] ?? 0] ?? 0;
  let kind: WrittenRun['kind'] = 'hole';
  if ((flags & PAGEMAP_FLAG.present) !== 0) kind = 'stored';
  else if ((flags & PAGEMAP_FLAG.parent) !== 0) kind = 'parent';
  return {
    firstPage: pagemap.runs.firstPage[run] ?? 0,
    pageCount: pagemap.runs.pageCount[run] ?? 0,
    kind,
    lazy: (flags & PAGEMAP_FLAG.lazy) !== 0,
  };
}

function continues(before: RunSpan, span: RunSpan): boolean {
  return (
    before.kind === 'stored' &&
    span.kind === 'stored' &&
    before.lazy === span.lazy &&
    before.firstPage + before.pageCount === span.firstPage
  );
}

function toWrittenRun(span: RunSpan, reader: PageReader): WrittenRun {
  return {
    vaddr: toVaddr(span.firstPage),
    pageCount: span.pageCount,
    kind: span.kind,
    lazy: span.lazy,
    read: (page, target) => reader.read(span.firstPage + page, target),
  };
}
