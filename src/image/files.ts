/**
 * `files.img` and `memfd.img`: what mappings are backed by. Images older than files.img have
 * `reg-files.img` instead; an image without open files has neither.
 */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { hasField, thaw } from '../proto/messages.js';
import { toBigint } from '../proto/uint64.js';
import { decodeRecord, MAGIC, readRecords } from './record-file.js';

/** `type` of a files.img record: a regular file, a memfd. */
const TYPE_REGULAR = 1;
const TYPE_MEMFD = 18;

/** A regular file that a task had open or mapped. */
export interface RegularFile {
  readonly type: 'regular';
  /** The file's id in the image; VMAs name files by it. */
  readonly id: number;
  /** Path at the time of the dump. */
  readonly name: string;
  /** Size in bytes at the time of the dump; absent in old images. */
  readonly size: bigint | undefined;
  /** `st_mode` at the time of the dump; absent in old images. */
  readonly mode: number | undefined;
  /** ELF build-id, lower-case hex; absent if the file has none. */
  readonly buildId: string | undefined;
}

/** A memory file (memfd_create, or the kernel's own behind a shared anonymous mapping). */
export interface MemfdFile {
  readonly type: 'memfd';
  /** The file's id in the image; VMAs name files by it. */
  readonly id: number;
  /** The inode in `memfd.img` that holds the memory. */
  readonly inodeId: number;
}

/** A file of the image that mappings can name. Files of other kinds (sockets, pipes) are left out. */
export type ImageFile = RegularFile | MemfdFile;

/** An inode of `memfd.img`. */
export interface MemfdInode {
  readonly inodeId: number;
  /** Name of the `pagemap-shmem-<shmid>.img` with its contents. */
  readonly shmid: number;
  readonly name: string;
  /** Size in bytes. */
  readonly size: bigint;
}

/**
 * Reads the files of `directory`, by their ids.
 *
 * @throws ThawError as a record file.
 */
export async function readFiles(directory: string): Promise<ReadonlyMap<number, ImageFile>> {
  const files = new Map<number, ImageFile>();
  const path = join(directory, 'files.img');
  if (await exists(path)) {
    await readRecords(path, MAGIC.files, (bytes, place) => {
      const { type, reg, memfd } = decodeRecord(thaw.File, bytes, place);
      if (type === TYPE_REGULAR && reg) files.set(reg.id, toRegularFile(reg));
      if (type === TYPE_MEMFD && memfd) {
        files.set(memfd.id, { type: 'memfd', id: memfd.id, inodeId: memfd.inode_id });
      }
    });
    return files;
  }
  const legacyPath = join(directory, 'reg-files.img');
  if (await exists(legacyPath)) {
    await readRecords(legacyPath, MAGIC.regularFiles, (bytes, place) => {
      const reg = decodeRecord(thaw.RegularFile, bytes, place);
      files.set(reg.id, toRegularFile(reg));
    });
  }
  return files;
}

function toRegularFile(reg: thaw.RegularFile.$Shape): RegularFile {
  const words = reg.build_id ?? [];
  const buildId = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => {
    buildId.writeUInt32LE(word, index * 4);
  });
  return {
    type: 'regular',
    id: reg.id,
    name: reg.name,
    size: hasField(reg, 'size') && reg.size ? toBigint(reg.size) : undefined,
    mode: hasField(reg, 'mode') ? (reg.mode ?? undefined) : undefined,
    buildId: words.length > 0 ? buildId.toString('hex') : undefined,
  };
}

/**
 * Reads `memfd.img` of `directory`, by inode id; `undefined` if the image has no such file.
 *
 * @throws ThawError as a record file.
 */
export async function readMemfds(
  directory: string,
): Promise<ReadonlyMap<number, MemfdInode> | undefined> {
  const path = join(directory, 'memfd.img');
  if (!(await exists(path))) return undefined;
  const inodes = new Map<number, MemfdInode>();
  await readRecords(path, MAGIC.memfd, (bytes, place) => {
    const message = decodeRecord(thaw.MemfdInode, bytes, place);
    inodes.set(message.inode_id, {
      inodeId: message.inode_id,
      shmid: message.shmid,
      name: message.name,
      size: toBigint(message.size),
    });
  });
  return inodes;
}

/** Whether there is anything at `path`. A dangling link is nothing; what cannot be told is there. */
export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}
