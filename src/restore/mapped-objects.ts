/**
 * What regions map besides anonymous memory: shared memory objects and files.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { Checkpoint } from '../image/checkpoint.js';
import type { RegularFile } from '../image/files.js';
import type { Vma } from '../image/vma.js';
import { native } from '../native.js';
import { readBuildId } from './build-id.js';
import { writeAll } from './file-bytes.js';

/**
 * Opens the objects of a checkpoint's VMAs, each once, and owns their descriptors until `close()`.
 *
 * A shared memory object becomes one memfd for all hosts. A file is mapped when it is the one that was
 * dumped; otherwise the region gets anonymous memory, and the file's name is kept in `replaced`.
 */
export class MappedObjects {
  readonly #checkpoint: Checkpoint;
  readonly #memory: Map<number, number>;
  readonly #files = new Map<number, number | undefined>();
  readonly #replaced = new Set<string>();

  private constructor(checkpoint: Checkpoint, memory: Map<number, number>) {
    this.#checkpoint = checkpoint;
    this.#memory = memory;
  }

  /** Makes and fills the shared memory objects. */
  static async open(checkpoint: Checkpoint): Promise<MappedObjects> {
    const memory = new Map<number, number>();
    try {
      for (const object of checkpoint.sharedObjects) {
        const fd = native.createMemfd(
          object.name ?? `thaw-shmem-${object.shmid}`,
          Number(object.size),
        );
        memory.set(object.shmid, fd);
        for await (const { vaddr, bytes } of checkpoint.storedRuns(object)) {
          writeAll(fd, bytes, Number(vaddr));
        }
      }
    } catch (error) {
      for (const fd of memory.values()) native.closeFd(fd);
      throw error;
    }
    return new MappedObjects(checkpoint, memory);
  }

  /** Files whose regions got anonymous memory, because they are not (or no more) what was dumped. */
  get replaced(): readonly string[] {
    return [...this.#replaced];
  }

  /** The descriptor that a VMA maps, or undefined for anonymous memory. Stays this object's. */
  descriptorOf(vma: Vma): number | undefined {
    if (vma.shmid !== undefined) return this.#memory.get(vma.shmid);
    if (vma.fileId === undefined) return undefined;
    const file = this.#checkpoint.files.get(vma.fileId);
    if (file?.type !== 'regular') {
      this.#replaced.add(`memory file with id ${vma.fileId}`);
      return undefined;
    }
    if (!this.#files.has(file.id)) this.#files.set(file.id, openSame(file));
    const fd = this.#files.get(file.id);
    if (fd === undefined) this.#replaced.add(file.name);
    return fd;
  }

  /** Closes every descriptor. Harmless when repeated. */
  close(): void {
    for (const fd of this.#memory.values()) native.closeFd(fd);
    for (const fd of this.#files.values()) if (fd !== undefined) closeSync(fd);
    this.#memory.clear();
    this.#files.clear();
  }
}

/** Opens the file when it is there with the size and build-id of the dump. */
function openSame(file: RegularFile): number | undefined {
  let fd: number;
  try {
    // Without O_NONBLOCK a name that is a fifo by now would wait for its other end.
    fd = openSync(file.name, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined; // not there any more: the region gets anonymous memory, and the user is told
  }
  const status = fstatSync(fd);
  const sameSize = file.size === undefined || BigInt(status.size) === file.size;
  const sameBuild = file.buildId === undefined || readBuildId(fd) === file.buildId;
  if (status.isFile() && sameSize && sameBuild) return fd;
  closeSync(fd);
  return undefined;
}
