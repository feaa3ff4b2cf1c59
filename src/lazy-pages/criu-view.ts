/**
 * A view of an image that `criu restore --lazy-pages` of CRIU 4.1 and later can read, whatever form
 * the image has: plain, compressed, or a chain of dumps.
 *
 *   inventory.img            a version for plain pages, no compression
 *   mm-<pid>.img             without guard areas, which CRIU 4.1 refuses
 *   pagemap-*.img            the chain resolved; what can come lazily is marked so
 *   pages-<n>.img            sparse: the pages that CRIU reads itself, at their offsets
 *   everything else          copied
 *
 * Source: docs/criu.md, "What CRIU is given".
 */
import { constants } from 'node:fs';
import { copyFile, type FileHandle, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PAGE_SIZE, toVaddr } from '../address.js';
import { ThawError } from '../errors.js';
import type { Checkpoint } from '../image/checkpoint.js';
import { INVENTORY_FILE } from '../image/inventory.js';
import { PAGEMAP_FLAG } from '../image/pagemap-entry.js';
import { MAGIC, readRecords } from '../image/record-file.js';
import type { LiveTask, SharedObject } from '../image/task.js';
import { classifyVma } from '../image/vma.js';
import { encodeInventory } from '../pack/inventory-writer.js';
import { encodeMagics, encodeRecord } from '../pack/record-writer.js';
import { EXTENT_KIND, type ExtentColumns, type RestorePlan } from '../plan/restore-plan.js';
import { decodeMessage, thaw } from '../proto/messages.js';
import { fromBigint } from '../proto/uint64.js';

/** Files that the view has in another form, or that are no part of a dump. */
const NOT_COPIED =
  /^(inventory|pagemap-.+|pages-.+|mm-.+|thaw-.+)\.img$|^(parent|stats-.+)$|\.log$/;
/** Longest entry; CRIU's own are as long at most. */
const ENTRY_PAGES_MAX = 256;
/** Files of an image are open to no one else. */
const FILE_MODE = 0o600;

/** What the view could not take over. */
export interface CriuView {
  /** Guard areas, which this form of an image cannot hold: they become plain memory. */
  readonly droppedGuards: number;
}

/**
 * Writes the view into the empty `directory`. Reads the pages that CRIU reads eagerly, no others.
 *
 * @throws ThawError IO_FAILED, or what reading a page throws.
 */
export async function writeCriuView(
  checkpoint: Checkpoint,
  plan: RestorePlan,
  directory: string,
): Promise<CriuView> {
  try {
    await copyRest(checkpoint.directory, directory);
    const original = await readFile(join(checkpoint.directory, INVENTORY_FILE));
    const inventory = encodeInventory({ compress: 'off', regionPages: 0 }, original);
    await writeFile(join(directory, INVENTORY_FILE), inventory, { mode: FILE_MODE });
    let droppedGuards = 0;
    let pagesId = 0;
    for (const { pid, extents } of plan.tasks) {
      const task = checkpoint.tasks.find((candidate) => candidate.pid === pid) as LiveTask;
      droppedGuards += await writeMm(checkpoint.directory, directory, pid);
      const file = `pagemap-${pid}.img`;
      await writePagemap({ checkpoint, directory, file, pagesId: ++pagesId }, task, extents);
    }
    for (const object of checkpoint.sharedObjects) {
      const file = `pagemap-shmem-${object.shmid}.img`;
      const extents = eagerExtents(object);
      await writePagemap({ checkpoint, directory, file, pagesId: ++pagesId }, object, extents);
    }
    return { droppedGuards };
  } catch (cause) {
    if (cause instanceof ThawError) throw cause;
    throw new ThawError('IO_FAILED', {
      what: 'the view of the image for CRIU cannot be written',
      found: (cause as Error).message,
      where: directory,
      cause,
    });
  }
}

async function copyRest(source: string, directory: string): Promise<void> {
  for (const entry of await readdir(source, { withFileTypes: true })) {
    if (!entry.isFile() || NOT_COPIED.test(entry.name)) continue;
    const mode = constants.COPYFILE_FICLONE;
    await copyFile(join(source, entry.name), join(directory, entry.name), mode);
  }
}

/** @returns the number of guard areas that were left out. */
async function writeMm(source: string, directory: string, pid: number): Promise<number> {
  const parts: Uint8Array[] = [encodeMagics(MAGIC.mm)];
  const file = `mm-${pid}.img`;
  let dropped = 0;
  await readRecords(join(source, file), MAGIC.mm, (bytes) => {
    const message = decodeMessage(thaw.Mm, bytes);
    const kept = message.vmas.filter(({ status }) => classifyVma(status) !== 'guard');
    dropped += message.vmas.length - kept.length;
    message.vmas = kept;
    parts.push(encodeRecord(thaw.Mm.encode(message).finish()));
  });
  await writeFile(join(directory, file), Buffer.concat(parts), { mode: FILE_MODE });
  return dropped;
}

/** Shared memory never comes lazily: all of it is CRIU's to read. */
function eagerExtents({
  pagemap,
}: SharedObject): Pick<ExtentColumns, 'vaddr' | 'pageCount' | 'kind'> {
  const stored = [...pagemap.extents()].filter(({ kind }) => kind === 'data');
  return {
    vaddr: BigUint64Array.from(stored, ({ vaddr }) => vaddr),
    pageCount: Uint32Array.from(stored, ({ pageCount }) => pageCount),
    kind: new Uint8Array(stored.length).fill(EXTENT_KIND.eager),
  };
}

interface PagemapPlace {
  readonly checkpoint: Checkpoint;
  readonly directory: string;
  readonly file: string;
  readonly pagesId: number;
}

async function writePagemap(
  { checkpoint, directory, file, pagesId }: PagemapPlace,
  owner: LiveTask | SharedObject,
  extents: Pick<ExtentColumns, 'vaddr' | 'pageCount' | 'kind'>,
): Promise<void> {
  const head = thaw.PagemapHead.encode({ pages_id: pagesId }).finish();
  const records = [encodeMagics(MAGIC.pagemap), encodeRecord(head)];
  const pages = await open(join(directory, `pages-${pagesId}.img`), 'wx', FILE_MODE);
  try {
    let offset = 0;
    for (const { vaddr, pageCount, lazy } of entriesOf(extents)) {
      records.push(encodeEntry(vaddr, pageCount, lazy));
      if (!lazy) {
        await writeAll(pages, await checkpoint.readPages(owner, vaddr, pageCount), offset);
      }
      offset += pageCount * PAGE_SIZE;
    }
    await pages.truncate(offset);
  } finally {
    await pages.close();
  }
  await writeFile(join(directory, file), Buffer.concat(records), { mode: FILE_MODE });
}

/** Stored pages in entries of CRIU's own length. */
function* entriesOf({
  vaddr,
  pageCount,
  kind,
}: Pick<ExtentColumns, 'vaddr' | 'pageCount' | 'kind'>): Generator<{
  vaddr: bigint;
  pageCount: number;
  lazy: boolean;
}> {
  for (let row = 0; row < vaddr.length; row++) {
    if (kind[row] === EXTENT_KIND.hole) continue;
    const lazy = kind[row] === EXTENT_KIND.data;
    let start = vaddr[row] ?? 0n;
    for (let rest = pageCount[row] ?? 0; rest > 0; rest -= ENTRY_PAGES_MAX) {
      yield { vaddr: start, pageCount: Math.min(rest, ENTRY_PAGES_MAX), lazy };
      start += toVaddr(ENTRY_PAGES_MAX);
    }
  }
}

/** Both counts, so that every CRIU finds the one it knows. */
function encodeEntry(vaddr: bigint, pageCount: number, lazy: boolean): Uint8Array {
  const message: thaw.PagemapEntry.$Shape = {
    vaddr: fromBigint(vaddr),
    compat_nr_pages: pageCount,
    flags: PAGEMAP_FLAG.present | (lazy ? PAGEMAP_FLAG.lazy : 0),
    nr_pages: fromBigint(BigInt(pageCount)),
  };
  return encodeRecord(thaw.PagemapEntry.encode(message).finish());
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}
