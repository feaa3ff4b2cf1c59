/**
 * The build-id of an ELF file, by which a mapped program or library is recognised.
 */
import { readSync } from 'node:fs';

const ELF_MAGIC = 0x464c457f;
const CLASS_64 = 2;
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const PT_NOTE = 4;
const NT_GNU_BUILD_ID = 3;
/** Larger note segments are no linker's work. */
const NOTES_BYTES_MAX = 64 * 1024;

/**
 * The GNU build-id of an open 64-bit little-endian ELF file as lower-case hex, or undefined when the
 * file is none or has none. `fd` stays the caller's.
 *
 * Source: elf(5).
 */
export function readBuildId(fd: number): string | undefined {
  const header = readAt(fd, 0, HEADER_BYTES);
  if (header === undefined || header.readUInt32LE(0) !== ELF_MAGIC) return undefined;
  if (header[4] !== CLASS_64) return undefined;
  const tableOffset = Number(header.readBigUInt64LE(32));
  const count = header.readUInt16LE(56);
  for (let i = 0; i < count; i++) {
    const entry = readAt(fd, tableOffset + i * PROGRAM_HEADER_BYTES, PROGRAM_HEADER_BYTES);
    if (entry === undefined) return undefined;
    if (entry.readUInt32LE(0) !== PT_NOTE) continue;
    const byteLength = Number(entry.readBigUInt64LE(32));
    if (byteLength > NOTES_BYTES_MAX) continue;
    const notes = readAt(fd, Number(entry.readBigUInt64LE(8)), byteLength);
    const buildId = notes === undefined ? undefined : findBuildId(notes);
    if (buildId !== undefined) return buildId;
  }
  return undefined;
}

function findBuildId(notes: Buffer): string | undefined {
  const padded = (length: number): number => Math.ceil(length / 4) * 4;
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameLength = notes.readUInt32LE(at);
    const valueLength = notes.readUInt32LE(at + 4);
    const name = at + 12;
    const value = name + padded(nameLength);
    if (value + valueLength > notes.length) return undefined;
    const isGnu = notes.toString('latin1', name, name + nameLength) === 'GNU\0';
    if (isGnu && notes.readUInt32LE(at + 8) === NT_GNU_BUILD_ID) {
      return notes.toString('hex', value, value + valueLength);
    }
    at = value + padded(valueLength);
  }
  return undefined;
}

function readAt(fd: number, offset: number, byteLength: number): Buffer | undefined {
  const bytes = Buffer.alloc(byteLength);
  return readSync(fd, bytes, 0, byteLength, offset) === byteLength ? bytes : undefined;
}
