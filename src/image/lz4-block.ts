/**
 * One LZ4 block. lz4-napi wants the size of the output in front of a block, and would abort the
 * process on a size that cannot be allocated, so only sizes that were checked get here.
 */
import { uncompressSync } from 'lz4-napi';

/** Bytes in front of a block that {@link decodeBlock} writes the size to, and restores. */
export const LZ4_PREFIX_BYTES = 4;

/**
 * The `byteLength` bytes of the LZ4 block at `start` to `end` of `input`; `undefined` if it does not
 * decode to exactly that many. At least {@link LZ4_PREFIX_BYTES} bytes of `input` precede `start`.
 */
export function decodeBlock(
  input: Buffer,
  start: number,
  end: number,
  byteLength: number,
): Uint8Array | undefined {
  const prefixStart = start - LZ4_PREFIX_BYTES;
  const saved = input.readUInt32LE(prefixStart);
  input.writeUInt32LE(byteLength, prefixStart);
  try {
    const output = uncompressSync(input.subarray(prefixStart, end));
    return output.length === byteLength ? output : undefined;
  } catch {
    return undefined;
  } finally {
    input.writeUInt32LE(saved, prefixStart);
  }
}
