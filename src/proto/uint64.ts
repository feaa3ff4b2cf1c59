/**
 * The one place that converts protobuf's 64-bit values. The generated codec hands them out as two
 * 32-bit words (a `Long`), and would encode a `bigint` as 0 without an error.
 */
import type { thaw } from './generated/images.js';

/** A 64-bit value as the generated codec holds it. Both words may have either sign. */
export interface Uint64Words {
  readonly low: number;
  readonly high: number;
}

const WORD = 0x1_0000_0000;
const PAGES_PER_WORD = 0x10_0000;
const PAGE_MASK = 0xfff;

/** `words` as an unsigned `bigint`. */
export function toBigint(words: Uint64Words): bigint {
  return (BigInt(words.high >>> 0) << 32n) | BigInt(words.low >>> 0);
}

/** `words` as a `number`: exact up to 2^53, rounded beyond. */
export function toNumber(words: Uint64Words): number {
  return (words.high >>> 0) * WORD + (words.low >>> 0);
}

/** The page number of an address, exact for every 64-bit address. */
export function wordsToPageNumber(words: Uint64Words): number {
  return (words.high >>> 0) * PAGES_PER_WORD + (words.low >>> 12);
}

/** Bytes by which an address lies after the start of its page. */
export function offsetInPage(words: Uint64Words): number {
  return words.low & PAGE_MASK;
}

/** What the generated codec takes for a 64-bit field; it reads the two words only. */
export type Uint64Field = thaw.PagemapEntry['vaddr'];

/** `value` (0 to 2^64 - 1) for a field of a message that is to be encoded. */
export function fromBigint(value: bigint): Uint64Field {
  const low = Number(BigInt.asIntN(32, value));
  const high = Number(BigInt.asIntN(32, value >> 32n));
  return { low, high, unsigned: true } as Uint64Field;
}
