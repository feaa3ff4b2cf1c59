/** What a file of checksums has to hold, worked out apart from src/. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { PAGE } from './image-builder.js';
import { decodeFields, decodePacked, decodeRecordFile, type WireValue } from './image-wire.js';

const PRESENT = 4;
const ALIGNED = 8;

/** A stretch of a pages image that has a checksum. */
export interface ChecksummedBytes {
  readonly offset: number;
  readonly byteLength: number;
}

/** The stretches in the order of their checksums, from a pagemap that `pack` wrote. */
export function listChecksummed(directory: string, pagemap: string): ChecksummedBytes[] {
  const [, ...entries] = decodeRecordFile(readFileSync(join(directory, pagemap)), 2);
  const stretches: ChecksummedBytes[] = [];
  let offset = 0;
  for (const entry of entries) {
    const fields = decodeFields(entry);
    const flags = Number(varintOf(fields, 4));
    if ((flags & PRESENT) === 0) continue;
    if (flags & ALIGNED) offset = Math.ceil(offset / PAGE) * PAGE;
    const pages = Number(varintOf(fields, 2));
    for (const byteLength of blockSizes(fields) ?? Array<number>(pages).fill(PAGE)) {
      stretches.push({ offset, byteLength });
      offset += byteLength;
    }
  }
  return stretches;
}

function varintOf(fields: readonly WireValue[], fieldNumber: number): bigint {
  return fields.find((field) => field.fieldNumber === fieldNumber)?.varint ?? 0n;
}

function blockSizes(fields: readonly WireValue[]): number[] | undefined {
  const sizes = fields.filter(({ fieldNumber }) => fieldNumber === 6);
  if (sizes.length === 0) return undefined;
  return sizes.flatMap(({ wireType, varint, bytes }) =>
    wireType === 0 ? [Number(varint)] : decodePacked(bytes).map(Number),
  );
}

/** The checksums that a file holds, and that of the pagemap. */
export function readChecksumFile(path: string): { pagemap: number; all: number[] } {
  const [head, ...parts] = decodeRecordFile(readFileSync(path), 2);
  const [version, pagemap] = decodeFields(head ?? new Uint8Array());
  if (version?.varint !== 1n) throw new Error('version');
  const all = parts.flatMap((part) => {
    const [field] = decodeFields(part);
    return Array.from({ length: (field?.bytes.length ?? 0) / 4 }, (_, i) =>
      uint32At(field?.bytes, i),
    );
  });
  return { pagemap: uint32At(pagemap?.bytes, 0), all };
}

function uint32At(bytes: Uint8Array | undefined, index: number): number {
  return Buffer.from(bytes ?? []).readUInt32LE(index * 4);
}

/** The checksums that a pagemap and its pages image should have. */
export function expectedChecksums(
  directory: string,
  pagemap: string,
  pages: string,
): { pagemap: number; all: number[] } {
  const payload = readFileSync(join(directory, pages));
  return {
    pagemap: crc32(readFileSync(join(directory, pagemap))),
    all: listChecksummed(directory, pagemap).map(({ offset, byteLength }) =>
      crc32(payload.subarray(offset, offset + byteLength)),
    ),
  };
}
