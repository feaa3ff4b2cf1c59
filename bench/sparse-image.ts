/**
 * Images of any size that take no room on disk: all metadata is real, the pages image is one hole.
 */
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PAGE_SIZE } from '../src/address.js';
import { writeImage } from '../test/support/image-builder.js';

const START = 0x10_0000_0000n;
const LAZY_AND_PRESENT = 6;
/** Pages an entry, as CRIU writes them. */
const ENTRY_PAGES = 256;
const PAGES_ID = 1;

/** An image directory; `remove` takes it away. */
export interface SparseImage {
  readonly path: string;
  remove(): void;
}

/** One task with one anonymous area of `byteLength` bytes, all of it stored. */
export function makeSparseImage(byteLength: number): SparseImage {
  const path = mkdtempSync(join(tmpdir(), 'thaw-bench-'));
  const entries = Array.from({ length: byteLength / PAGE_SIZE / ENTRY_PAGES }, (_, i) => ({
    vaddr: START + BigInt(i * ENTRY_PAGES * PAGE_SIZE),
    pageCount: ENTRY_PAGES,
    flags: LAZY_AND_PRESENT,
  }));
  writeImage(path, {
    tasks: [
      {
        pid: 1000,
        vmas: [{ start: START, end: START + BigInt(byteLength) }],
        pagemap: { pagesId: PAGES_ID, entries, payload: new Uint8Array() },
      },
    ],
  });
  truncateSync(join(path, `pages-${PAGES_ID}.img`), byteLength);
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
