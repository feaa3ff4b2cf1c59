/**
 * `thaw-pack.img`: what `pack` changed, so that `unpack` gives the same bytes again. CRIU does not
 * know the file and leaves it alone.
 *
 * A record file (docs/images.md): PackHead, then PackPart after PackPart; the parts of one file
 * follow each other.
 */
import { createReadStream, existsSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ThawError } from '../errors.js';
import { exists } from '../image/files.js';
import { decodeRecord, formatPlace, readRecords } from '../image/record-file.js';
import { thaw } from '../proto/messages.js';
import type { CheckpointWriter } from './checkpoint-writer.js';
import { encodeMagics, encodeRecord } from './record-writer.js';

/** Name of the file in a packed image. */
export const PACK_RECORD_FILE = 'thaw-pack.img';

/** "THAW", little-endian. */
const MAGIC_PACK = 0x57414854;
const VERSION = 1;
const PART_BYTES = 1024 * 1024;
/** The files that packing changes and a record may hold. */
const NAMES_CHANGED = /^(inventory|pagemap-(shmem-)?\d+)\.img$/;

/** Writes the record with the present contents of `paths`. */
export async function writePackRecord(
  writer: CheckpointWriter,
  paths: readonly string[],
): Promise<void> {
  const file = await writer.openFile(PACK_RECORD_FILE);
  try {
    await file.append(encodeMagics(MAGIC_PACK));
    await file.append(encodeRecord(thaw.PackHead.encode({ version: VERSION }).finish()));
    for (const path of paths) {
      for await (const content of createReadStream(path, { highWaterMark: PART_BYTES })) {
        const part = thaw.PackPart.encode({ name: basename(path), content });
        await file.append(encodeRecord(part.finish()));
      }
    }
  } finally {
    await file.close();
  }
}

/**
 * Writes the files that the record of `directory` has into `target`, over those that are there.
 *
 * @returns whether there is a record.
 * @throws ThawError VERSION_UNSUPPORTED, PROTO_MALFORMED if the record names a file that `pack` does
 *   not change, and those of a record file.
 */
export async function restoreRecorded(directory: string, target: string): Promise<boolean> {
  const path = join(directory, PACK_RECORD_FILE);
  if (!(await exists(path))) return false;
  const begun = new Set<string>();
  let head: thaw.PackHead | undefined;
  await readRecords(path, MAGIC_PACK, (bytes, place) => {
    if (head === undefined) {
      head = decodeRecord(thaw.PackHead, bytes, place);
      checkVersion(head, path);
      return;
    }
    const { name, content } = decodeRecord(thaw.PackPart, bytes, place);
    const file = join(target, name);
    if (!NAMES_CHANGED.test(name) || !existsSync(file)) {
      throw new ThawError('PROTO_MALFORMED', {
        what: 'the pack record names a file that packing does not change',
        found: name,
        where: formatPlace(place),
      });
    }
    writeFileSync(file, content, { flag: begun.has(name) ? 'a' : 'w' });
    begun.add(name);
  });
  return true;
}

function checkVersion({ version }: thaw.PackHead, path: string): void {
  if (version === VERSION) return;
  throw new ThawError('VERSION_UNSUPPORTED', {
    what: 'the version of the pack record is not known',
    expected: String(VERSION),
    found: String(version),
    where: path,
  });
}
