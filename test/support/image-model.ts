/**
 * A second, slow reader of images for tests: written apart from src/, page by page in a Map, with its
 * own LZ4 decoder. It refuses little: what src/ accepts must have the bytes that it finds here.
 */
import { existsSync, lstatSync, readFileSync, readlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { decodeFields, decodePacked, decodeRecordFile, type WireValue } from './image-wire.js';

const PAGE = 4096;
const COMMON = 0x54564319;

/** Stored pages by page number. */
export type PageModel = Map<bigint, Uint8Array>;

/** Pages as text, for comparing. */
export function fingerprint(pages: PageModel): Record<string, number> {
  const numbers = [...pages.keys()].sort((a, b) => (a < b ? -1 : 1));
  return Object.fromEntries(
    numbers.map((page) => [page.toString(16), crc32(pages.get(page) ?? new Uint8Array())]),
  );
}

interface ModelEntry {
  readonly firstPage: bigint;
  readonly pageCount: number;
  readonly flags: number;
  readonly sizes: readonly number[];
  readonly blockPages: number;
}

/** What one directory has for a page. Bytes are made when they are asked for. */
type LayerPage = 'parent' | 'hole' | (() => Uint8Array);

/** The stored pages of `pagemap-<name>.img` of `directory`, parents included. */
export function readModel(directory: string, name: string): PageModel {
  const layers = new Map<string, Map<bigint, LayerPage>>();
  const layerOf = (path: string): Map<bigint, LayerPage> => {
    const layer = layers.get(path) ?? readLayer(path, name);
    layers.set(path, layer);
    return layer;
  };
  const model: PageModel = new Map();
  for (const page of layerOf(directory).keys()) {
    let path = directory;
    let found = layerOf(path).get(page);
    while (found === 'parent') {
      path = parentOf(path);
      found = layerOf(path).get(page);
    }
    if (found === undefined) throw new Error(`page ${page} is in no parent`);
    if (found !== 'hole') model.set(page, found());
  }
  return model;
}

function parentOf(directory: string): string {
  const link = join(directory, 'parent');
  const target = lstatSync(link).isSymbolicLink() ? readlinkSync(link) : readFileSync(link, 'utf8');
  return resolve(directory, target);
}

/** What one directory itself has for each page that its pagemap names. */
function readLayer(directory: string, name: string): Map<bigint, LayerPage> {
  const layer = new Map<bigint, LayerPage>();
  const path = join(directory, `pagemap-${name}.img`);
  if (!existsSync(path)) return layer;
  const file = readFileSync(path);
  const [head, ...records] = decodeRecordFile(file, file.readUInt32LE(0) === COMMON ? 2 : 1);
  const pagesId = lastVarint(decodeFields(head ?? new Uint8Array()), 1) ?? 0n;
  const pagesPath = join(directory, `pages-${pagesId}.img`);
  const payload = existsSync(pagesPath) ? readFileSync(pagesPath) : Buffer.alloc(0);
  const cache = new BlockCache();
  let offset = 0;
  for (const entry of records.map(decodeEntry)) {
    if (entry.flags & 8) offset = Math.ceil(offset / PAGE) * PAGE;
    const start = offset;
    if (entry.flags & 4) {
      offset += entry.sizes.reduce((sum, size) => sum + size, 0);
      if (entry.sizes.length === 0) offset += entry.pageCount * PAGE;
    }
    for (let page = 0; page < entry.pageCount; page++) {
      const stored = (): Uint8Array => readPage(entry, payload, start, page, cache);
      const other = entry.flags & 1 ? 'parent' : 'hole';
      layer.set(entry.firstPage + BigInt(page), entry.flags & 4 ? stored : other);
    }
  }
  return layer;
}

/** One page of an entry whose payload begins at `start`. */
function readPage(
  entry: ModelEntry,
  payload: Uint8Array,
  start: number,
  page: number,
  cache: BlockCache,
): Uint8Array {
  if (entry.sizes.length === 0) {
    return payload.slice(start + page * PAGE, start + (page + 1) * PAGE);
  }
  const block = Math.floor(page / entry.blockPages);
  const firstPage = block * entry.blockPages;
  const fullSize = Math.min(entry.blockPages, entry.pageCount - firstPage) * PAGE;
  const size = entry.sizes[block] ?? 0;
  const offset = start + entry.sizes.slice(0, block).reduce((sum, before) => sum + before, 0);
  const bytes = cache.read(payload, offset, size, fullSize);
  return bytes.slice((page - firstPage) * PAGE, (page - firstPage + 1) * PAGE);
}

function lastVarint(fields: readonly WireValue[], fieldNumber: number): bigint | undefined {
  return fields.findLast((field) => field.fieldNumber === fieldNumber && field.wireType === 0)
    ?.varint;
}

function decodeEntry(record: Uint8Array): ModelEntry {
  const fields = decodeFields(record);
  const ownFlags = lastVarint(fields, 4);
  const inParent = (lastVarint(fields, 3) ?? 0n) !== 0n;
  const flags = Number(BigInt.asUintN(32, ownFlags ?? (inParent ? 1n : 4n)));
  const sizes: number[] = [];
  for (const field of fields) {
    if (field.fieldNumber !== 6) continue;
    const values = field.wireType === 2 ? decodePacked(field.bytes) : [field.varint];
    sizes.push(...values.map((value) => Number(BigInt.asUintN(32, value))));
  }
  return {
    firstPage: (lastVarint(fields, 1) ?? 0n) / BigInt(PAGE),
    pageCount: Number(lastVarint(fields, 5) ?? BigInt.asUintN(32, lastVarint(fields, 2) ?? 0n)),
    flags,
    sizes,
    blockPages: Number(BigInt.asUintN(32, lastVarint(fields, 8) ?? 0n)) || 1,
  };
}

/** One LZ4 block, byte by byte. */
function decodeLz4(block: Uint8Array, byteLength: number): Uint8Array {
  const output = new Uint8Array(byteLength);
  let filled = 0;
  let offset = 0;
  const next = (): number => {
    const byte = block[offset++];
    if (byte === undefined) throw new Error('the block is cut off');
    return byte;
  };
  const put = (byte: number): void => {
    if (filled === byteLength) throw new Error(`more than ${byteLength} bytes`);
    output[filled++] = byte;
  };
  const extend = (length: number): number => {
    let total = length;
    for (let byte = length === 15 ? 255 : 0; byte === 255; total += byte) byte = next();
    return total;
  };
  while (offset < block.length) {
    const token = next();
    for (let count = extend(token >> 4); count > 0; count--) put(next());
    if (offset === block.length) break;
    const distance = next() | (next() << 8);
    if (distance === 0 || distance > filled) throw new Error('a match begins nowhere');
    for (let count = extend(token & 15) + 4; count > 0; count--)
      put(output[filled - distance] ?? 0);
  }
  if (filled !== byteLength) throw new Error(`${filled} bytes, not ${byteLength}`);
  return output;
}

/** Decodes blocks of one file, each once. */
export class BlockCache {
  readonly #blocks = new Map<number, Uint8Array>();

  /** The block of `size` stored bytes at `offset`, which holds `fullSize` bytes. */
  read(file: Uint8Array, offset: number, size: number, fullSize: number): Uint8Array {
    if (size === 0) return new Uint8Array(fullSize);
    const stored = file.slice(offset, offset + size);
    if (size === fullSize) return stored;
    const block = this.#blocks.get(offset) ?? decodeLz4(stored, fullSize);
    this.#blocks.set(offset, block);
    return block;
  }
}
