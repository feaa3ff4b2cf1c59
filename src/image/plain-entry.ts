/**
 * The short way through a pagemap entry: most entries are four plain numbers, and there may be a million
 * of them. Whatever is unusual or wrong is left to the codec, which knows all forms and all complaints.
 */
import { PAGE_SIZE } from '../address.js';

/** Keys (field number and wire type) of the four numbers, each one byte. */
const KEY = { vaddr: 0x08, compatCount: 0x10, flags: 0x20, pageCount: 0x28 } as const;
const SEEN = { vaddr: 1, compatCount: 2, flags: 4, pageCount: 8 } as const;
const SEEN_ALL = 15;

const VARINT_BYTES_MAX = 7;
const UINT32_MAX = 0xffff_ffff;

/** An entry without compression. */
export interface PlainEntry {
  readonly firstPage: number;
  readonly pageCount: number;
  readonly flags: number;
}

/**
 * The entry in `bytes`, if it has vaddr, compat_nr_pages, flags and nr_pages once each and nothing else;
 * otherwise, and where the address is not that of a page, `undefined`. The flags are not checked.
 */
export function decodePlainEntry(bytes: Uint8Array): PlainEntry | undefined {
  let seen = 0;
  let vaddr = 0;
  let flags = 0;
  let pageCount = 0;
  for (let at = 0; at < bytes.length; ) {
    const key = bytes[at++];
    let value = 0;
    let scale = 1;
    let byte = 0x80;
    for (const end = at + VARINT_BYTES_MAX; byte >= 0x80; scale *= 0x80) {
      if (at === end || at >= bytes.length) return undefined;
      byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * scale;
    }
    const field = fieldOf(key);
    if (field === 0 || (seen & field) !== 0) return undefined;
    if (field !== SEEN.vaddr && value > UINT32_MAX) return undefined;
    seen |= field;
    if (field === SEEN.vaddr) vaddr = value;
    else if (field === SEEN.flags) flags = value;
    else if (field === SEEN.pageCount) pageCount = value;
  }
  if (seen !== SEEN_ALL || vaddr % PAGE_SIZE !== 0 || pageCount === 0) return undefined;
  return { firstPage: vaddr / PAGE_SIZE, pageCount, flags };
}

function fieldOf(key: number | undefined): number {
  if (key === KEY.vaddr) return SEEN.vaddr;
  if (key === KEY.compatCount) return SEEN.compatCount;
  if (key === KEY.flags) return SEEN.flags;
  return key === KEY.pageCount ? SEEN.pageCount : 0;
}
