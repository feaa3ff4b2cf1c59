/**
 * The wire protocol of CRIU's page server: headers of two layouts, little-endian, some with pages
 * behind them. Nothing on the wire tells which layout a peer speaks.
 *
 * | layout | command | pages | address | id | spoken by |
 * | --- | --- | --- | --- | --- | --- |
 * | 24 bytes | u32 at 0 | u32 at 4 | u64 at 8 | u64 at 16 | CRIU up to 4.1.1 |
 * | 32 bytes | u32 at 0 | u64 at 8 | u64 at 16 | u64 at 24 | CRIU 4.2 and later; bytes 4–7 mean nothing |
 *
 * The low half of the command word is the command, the high half are pagemap flags.
 */

/** Bytes of a header, which names its layout. */
export type HeaderLayout = 24 | 32;

/** Commands. Those from `add` to `parent` are of clients that store a dump. */
export const COMMAND = {
  add: 1,
  hole: 2,
  open: 3,
  openAsking: 4,
  parent: 5,
  addWithFlags: 6,
  get: 7,
  close: 0x1023,
  forceClose: 0x1024,
} as const;

/** Flags of pages that are in the reply, as in a pagemap (PRESENT). */
export const FLAG_PRESENT = 4;

/** The answer to a close: an int32, 0. */
export const CLOSE_REPLY_BYTES = 4;

const UINT16_BITS = 16;
const UINT16_MASK = 0xffff;
const COUNT_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** One header. */
export interface Header {
  /** {@link COMMAND}. */
  readonly command: number;
  /** Pagemap flags, 16 bits. */
  readonly flags: number;
  /** A count that no number holds exactly is Number.MAX_SAFE_INTEGER. */
  readonly pageCount: number;
  /** Address at the time of the dump. */
  readonly vaddr: bigint;
  /** Of a request for pages: the task's pid in the image. */
  readonly id: bigint;
}

/** Writes `header` to the start of `target`. The fields must fit their widths (RangeError). */
export function writeHeader(target: Buffer, header: Header, layout: HeaderLayout): void {
  const { command, flags, pageCount, vaddr, id } = header;
  target.writeUInt32LE(((flags << UINT16_BITS) | command) >>> 0, 0);
  if (layout === 24) {
    target.writeUInt32LE(pageCount, 4);
    target.writeBigUInt64LE(vaddr, 8);
    target.writeBigUInt64LE(id, 16);
  } else {
    target.writeUInt32LE(0, 4);
    target.writeBigUInt64LE(BigInt(pageCount), 8);
    target.writeBigUInt64LE(vaddr, 16);
    target.writeBigUInt64LE(id, 24);
  }
}

/** The header at the start of `bytes`, which are at least as many as its layout has. */
export function readHeader(bytes: Buffer, layout: HeaderLayout): Header {
  const word = bytes.readUInt32LE(0);
  const wide = layout === 32;
  const count = wide ? bytes.readBigUInt64LE(8) : BigInt(bytes.readUInt32LE(4));
  return {
    command: word & UINT16_MASK,
    flags: word >>> UINT16_BITS,
    pageCount: Number(count > COUNT_MAX ? COUNT_MAX : count),
    vaddr: bytes.readBigUInt64LE(wide ? 16 : 8),
    id: bytes.readBigUInt64LE(wide ? 24 : 16),
  };
}
