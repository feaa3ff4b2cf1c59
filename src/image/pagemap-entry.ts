/** One record of a pagemap: the rules that it has to keep, whatever stands around it. */
import { formatVaddr, PAGE_SIZE } from '../address.js';
import { type ErrorCode, type ErrorParts, ThawError } from '../errors.js';
import { LZ4_REGION_BYTES_MAX } from '../limits.js';
import { fieldTag, hasField, thaw } from '../proto/messages.js';
import { offsetInPage, toBigint, toNumber, wordsToPageNumber } from '../proto/uint64.js';
import type { Inventory } from './inventory.js';
import { decodePlainEntry, type PlainEntry } from './plain-entry.js';
import { decodeRecord, formatPlace, type RecordPlace } from './record-file.js';

/** Flags of a pagemap entry. Source: docs/images.md. */
export const PAGEMAP_FLAG = { parent: 1, lazy: 2, present: 4, payloadAligned: 8 } as const;

const FLAGS_KNOWN = 15;
/** Page numbers are below 2^52 = 2^64 / 4096. */
const PAGE_NUMBER_END = 2 ** 52;
const PAGE_COUNT_MAX = 0xffff_ffff;
const REGION_PAGES_MAX = LZ4_REGION_BYTES_MAX / PAGE_SIZE;
const FIELD_MAX = 8;
const WIRE_TYPE_BYTES = 2;
/** Stored or in the parent, lazy or not: the flags that need no second look. */
const PLAIN_FLAGS: ReadonlySet<number> = new Set([1, 3, 4, 6, 12, 14]);
const NO_SIZES: readonly number[] = [];

/** One entry, decoded and checked. */
export interface PagemapEntry {
  firstPage: number;
  pageCount: number;
  flags: number;
  /** Pages a compressed block; 0 if the payload is raw or there is none. */
  blockPages: number;
  /** Stored sizes of the blocks; empty if the payload is raw or there is none. */
  blockSizes: readonly number[];
  /** Bytes of payload, without the padding in front of it. */
  payloadBytes: number;
  /** Whether it counts its pages in 64 bits, as CRIU does since 4.2. */
  wideCount: boolean;
  /** Whether its payload is taken as raw although a nested field that is not known may say more. */
  doubtful: boolean;
}

/**
 * Decodes one entry and checks everything that can be told from it and the inventory alone.
 *
 * @param remotePages whether a page server may have what the image does not: LAZY alone is right then.
 * @throws ThawError PROTO_MALFORMED, VADDR_UNALIGNED, NR_PAGES_ZERO, NR_PAGES_OVERFLOW,
 *   FLAGS_UNKNOWN, FLAGS_CONFLICT, PAGES_MISSING, COMPRESS_MODE_MISMATCH, REGION_TOO_LARGE,
 *   COMPRESSED_COUNT_MISMATCH, BLOCK_TOO_LARGE, TOTAL_MISMATCH or COMPRESS_LAYOUT_UNSUPPORTED.
 */
export function decodeEntry(
  bytes: Uint8Array,
  place: RecordPlace,
  inventory: Inventory,
  remotePages: boolean,
): PagemapEntry {
  const plain = decodePlainEntry(bytes);
  if (plain !== undefined && PLAIN_FLAGS.has(plain.flags)) return toEntry(plain, true);
  const message = decodeRecord(thaw.PagemapEntry, bytes, place);
  const nestedUnknown = message.$unknowns !== undefined && checkUnknowns(message, place);
  const span = checkSpan(message, place);
  const flags = checkFlags(message, place, remotePages);
  const entry = toEntry({ ...span, flags }, hasField(message, 'nr_pages'));
  if (hasCompression(message)) checkBlocks(message, entry, place, inventory);
  else if (nestedUnknown && inventory.compress !== 'off') checkLayout(message, entry, place);
  return entry;
}

/** An entry as it is while nothing is known of compression. */
function toEntry({ firstPage, pageCount, flags }: PlainEntry, wideCount: boolean): PagemapEntry {
  return {
    firstPage,
    pageCount,
    flags,
    blockPages: 0,
    blockSizes: NO_SIZES,
    payloadBytes: (flags & PAGEMAP_FLAG.present) === 0 ? 0 : pageCount * PAGE_SIZE,
    wideCount,
    doubtful: false,
  };
}

/** An error of one entry, with its place and address. */
function entryError(
  code: ErrorCode,
  message: thaw.PagemapEntry,
  place: RecordPlace,
  parts: ErrorParts,
): ThawError {
  const where = `${formatPlace(place)}, address ${formatVaddr(toBigint(message.vaddr))}`;
  return new ThawError(code, { ...parts, where });
}

/**
 * Fields that the codec did not take: other tools' own are skipped; a known field of a wrong type is
 * damage. Tells whether one of them is nested.
 */
function checkUnknowns(message: thaw.PagemapEntry, place: RecordPlace): boolean {
  let nested = false;
  for (const unknown of message.$unknowns ?? []) {
    const { fieldNumber, wireType } = fieldTag(unknown);
    if (fieldNumber <= FIELD_MAX) {
      throw entryError('PROTO_MALFORMED', message, place, {
        what: 'a field of a pagemap entry is of the wrong type',
        found: `field ${fieldNumber} with wire type ${wireType}`,
      });
    }
    nested ||= wireType === WIRE_TYPE_BYTES;
  }
  return nested;
}

function checkSpan(
  message: thaw.PagemapEntry,
  place: RecordPlace,
): { firstPage: number; pageCount: number } {
  if (offsetInPage(message.vaddr) !== 0) {
    throw entryError('VADDR_UNALIGNED', message, place, {
      what: 'a pagemap entry does not begin at a page border',
      expected: `a multiple of ${PAGE_SIZE}`,
    });
  }
  const firstPage = wordsToPageNumber(message.vaddr);
  const wide = hasField(message, 'nr_pages');
  const pageCount = wide ? toNumber(message.nr_pages) : message.compat_nr_pages;
  if (pageCount === 0) {
    throw entryError('NR_PAGES_ZERO', message, place, { what: 'a pagemap entry has no page' });
  }
  if (pageCount > PAGE_COUNT_MAX || firstPage + pageCount > PAGE_NUMBER_END) {
    throw entryError('NR_PAGES_OVERFLOW', message, place, {
      what: 'a pagemap entry has more pages than the address space',
      found: `${wide ? toBigint(message.nr_pages) : pageCount} pages`,
    });
  }
  return { firstPage, pageCount };
}

/** An entry of an old image has no flags: its pages are stored, unless it says in_parent. */
function checkFlags(message: thaw.PagemapEntry, place: RecordPlace, remotePages: boolean): number {
  const { parent, lazy, present, payloadAligned } = PAGEMAP_FLAG;
  let flags = message.flags;
  if (message.in_parent) flags |= parent;
  else if (!hasField(message, 'flags')) flags = present;
  if ((flags & ~FLAGS_KNOWN) !== 0) {
    throw entryError('FLAGS_UNKNOWN', message, place, {
      what: 'a pagemap entry has flags that are not known',
      expected: `none but 0x${FLAGS_KNOWN.toString(16)}`,
      found: `0x${(flags >>> 0).toString(16)}`,
    });
  }
  const stored = (flags & present) !== 0;
  if (stored ? (flags & parent) !== 0 : (flags & payloadAligned) !== 0) {
    throw entryError('FLAGS_CONFLICT', message, place, {
      what: 'the flags of a pagemap entry contradict each other',
      expected: 'either PRESENT (4) or PARENT (1), and PAYLOAD_ALIGNED (8) with PRESENT only',
      found: `0x${flags.toString(16)}`,
    });
  }
  if ((flags & (present | parent | lazy)) === lazy && !remotePages) {
    throw entryError('PAGES_MISSING', message, place, {
      what: 'the pages of an entry are not in the image',
      expected: 'PRESENT (4) or PARENT (1) beside LAZY (2)',
      hint:
        'The image was dumped with --lazy-pages: only the page server of the dump had them. While it ' +
        'runs, `thaw lazy-pages --page-server --address A --port P` restores from it',
    });
  }
  return flags;
}

function hasCompression(message: thaw.PagemapEntry): boolean {
  return (
    message.compressed_size.length > 0 ||
    hasField(message, 'total_compressed_size') ||
    hasField(message, 'region_pages')
  );
}

function checkBlocks(
  message: thaw.PagemapEntry,
  entry: PagemapEntry,
  place: RecordPlace,
  inventory: Inventory,
): void {
  if ((entry.flags & PAGEMAP_FLAG.present) === 0) {
    throw entryError('FLAGS_CONFLICT', message, place, {
      what: 'an entry whose pages are not stored has compressed blocks',
    });
  }
  entry.blockPages = checkBlockPages(message, place, inventory);
  entry.blockSizes = message.compressed_size;
  const blockCount = Math.ceil(entry.pageCount / entry.blockPages);
  if (entry.blockSizes.length !== blockCount) {
    throw entryError('COMPRESSED_COUNT_MISMATCH', message, place, {
      what: 'an entry does not have one size a block',
      expected: `${blockCount} sizes for ${entry.pageCount} pages`,
      found: String(entry.blockSizes.length),
    });
  }
  entry.payloadBytes = sumBlocks(message, entry, place);
  const total = hasField(message, 'total_compressed_size')
    ? toNumber(message.total_compressed_size)
    : undefined;
  if (total !== entry.payloadBytes) {
    throw entryError('TOTAL_MISMATCH', message, place, {
      what: 'the blocks of an entry do not add up to its total_compressed_size',
      expected: String(entry.payloadBytes),
      found: total === undefined ? 'none' : String(toBigint(message.total_compressed_size)),
    });
  }
}

function checkBlockPages(
  message: thaw.PagemapEntry,
  place: RecordPlace,
  inventory: Inventory,
): number {
  const blockPages = message.region_pages || 1;
  if (blockPages > REGION_PAGES_MAX) {
    throw entryError('REGION_TOO_LARGE', message, place, {
      what: 'the regions of an entry are larger than any can be',
      expected: `at most ${REGION_PAGES_MAX} pages`,
      found: String(blockPages),
    });
  }
  if (blockPages !== inventory.regionPages) {
    throw entryError('COMPRESS_MODE_MISMATCH', message, place, {
      what: 'an entry is compressed in another way than the inventory says',
      expected:
        inventory.compress === 'off'
          ? 'no compression'
          : `${describeBlocks(inventory.regionPages)} (mode ${inventory.compress})`,
      found: describeBlocks(blockPages),
    });
  }
  return blockPages;
}

function describeBlocks(pages: number): string {
  return pages === 1 ? 'blocks of 1 page' : `blocks of ${pages} pages`;
}

function sumBlocks(message: thaw.PagemapEntry, entry: PagemapEntry, place: RecordPlace): number {
  const { blockSizes, blockPages, pageCount } = entry;
  const fullSize = blockPages * PAGE_SIZE;
  const lastBlock = blockSizes.length - 1;
  let sum = 0;
  for (let block = 0; block <= lastBlock; block++) {
    const size = blockSizes[block] ?? 0;
    const limit = block === lastBlock ? (pageCount - lastBlock * blockPages) * PAGE_SIZE : fullSize;
    if (size > limit) {
      throw entryError('BLOCK_TOO_LARGE', message, place, {
        what: 'a compressed block is larger than what it holds',
        expected: `at most ${limit} bytes`,
        found: `${size} (block ${block})`,
      });
    }
    sum += size;
  }
  return sum;
}

/**
 * A stored entry whose sizes are in a nested field that we cannot read is never taken as raw. One
 * that is raw by its own word (PAYLOAD_ALIGNED) may have another tool's field: the size of the pages
 * image will tell.
 */
function checkLayout(message: thaw.PagemapEntry, entry: PagemapEntry, place: RecordPlace): void {
  if ((entry.flags & PAGEMAP_FLAG.present) === 0) return;
  if ((entry.flags & PAGEMAP_FLAG.payloadAligned) === 0) {
    throw entryError('COMPRESS_LAYOUT_UNSUPPORTED', message, place, layoutParts());
  }
  entry.doubtful = true;
}

/** What to say of an image in the nested layout. */
export function layoutParts(): ErrorParts {
  return {
    what: "the image seems to have CRIU's newer compression layout (nested `blocks`)",
    expected: 'compressed_size, total_compressed_size and region_pages in each compressed entry',
    found: 'a nested field that is not known',
    hint: 'Dump with a CRIU that writes the flat layout, or without compression',
  };
}
