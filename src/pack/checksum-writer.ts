/** Writes the checksums of one pages image. Source: docs/images.md. */
import { crc32 } from 'node:zlib';
import { CHECKSUMS_VERSION } from '../image/checksums.js';
import { GrowingColumn } from '../image/columns.js';
import { MAGIC } from '../image/record-file.js';
import { thaw } from '../proto/messages.js';
import { OutputFile } from './output-file.js';
import { encodeMagics, encodeRecord } from './record-writer.js';

/** Checksums of one record (1 MiB). */
const PART_LENGTH = 262_144;

/** Gathers checksums, four bytes each, until the pagemap that they belong to is complete. */
export class ChecksumWriter {
  readonly #checksums = new GrowingColumn(Uint32Array);
  #pagemapCrc32 = 0;

  /** Adds the checksums of an entry's payload. */
  add(checksums: ArrayLike<number>): void {
    this.#checksums.pushAll(checksums);
  }

  /** Takes the next bytes of the pagemap. */
  takePagemap(bytes: Uint8Array): void {
    this.#pagemapCrc32 = crc32(bytes, this.#pagemapCrc32);
  }

  /**
   * Writes them to a new file.
   *
   * @throws ThawError IO_FAILED
   */
  async finish(path: string, mode: number): Promise<void> {
    const file = await OutputFile.create(path, mode);
    try {
      const head = { version: CHECKSUMS_VERSION, pagemap_crc32: this.#pagemapCrc32 };
      await file.append(encodeMagics(MAGIC.checksums));
      await file.append(encodeRecord(thaw.ChecksumHead.encode(head).finish()));
      const all = this.#checksums.finish();
      for (let first = 0; first < all.length; first += PART_LENGTH) {
        const { buffer, byteOffset, byteLength } = all.subarray(first, first + PART_LENGTH);
        const part = { crc32: new Uint8Array(buffer, byteOffset, byteLength) };
        await file.append(encodeRecord(thaw.ChecksumPart.encode(part).finish()));
      }
    } finally {
      await file.close();
    }
  }
}
