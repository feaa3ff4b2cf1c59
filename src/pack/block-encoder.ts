/** Turns pages into the blocks of a compressed entry. */
import { crc32 } from 'node:zlib';
import { compressSync } from 'lz4-napi';
import { PAGE_SIZE } from '../address.js';
import { isZero } from '../image/zero-page.js';

/** lz4-napi puts the size of the input in front of a block. */
const PREFIX_BYTES = 4;
/** A block is stored raw when LZ4 leaves this much of it. Source: docs/images.md. */
const RAW_FROM = 7 / 8;

/** Blocks of some pages, as the image stores them. */
export interface EncodedBlocks {
  /** Stored size of each block: 0 = all zero, its full size = raw, else one LZ4 block. */
  readonly sizes: Uint32Array<ArrayBuffer>;
  /** The blocks, back to back. */
  readonly payload: Uint8Array<ArrayBuffer>;
  /** Empty unless they were asked for. */
  readonly checksums: BlockChecksums;
}

/** Checksums of encoded blocks. */
export interface BlockChecksums {
  /** CRC-32 of each block as it is stored. */
  readonly blocks: Uint32Array<ArrayBuffer>;
  /** CRC-32 of each page of raw blocks: an entry whose blocks are all raw has these instead. */
  readonly rawPages: Uint32Array<ArrayBuffer>;
}

/**
 * Encodes whole pages in blocks of `blockPages` pages; the last block may be shorter. With
 * `blockPages` 0 the pages stay as they are, and have no blocks.
 */
export function encodeBlocks(
  pages: Uint8Array<ArrayBuffer>,
  blockPages: number,
  checksummed: boolean,
): EncodedBlocks {
  if (blockPages === 0) {
    const rawPages = checksummed ? checksumPages(pages) : [];
    const checksums = { blocks: new Uint32Array(0), rawPages: Uint32Array.from(rawPages) };
    return { sizes: new Uint32Array(0), payload: pages, checksums };
  }
  const blockBytes = blockPages * PAGE_SIZE;
  const sizes = new Uint32Array(Math.ceil(pages.length / blockBytes));
  const payload = new Uint8Array(pages.length);
  const blockChecksums = new Uint32Array(checksummed ? sizes.length : 0);
  const rawChecksums: number[] = [];
  let payloadBytes = 0;
  for (let block = 0; block < sizes.length; block++) {
    const bytes = pages.subarray(block * blockBytes, (block + 1) * blockBytes);
    const stored = encodeBlock(bytes);
    payload.set(stored, payloadBytes);
    sizes[block] = stored.length;
    payloadBytes += stored.length;
    if (!checksummed) continue;
    blockChecksums[block] = crc32(stored);
    if (stored.length === bytes.length) rawChecksums.push(...checksumPages(bytes));
  }
  const checksums = { blocks: blockChecksums, rawPages: Uint32Array.from(rawChecksums) };
  return { sizes, payload: payload.subarray(0, payloadBytes), checksums };
}

function checksumPages(bytes: Uint8Array): number[] {
  return Array.from({ length: bytes.length / PAGE_SIZE }, (_, page) =>
    crc32(bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)),
  );
}

function encodeBlock(bytes: Uint8Array): Uint8Array {
  if (isZero(bytes)) return bytes.subarray(0, 0);
  const packed = compressSync(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  const packedBytes = packed.length - PREFIX_BYTES;
  return packedBytes >= bytes.length * RAW_FROM ? bytes : packed.subarray(PREFIX_BYTES);
}
