/** The form in which a plan is handed to the pager. Layout: native/core/plan_format.h. */
import {
  EXTENT_KIND,
  type ExtentColumns,
  type RegionColumns,
  type TaskPlan,
} from './restore-plan.js';

/** "THAWPLN2", little-endian. */
const PLAN_MAGIC = 0x324e4c5057414854n;
const COUNTS_OFFSET = 16;
const CHECKSUM_COUNT_OFFSET = 32;
const OFFSETS_OFFSET = 40;
const COLUMN_COUNT = 16;
const HEADER_BYTES = OFFSETS_OFFSET + COLUMN_COUNT * 8;
const COLUMN_ALIGNMENT = 8;

type Column = BigUint64Array | Uint32Array | Uint8Array;

/** Rows of a column that are next to each other: from `begin` up to `end`. */
interface Rows {
  readonly begin: number;
  readonly end: number;
}

/**
 * The lazy regions of a task with their extents, as the pager maps them. The bytes belong to the
 * caller.
 *
 * @example
 * const memfd = createSealedMemfd('plan', encodePlan(plan.tasks[0]));
 */
export function encodePlan(plan: TaskPlan): Uint8Array {
  const { regions, extents, blocks } = plan;
  const regionRows = findLazyRegions(regions);
  const extentRows = findExtents(regions, extents);
  const columns: [Column, readonly Rows[]][] = [
    [regions.start, regionRows],
    [regions.end, regionRows],
    [extents.vaddr, extentRows],
    [extents.fileOffset, extentRows],
    [extents.pageCount, extentRows],
    [extents.pageIndex, extentRows],
    [extents.kind, extentRows],
    [extents.source, extentRows],
    [extents.blockPages, extentRows],
    [extents.firstBlock, extentRows],
    [extents.skipPages, extentRows],
    [extents.entryPages, extentRows],
    [blocks.size, [{ begin: 0, end: blocks.size.length }]],
    [blocks.sample, [{ begin: 0, end: blocks.sample.length }]],
    [extents.firstChecksum, extentRows],
    [blocks.checksum, [{ begin: 0, end: blocks.checksum.length }]],
  ];
  const offsets: number[] = [];
  let byteLength = HEADER_BYTES;
  for (const [column, rows] of columns) {
    offsets.push(byteLength);
    byteLength = alignUp(byteLength + countRows(rows) * column.BYTES_PER_ELEMENT);
  }
  const bytes = new Uint8Array(byteLength);
  const counts = [regionRows, extentRows].map(countRows);
  counts.push(blocks.size.length, plan.sourceCount);
  writeHeader(bytes, counts, blocks.checksum.length, offsets);
  columns.forEach(([column, rows], index) => {
    copyRows(column, rows, bytes, offsets[index] ?? 0);
  });
  const sourceOffset = offsets[columns.findIndex(([column]) => column === extents.source)] ?? 0;
  clearEagerSources(extents, extentRows, new Uint32Array(bytes.buffer, sourceOffset));
  return bytes;
}

/** The pager takes bytes for data only: an eager extent names no source. */
function clearEagerSources(
  extents: ExtentColumns,
  rows: readonly Rows[],
  sources: Uint32Array,
): void {
  let row = 0;
  for (const { begin, end } of rows) {
    for (let extent = begin; extent < end; extent++, row++) {
      if (extents.kind[extent] === EXTENT_KIND.eager) sources[row] = 0;
    }
  }
}

function alignUp(byteLength: number): number {
  return Math.ceil(byteLength / COLUMN_ALIGNMENT) * COLUMN_ALIGNMENT;
}

function countRows(rows: readonly Rows[]): number {
  return rows.reduce((sum, { begin, end }) => sum + end - begin, 0);
}

function findLazyRegions(regions: RegionColumns): Rows[] {
  const rows: Rows[] = [];
  regions.lazy.forEach((lazy, region) => {
    if (lazy === 1) rows.push({ begin: region, end: region + 1 });
  });
  return rows;
}

/** The extents of lazy regions: both are sorted, so one pass finds where each region's end. */
function findExtents(regions: RegionColumns, extents: ExtentColumns): Rows[] {
  const rows: Rows[] = [];
  let begin = 0;
  for (let region = 0; region < regions.start.length; region++) {
    const regionEnd = regions.end[region] ?? 0n;
    const end = lowerBound(extents.vaddr, regionEnd, begin);
    if (regions.lazy[region] === 1 && end > begin) rows.push({ begin, end });
    begin = end;
  }
  return rows;
}

/** The first row from `begin` on whose value is at least `value`. */
function lowerBound(column: BigUint64Array, value: bigint, begin: number): number {
  let low = begin;
  let high = column.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((column[middle] ?? 0n) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function writeHeader(
  bytes: Uint8Array,
  counts: readonly number[],
  checksumCount: number,
  offsets: readonly number[],
): void {
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, PLAN_MAGIC, true);
  view.setBigUint64(8, BigInt(bytes.length), true);
  counts.forEach((count, index) => {
    view.setUint32(COUNTS_OFFSET + index * 4, count, true);
  });
  view.setBigUint64(CHECKSUM_COUNT_OFFSET, BigInt(checksumCount), true);
  offsets.forEach((offset, index) => {
    view.setBigUint64(OFFSETS_OFFSET + index * 8, BigInt(offset), true);
  });
}

/** Columns are little-endian in memory already: x86-64 is. */
function copyRows(
  column: Column,
  rows: readonly Rows[],
  target: Uint8Array,
  targetOffset: number,
): void {
  const width = column.BYTES_PER_ELEMENT;
  let offset = targetOffset;
  for (const { begin, end } of rows) {
    const byteLength = (end - begin) * width;
    const source = new Uint8Array(column.buffer, column.byteOffset + begin * width, byteLength);
    target.set(source, offset);
    offset += byteLength;
  }
}
