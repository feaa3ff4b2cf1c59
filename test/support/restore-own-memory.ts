/** Memory of this process that a pager serves: what a library user with a uffd of its own has. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NO_CHECKSUM } from '../../src/image/checksums.js';
import { EXTENT_KIND, type PagesSource, type TaskPlan } from '../../src/plan/restore-plan.js';
import { RegisterMode } from '../../src/uffd/flags.js';
import { Mapping } from '../../src/uffd/mapping.js';
import type { Uffd } from '../../src/uffd/uffd.js';
import { UffdBuilder } from '../../src/uffd/uffd-builder.js';
import { temporaryDirectory } from './restore-fixtures.js';

const PAGE = 4096;

/** `pages` pages of stored bytes in front, and as many holes behind them. */
export interface OwnMemory {
  readonly mapping: Mapping;
  readonly uffd: Uffd;
  readonly plan: TaskPlan;
  readonly sources: readonly [PagesSource];
  /** What the stored pages have to be. */
  readonly bytes: Uint8Array;
}

const made: OwnMemory[] = [];

/** For `afterEach`, before the pagers end: threads that wait for a page read zeros then. */
export async function releaseMemory(): Promise<void> {
  for (const { uffd, mapping } of made.splice(0)) {
    uffd.close();
    await mapping.unmap();
  }
}

export function makeMemory(pages: number): OwnMemory {
  const mapping = Mapping.anonymous(2 * pages * PAGE);
  const uffd = new UffdBuilder().closeOnExec(true).nonBlocking(true).userModeOnly(true).create();
  uffd.register(mapping.vaddr, mapping.byteLength, RegisterMode.MISSING);
  const bytes = Uint8Array.from({ length: pages * PAGE }, (_, i) => 1 + (((i >> 12) + i) % 251));
  const path = join(temporaryDirectory(), 'pages-1.img');
  writeFileSync(path, bytes);
  const sources = [{ path, byteLength: bytes.length }] as const;
  const memory = { mapping, uffd, plan: planFor(mapping.vaddr, pages), sources, bytes };
  made.push(memory);
  return memory;
}

/** One lazy region: stored pages from the start of the pages image, then holes. */
function planFor(start: bigint, pages: number): TaskPlan {
  const half = BigInt(pages * PAGE);
  return {
    pid: 1,
    comm: 'own',
    regions: {
      start: BigUint64Array.of(start),
      end: BigUint64Array.of(start + 2n * half),
      prot: Uint32Array.of(3),
      flags: Uint32Array.of(0x22),
      kind: Uint8Array.of(0),
      lazy: Uint8Array.of(1),
      advice: BigUint64Array.of(0n),
      objectId: Uint32Array.of(0),
      objectOffset: BigUint64Array.of(0n),
    },
    guards: { start: BigUint64Array.of(), end: BigUint64Array.of() },
    extents: {
      vaddr: BigUint64Array.of(start, start + half),
      pageCount: Uint32Array.of(pages, pages),
      kind: Uint8Array.of(EXTENT_KIND.data, EXTENT_KIND.hole),
      fileOffset: BigUint64Array.of(0n, 0n),
      pageIndex: Uint32Array.of(0, pages),
      source: Uint32Array.of(0, 0),
      blockPages: Uint32Array.of(0, 0),
      firstBlock: Uint32Array.of(0, 0),
      skipPages: Uint32Array.of(0, 0),
      entryPages: Uint32Array.of(0, 0),
      firstChecksum: Uint32Array.of(NO_CHECKSUM, NO_CHECKSUM),
    },
    blocks: { size: Uint32Array.of(), sample: BigUint64Array.of(0n), checksum: Uint32Array.of() },
    totals: { regions: 1, pages, dataPages: pages, holePages: pages, eagerPages: 0 },
    sourceCount: 1,
  };
}
