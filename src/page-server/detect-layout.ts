/** Which header layout a client speaks: of the two readings of a request, one names what there is. */
import type { ServedPages } from './served-pages.js';
import { type HeaderLayout, readHeader } from './wire.js';

/** Where the address of a 32-byte header is. */
const WIDE_VADDR_OFFSET = 16;

/**
 * The layout of the request for pages in `bytes`, the first 24 or more that a client sent; undefined
 * when it names nothing that the image has, however it is read.
 *
 * A pid of the 24-byte layout stands where the 32-byte one has its address, and no pid is as large as
 * an address is small, so one reading at most holds.
 */
export function detectLayout(bytes: Buffer, pages: ServedPages): HeaderLayout | undefined {
  if (pages.hasTask(readHeader(bytes, 24).id)) return 24;
  return pages.hasPageAt(bytes.readBigUInt64LE(WIDE_VADDR_OFFSET)) ? 32 : undefined;
}
