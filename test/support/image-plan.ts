/** The pager's side of a plan, for tests: decodes its columns, and finds the bytes of pages. */
import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import {
  type BlockColumns,
  EXTENT_KIND,
  type ExtentColumns,
  type RestorePlan,
} from '../../src/plan/restore-plan.js';
import { BlockCache, type PageModel } from './image-model.js';

const PAGE = 4096;
const NO_CHECKSUM = 0xffff_ffff;
const PAGE_BIG = 4096n;

/** A plan as native/core/plan_format.h lays it out. */
export interface DecodedPlan {
  readonly byteLength: bigint;
  readonly sourceCount: number;
  readonly regionStart: BigUint64Array;
  readonly regionEnd: BigUint64Array;
  readonly extents: ExtentColumns;
  readonly blocks: BlockColumns;
}

export function decodePlan(bytes: Uint8Array): DecodedPlan {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getBigUint64(0, true) !== 0x324e4c5057414854n) throw new Error('bad magic');
  const [regions = 0, extents = 0, blocks = 0, sourceCount = 0, checksums = 0] = [
    16, 20, 24, 28, 32,
  ].map((offset) => view.getUint32(offset, true));
  const offsets = Array.from({ length: 16 }, (_, index) =>
    Number(view.getBigUint64(40 + index * 8, true)),
  );
  const at = (index: number): number => {
    const offset = offsets[index] ?? 0;
    if (offset % 8 !== 0) throw new Error('a column is not aligned');
    return offset;
  };
  const copy = bytes.slice().buffer;
  const u64 = (index: number, count: number) => new BigUint64Array(copy, at(index), count);
  const u32 = (index: number, count: number) => new Uint32Array(copy, at(index), count);
  return {
    byteLength: view.getBigUint64(8, true),
    sourceCount,
    regionStart: u64(0, regions),
    regionEnd: u64(1, regions),
    extents: {
      vaddr: u64(2, extents),
      fileOffset: u64(3, extents),
      pageCount: u32(4, extents),
      pageIndex: u32(5, extents),
      kind: new Uint8Array(copy, at(6), extents),
      source: u32(7, extents),
      blockPages: u32(8, extents),
      firstBlock: u32(9, extents),
      skipPages: u32(10, extents),
      entryPages: u32(11, extents),
      firstChecksum: u32(14, extents),
    },
    blocks: {
      size: u32(12, blocks),
      sample: u64(13, Math.floor(blocks / 64) + 1),
      checksum: u32(15, checksums),
    },
  };
}

/** What a plan has for a page. */
export interface PlannedPage {
  readonly kind: number;
  /** Takes the bytes of a page that is stored. */
  readonly read: (() => Uint8Array) | undefined;
}

/** Every page of the extents, by page number. Throws if one comes twice. */
export function resolveExtents(
  plan: RestorePlan,
  extents: ExtentColumns,
  blocks: BlockColumns,
): Map<bigint, PlannedPage> {
  const files = plan.sources.map(({ path }) => readFileSync(path));
  const caches = files.map(() => new BlockCache());
  const pages = new Map<bigint, PlannedPage>();
  let before = 0n;
  extents.vaddr.forEach((vaddr, extent) => {
    if (vaddr < before) throw new Error('extents are not sorted');
    const pageCount = extents.pageCount[extent] ?? 0;
    const kind = extents.kind[extent] ?? 0;
    const file = files[extents.source[extent] ?? 0] ?? Buffer.alloc(0);
    const cache = caches[extents.source[extent] ?? 0] ?? new BlockCache();
    for (let page = 0; page < pageCount; page++) {
      const read = () => bytesOf(extents, extent, blocks, page, file, cache);
      const planned = { kind, read: kind === EXTENT_KIND.hole ? undefined : read };
      pages.set(vaddr / PAGE_BIG + BigInt(page), planned);
    }
    before = vaddr + BigInt(pageCount) * PAGE_BIG;
  });
  return pages;
}

function bytesOf(
  extents: ExtentColumns,
  extent: number,
  blocks: BlockColumns,
  page: number,
  file: Uint8Array,
  cache: BlockCache,
): Uint8Array {
  const blockPages = extents.blockPages[extent] ?? 0;
  let offset = Number(extents.fileOffset[extent] ?? 0n);
  if (blockPages === 0) {
    const bytes = file.slice(offset + page * PAGE, offset + (page + 1) * PAGE);
    compareChecksum(extents, extent, blocks, page, bytes);
    return bytes;
  }
  const pageFromBlock = (extents.skipPages[extent] ?? 0) + page;
  const blocksBefore = Math.floor(pageFromBlock / blockPages);
  const block = (extents.firstBlock[extent] ?? 0) + blocksBefore;
  for (let index = extents.firstBlock[extent] ?? 0; index < block; index++) {
    offset += blocks.size[index] ?? 0;
  }
  const rest = (extents.entryPages[extent] ?? 0) - blocksBefore * blockPages;
  const fullSize = Math.min(blockPages, rest) * PAGE;
  const size = blocks.size[block] ?? 0;
  if (size > 0) {
    compareChecksum(extents, extent, blocks, blocksBefore, file.subarray(offset, offset + size));
  }
  const bytes = cache.read(file, offset, size, fullSize);
  const start = (pageFromBlock - blocksBefore * blockPages) * PAGE;
  return bytes.slice(start, start + PAGE);
}

/** Throws if stored bytes do not have the checksum that the plan has for them, if it has one. */
function compareChecksum(
  extents: ExtentColumns,
  extent: number,
  blocks: BlockColumns,
  index: number,
  bytes: Uint8Array,
): void {
  const first = extents.firstChecksum[extent];
  if (first === NO_CHECKSUM) return;
  if (blocks.checksum[(first ?? 0) + index] !== crc32(bytes)) throw new Error('wrong checksum');
}

/** The stored pages among planned ones. */
export function storedPages(pages: ReadonlyMap<bigint, PlannedPage>): PageModel {
  const stored: PageModel = new Map();
  for (const [page, { read }] of pages) if (read !== undefined) stored.set(page, read());
  return stored;
}
