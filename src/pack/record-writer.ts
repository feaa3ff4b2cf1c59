/** Frames of record files, for writing. Source: docs/images.md. */
import { COMMON_MAGIC } from '../image/record-file.js';

/** The magics of a file of type `magic`. */
export function encodeMagics(magic: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(COMMON_MAGIC, 0);
  bytes.writeUInt32LE(magic, 4);
  return bytes;
}

/** A message behind its length. */
export function encodeRecord(message: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(4 + message.length);
  bytes.writeUInt32LE(message.length, 0);
  bytes.set(message, 4);
  return bytes;
}
