/**
 * An image with pages as programs have them: some zero, some that do not compress, most in between.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PAGE_SIZE } from '../src/address.js';
import { writeImage } from '../test/support/image-builder.js';
import type { SparseImage } from './sparse-image.js';

const START = 0x10_0000_0000n;
const LAZY_AND_PRESENT = 6;
const ENTRY_PAGES = 256;
const WORD_BYTES = 8;
/** Of 20 pages: so many are zero, so many random; the rest are heap-like. */
const PATTERN_PAGES = 20;
const ZERO_PAGES = 3;
const RANDOM_PAGES = 2;

/** One task with `byteLength` bytes of mixed pages; the same bytes each time. */
export function makeMixedImage(byteLength: number): SparseImage {
  const path = mkdtempSync(join(tmpdir(), 'thaw-bench-'));
  const pageCount = byteLength / PAGE_SIZE;
  const entries = Array.from({ length: Math.ceil(pageCount / ENTRY_PAGES) }, (_, i) => ({
    vaddr: START + BigInt(i * ENTRY_PAGES * PAGE_SIZE),
    pageCount: Math.min(ENTRY_PAGES, pageCount - i * ENTRY_PAGES),
    flags: LAZY_AND_PRESENT,
  }));
  const task = {
    pid: 1000,
    vmas: [{ start: START, end: START + BigInt(byteLength) }],
    pagemap: { pagesId: 1, entries, payload: mixedPages(pageCount) },
  };
  writeImage(path, { tasks: [task] });
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** `pageCount` such pages, the same each time. */
export function mixedPages(pageCount: number): Uint8Array {
  const words = new Uint32Array((pageCount * PAGE_SIZE) / 4);
  const wordsPerPage = PAGE_SIZE / 4;
  let state = 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  for (let page = 0; page < pageCount; page++) {
    const kind = page % PATTERN_PAGES;
    if (kind < ZERO_PAGES) continue;
    const random = kind < ZERO_PAGES + RANDOM_PAGES;
    const start = page * wordsPerPage;
    for (let word = start; word < start + wordsPerPage; word += WORD_BYTES / 4) {
      const value = next();
      if (random) {
        words[word] = value;
        words[word + 1] = next();
        continue;
      }
      // A heap: pointers into a megabyte, small numbers, and words that are zero.
      const shape = value & 3;
      if (shape === 1) words[word] = value & 0xff;
      if (shape !== 2) continue;
      words[word] = value & 0xffff0;
      words[word + 1] = 0x7f3a;
    }
  }
  return new Uint8Array(words.buffer);
}
