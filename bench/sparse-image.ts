/**
 * Images of any size that take no room on disk: all metadata is real, the pages image is one hole.
 */
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PAGE_SIZE } from '../src/address.js';
import { type EntrySpec, writeImage } from '../test/support/image-builder.js';
import { encodePacked } from '../test/support/image-wire.js';

const START = 0x10_0000_0000n;
const LAZY_AND_PRESENT = 6;
/** Pages an entry, as CRIU writes them. */
const ENTRY_PAGES = 256;
const PAGES_ID = 1;
/** Stored size of each block of a blocky image: a length that takes two bytes to write down. */
const BLOCK_BYTES = 300;

/** An image directory; `remove` takes it away. */
export interface SparseImage {
  readonly path: string;
  remove(): void;
}

/**
 * One task with one anonymous area of `byteLength` bytes, of which `storedBytes` are stored, in entries
 * that are spread evenly.
 */
export function makeSparseImage(byteLength: number, storedBytes = byteLength): SparseImage {
  const count = storedBytes / PAGE_SIZE / ENTRY_PAGES;
  return writeSparse({
    entries: listEntries(count, ENTRY_PAGES, byteLength / PAGE_SIZE / count),
    areaBytes: byteLength,
    pagesBytes: storedBytes,
    compress: 0,
  });
}

/** As {@link makeSparseImage}, of `count` entries of 16 pages with a hole of one page behind each. */
export function makeScatteredImage(count: number): SparseImage {
  const pageCount = 16;
  const stride = pageCount + 1;
  return writeSparse({
    entries: listEntries(count, pageCount, stride),
    areaBytes: count * stride * PAGE_SIZE,
    pagesBytes: count * pageCount * PAGE_SIZE,
    compress: 0,
  });
}

/** As {@link makeSparseImage}, compressed in `count` blocks of one page. */
export function makeBlockyImage(count: number): SparseImage {
  const sizes = encodePacked(Array.from({ length: ENTRY_PAGES }, () => BLOCK_BYTES));
  const entries = listEntries(count / ENTRY_PAGES, ENTRY_PAGES, ENTRY_PAGES).map(
    (entry): EntrySpec => ({
      ...entry,
      extra: [
        [6, sizes],
        [7, ENTRY_PAGES * BLOCK_BYTES],
      ],
    }),
  );
  const pagesBytes = count * BLOCK_BYTES;
  return writeSparse({ entries, areaBytes: count * PAGE_SIZE, pagesBytes, compress: 1 });
}

function listEntries(count: number, pageCount: number, strideInPages: number): EntrySpec[] {
  return Array.from({ length: count }, (_, i) => ({
    vaddr: START + BigInt(i * strideInPages * PAGE_SIZE),
    pageCount,
    flags: LAZY_AND_PRESENT,
  }));
}

interface SparseSpec {
  readonly entries: readonly EntrySpec[];
  readonly areaBytes: number;
  readonly pagesBytes: number;
  readonly compress: number;
}

function writeSparse({ entries, areaBytes, pagesBytes, compress }: SparseSpec): SparseImage {
  const path = mkdtempSync(join(tmpdir(), 'thaw-bench-'));
  writeImage(path, {
    compress,
    tasks: [
      {
        pid: 1000,
        vmas: [{ start: START, end: START + BigInt(areaBytes) }],
        pagemap: { pagesId: PAGES_ID, entries, payload: new Uint8Array() },
      },
    ],
  });
  truncateSync(join(path, `pages-${PAGES_ID}.img`), pagesBytes);
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
