/**
 * `thaw-checksums-<id>.img`: a CRC-32 for every page that is stored raw, and for every block that is
 * not, of `pages-<id>.img`. CRIU does not know the file and leaves it alone.
 *
 * A record file (docs/images.md): ChecksumHead, then ChecksumPart after ChecksumPart.
 */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { ThawError } from '../errors.js';
import { thaw } from '../proto/messages.js';
import { GrowingColumn } from './columns.js';
import { exists } from './files.js';
import { decodeRecord, formatPlace, MAGIC, readRecords } from './record-file.js';

/** Version of the file that is read and written. */
export const CHECKSUMS_VERSION = 1;

/** Number of a checksum where there is none. */
export const NO_CHECKSUM = 0xffff_ffff;

/** What the files are called. */
export const CHECKSUMS_NAME = /^thaw-checksums-\d+\.img$/;

const BYTES_PER_CHECKSUM = 4;
const CHUNK_BYTES = 1024 * 1024;

/** Path of the checksums of a pages image. */
export function checksumsPath(directory: string, pagesId: number): string {
  return join(directory, `thaw-checksums-${pagesId}.img`);
}

/** The checksums of one pages image. */
export interface Checksums {
  /** In the order of the payload; docs/images.md says which there are. */
  readonly crc32: Uint32Array;
  /** CRC-32 of the pagemap that gives them their meaning. */
  readonly pagemapCrc32: number;
}

/**
 * Reads the checksums at `path`; `undefined` if there are none.
 *
 * @throws ThawError VERSION_UNSUPPORTED, CHECKSUMS_INVALID, and those of a record file.
 */
export async function readChecksums(path: string): Promise<Checksums | undefined> {
  if (!(await exists(path))) return undefined;
  const column = new GrowingColumn(Uint32Array);
  let head: thaw.ChecksumHead | undefined;
  await readRecords(path, MAGIC.checksums, (bytes, place) => {
    if (head === undefined) {
      head = decodeRecord(thaw.ChecksumHead, bytes, place);
      checkVersion(head, path);
      return;
    }
    const { crc32: part } = decodeRecord(thaw.ChecksumPart, bytes, place);
    if (part.length % BYTES_PER_CHECKSUM !== 0) {
      throw invalidError(formatPlace(place), 'whole checksums of 4 bytes', `${part.length} bytes`);
    }
    // A copy of its own: it begins anywhere in the record, and a column at a border of four bytes.
    column.pushAll(new Uint32Array(Uint8Array.from(part).buffer));
  });
  if (head === undefined) throw invalidError(path, 'a head', 'no record');
  return { crc32: column.finish(), pagemapCrc32: head.pagemap_crc32 };
}

function checkVersion({ version }: thaw.ChecksumHead, path: string): void {
  if (version === CHECKSUMS_VERSION) return;
  throw new ThawError('VERSION_UNSUPPORTED', {
    what: 'the version of the checksums is not known',
    expected: String(CHECKSUMS_VERSION),
    found: String(version),
    where: path,
  });
}

/**
 * Checks that `checksums` are those of the pagemap at `pagemapPath`, whose payload has `count` pages
 * and blocks with a checksum.
 *
 * @throws ThawError CHECKSUMS_INVALID, CHECKSUM_MISMATCH
 */
export async function checkPagemap(
  checksums: Checksums,
  count: number,
  path: string,
  pagemapPath: string,
): Promise<void> {
  let found = 0;
  for await (const chunk of createReadStream(pagemapPath, { highWaterMark: CHUNK_BYTES })) {
    found = crc32(chunk, found);
  }
  if (found !== checksums.pagemapCrc32) {
    throw mismatchError('a pagemap is not as it was written', pagemapPath, {
      expected: checksums.pagemapCrc32,
      found,
    });
  }
  if (checksums.crc32.length === count) return;
  throw invalidError(path, `${count} checksums`, String(checksums.crc32.length));
}

function invalidError(where: string, expected: string, found: string): ThawError {
  return new ThawError('CHECKSUMS_INVALID', {
    what: 'the checksums are not those of the pages image',
    expected,
    found,
    where,
    hint: 'Take the file again from where the image was stored; without it nothing is checked',
  });
}

/** The error of bytes that have another checksum than they were written with. */
export function mismatchError(
  what: string,
  where: string,
  crc: { readonly expected: number; readonly found: number },
): ThawError {
  return new ThawError('CHECKSUM_MISMATCH', {
    what,
    expected: `CRC-32 ${formatCrc32(crc.expected)}`,
    found: formatCrc32(crc.found),
    where,
    hint: 'The image is damaged: take it again from where it was stored',
  });
}

function formatCrc32(value: number): string {
  return value.toString(16).padStart(8, '0');
}
