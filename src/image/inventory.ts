/** `inventory.img`: the version of an image and how its pages are stored. */
import { join } from 'node:path';
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import { LZ4_REGION_BYTES_MAX } from '../limits.js';
import { thaw } from '../proto/messages.js';
import { decodeRecord, formatPlace, MAGIC, type RecordPlace, readRecords } from './record-file.js';

/** Name of the file in an image directory. */
export const INVENTORY_FILE = 'inventory.img';

/** How an image stores its pages: as they are, in LZ4 blocks of one page, or of one region. */
export type CompressMode = 'off' | 'page' | 'region';

/** `compress` of inventory.img by its number. */
export const COMPRESS_MODES: readonly CompressMode[] = ['off', 'page', 'region'];

/** First version whose pages may be compressed. */
export const VERSION_COMPRESSED = 3;

/** What `inventory.img` says of an image. */
export interface Inventory {
  /** 1 = CRIU's v1, 2 = v1.1, 3 = v1.2. */
  readonly version: number;
  /** How pages are stored. */
  readonly compress: CompressMode;
  /** Pages a region in mode `region`, 1 in mode `page`, 0 in mode `off`. */
  readonly regionPages: number;
}

/** What holds for a parent of a chain that has no inventory, as old pre-dumps have none. */
export const PLAIN_INVENTORY: Inventory = { version: 1, compress: 'off', regionPages: 0 };

/**
 * Reads and checks `inventory.img` of `directory`.
 *
 * @throws ThawError INVENTORY_EMPTY, VERSION_UNSUPPORTED, COMPRESS_MODE_UNKNOWN,
 *   COMPRESS_MODE_MISMATCH, REGION_SIZE_INVALID, REGION_TOO_LARGE, and those of a record file.
 */
export async function readInventory(directory: string): Promise<Inventory> {
  const path = join(directory, INVENTORY_FILE);
  let inventory: Inventory | undefined;
  await readRecords(path, MAGIC.inventory, (bytes, place) => {
    inventory ??= checkInventory(decodeRecord(thaw.Inventory, bytes, place), place);
  });
  if (inventory === undefined) {
    throw new ThawError('INVENTORY_EMPTY', { what: 'the inventory has no record', where: path });
  }
  return inventory;
}

function checkInventory(message: thaw.Inventory, place: RecordPlace): Inventory {
  const where = formatPlace(place);
  const version = message.img_version;
  if (version < 1 || version > VERSION_COMPRESSED) {
    throw new ThawError('VERSION_UNSUPPORTED', {
      what: 'the version of the image is not known',
      expected: `img_version 1 to ${VERSION_COMPRESSED}`,
      found: String(version),
      where,
    });
  }
  const compress = COMPRESS_MODES[message.compress];
  if (compress === undefined) {
    throw new ThawError('COMPRESS_MODE_UNKNOWN', {
      what: 'the compression mode of the image is not known',
      expected: 'compress 0 (off), 1 (page) or 2 (region)',
      found: String(message.compress),
      where,
    });
  }
  if (compress !== 'off' && version < VERSION_COMPRESSED) {
    throw new ThawError('COMPRESS_MODE_MISMATCH', {
      what: 'the image claims compressed pages, which its version cannot have',
      expected: `img_version ${VERSION_COMPRESSED}`,
      found: String(version),
      where,
    });
  }
  const regionPages =
    compress === 'region' ? checkRegion(message, where) : Number(compress === 'page');
  return { version, compress, regionPages };
}

function checkRegion(message: thaw.Inventory, where: string): number {
  const byteLength = message.compress_region_size;
  const tooLarge = byteLength > LZ4_REGION_BYTES_MAX;
  if (tooLarge || byteLength === 0 || byteLength % PAGE_SIZE !== 0) {
    throw new ThawError(tooLarge ? 'REGION_TOO_LARGE' : 'REGION_SIZE_INVALID', {
      what: 'the region size of the image is not possible',
      expected: `a multiple of ${PAGE_SIZE} up to ${LZ4_REGION_BYTES_MAX}`,
      found: String(byteLength),
      where,
    });
  }
  return byteLength / PAGE_SIZE;
}
