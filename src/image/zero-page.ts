/** Tells pages that are all zero. */
import { PAGE_SIZE } from '../address.js';

const ZEROS = new Uint8Array(PAGE_SIZE);

/** Whether whole pages are all zero. */
export function isZero(pages: Uint8Array): boolean {
  for (let offset = 0; offset < pages.length; offset += PAGE_SIZE) {
    if (Buffer.compare(pages.subarray(offset, offset + PAGE_SIZE), ZEROS) !== 0) return false;
  }
  return true;
}
