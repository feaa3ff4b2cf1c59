/**
 * Images whose pages all differ, of any number of tasks and extents.
 */
import { closeSync, fsyncSync, linkSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PAGE_SIZE } from '../../src/address.js';
import { writeImage } from '../../test/support/image-builder.js';
import { mixedPages } from '../mixed-image.js';
import type { SparseImage } from '../sparse-image.js';

const START = 0x10_0000_0000n;
const LAZY_AND_PRESENT = 6;
const FIRST_PID = 1000;
const CHUNK_PAGES = 4096;

/** The shape of an image. */
export interface Grown {
  readonly tasks: number;
  /** Stored pages of each task; a multiple of 4096, or less than that. */
  readonly pagesEach: number;
  /** Extents of each task, with a hole between any two. */
  readonly extentsEach: number;
}

/** A file of pages, each like a page of a program and with its number in it. */
export function makePagesFile(pageCount: number): SparseImage {
  const directory = mkdtempSync(join(tmpdir(), 'thaw-bench-'));
  const path = join(directory, 'pages');
  const chunkPages = Math.min(CHUNK_PAGES, pageCount);
  const chunk = Buffer.from(mixedPages(chunkPages).buffer);
  const fd = openSync(path, 'wx');
  for (let first = 0; first < pageCount; first += chunkPages) {
    for (let page = 0; page < chunkPages; page++) {
      chunk.writeUInt32LE(first + page + 1, page * PAGE_SIZE);
    }
    writeSync(fd, chunk);
  }
  // What is still being written would be measured with the first trials.
  fsyncSync(fd);
  closeSync(fd);
  return { path, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** An image in which every task has the pages of `pagesFile`, which must be `pagesEach`. */
export function makeGrownImage(
  { tasks, pagesEach, extentsEach }: Grown,
  pagesFile: string,
): SparseImage {
  const path = mkdtempSync(join(tmpdir(), 'thaw-bench-'));
  const numbers = Array.from({ length: tasks }, (_, i) => i + 1);
  const bounds = Array.from({ length: extentsEach + 1 }, (_, i) =>
    Math.round((pagesEach * i) / extentsEach),
  );
  // Behind each extent, a page that is not stored.
  const vaddrOf = (page: number, extent: number): bigint =>
    START + BigInt((page + extent) * PAGE_SIZE);
  const entries = bounds.slice(1).map((end, extent) => {
    const first = bounds[extent] ?? 0;
    return {
      vaddr: vaddrOf(first, extent),
      pageCount: end - first,
      flags: LAZY_AND_PRESENT,
    };
  });
  const vmas = [{ start: START, end: vaddrOf(pagesEach, extentsEach) }];
  writeImage(path, {
    tasks: numbers.map((number) => ({
      pid: FIRST_PID + number,
      vmas,
      pagemap: { pagesId: number, entries, payload: new Uint8Array() },
    })),
  });
  for (const number of numbers) {
    const pages = join(path, `pages-${number}.img`);
    rmSync(pages);
    linkSync(pagesFile, pages);
  }
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
