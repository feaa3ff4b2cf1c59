/** Makes `inventory.img` for pages that are stored in another way. */
import { PAGE_SIZE } from '../address.js';
import { COMPRESS_MODES, type Inventory, VERSION_COMPRESSED } from '../image/inventory.js';
import { MAGIC } from '../image/record-file.js';
import { decodeMessage, thaw } from '../proto/messages.js';
import { encodeRecord } from './record-writer.js';

/** CRIU's v1.1: the newest version that it writes for plain pages. */
const VERSION_PLAIN = 2;
/** The type magic, and the length of the one record. */
const FRAME_BYTES = 8;

/**
 * The bytes of an `inventory.img`.
 *
 * @param original bytes of the file of an image that opens, whose other fields are taken over.
 */
export function encodeInventory(
  inventory: Omit<Inventory, 'version'>,
  original?: Uint8Array,
): Uint8Array {
  const { compress, regionPages } = inventory;
  const message: thaw.Inventory.$Shape = {
    img_version: compress === 'off' ? VERSION_PLAIN : VERSION_COMPRESSED,
  };
  if (compress !== 'off') message.compress = COMPRESS_MODES.indexOf(compress);
  if (compress === 'region') message.compress_region_size = regionPages * PAGE_SIZE;
  if (original !== undefined) {
    const { $unknowns } = decodeMessage(thaw.Inventory, firstRecord(original));
    if ($unknowns !== undefined) message.$unknowns = $unknowns;
  }
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(MAGIC.inventory);
  return Buffer.concat([magic, encodeRecord(thaw.Inventory.encode(message).finish())]);
}

/** CRIU writes one magic here; what has the common one in front is read all the same. */
function firstRecord(file: Uint8Array): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const start = view.getUint32(0, true) === MAGIC.inventory ? FRAME_BYTES : FRAME_BYTES + 4;
  return file.subarray(start, start + view.getUint32(start - 4, true));
}
