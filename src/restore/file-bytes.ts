/**
 * Whole reads and writes at a position of an open file.
 */
import { readSync, writeSync } from 'node:fs';
import { ThawError } from '../errors.js';

/** Writes all of `bytes` at `position`. */
export function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(fd, bytes, at, bytes.length - at, position + at);
  }
}

/** Fills all of `bytes` from `position`. @throws IO_FAILED when the file ends first. */
export function readAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(fd, bytes, at, bytes.length - at, position + at);
    if (count === 0) {
      throw new ThawError('IO_FAILED', {
        what: 'a file ended early',
        expected: `${bytes.length} bytes at ${position}`,
        found: `${at} bytes`,
      });
    }
    at += count;
  }
}
