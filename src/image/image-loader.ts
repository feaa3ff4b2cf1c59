/** Reads and checks the whole metadata of an image directory. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { formatRange, formatVaddr, PAGE_SIZE, toPageNumber, toVaddr } from '../address.js';
import { ThawError } from '../errors.js';
import { exists, type ImageFile, type MemfdInode, readFiles, readMemfds } from './files.js';
import { type Inventory, readInventory } from './inventory.js';
import type { LayeredPagemap } from './layered-pagemap.js';
import { readVmas, type ShmidOfFile } from './mm.js';
import { type Pagemap, readPagemap } from './pagemap.js';
import { type ImageDirectory, readParents } from './parent-chain.js';
import { readCore, readPstree, type TaskIdentity } from './pstree.js';
import { attempt, type Report, raise } from './report.js';
import { resolveLayers } from './run-resolver.js';
import type { SharedObject, Task } from './task.js';
import type { Vma } from './vma.js';

/** Which image a reader is content with. */
export interface ImageOptions {
  /**
   * Whether a page server has the lazy pages of tasks, so that the image need not have them. Such an
   * image can be planned for; reading those pages is refused.
   * @default false
   */
  readonly remotePages?: boolean;
}

/** Everything that the metadata of an image says. */
export interface ImageMetadata {
  readonly inventory: Inventory;
  readonly tasks: readonly Task[];
  readonly sharedObjects: readonly SharedObject[];
  readonly files: ReadonlyMap<number, ImageFile>;
  readonly parents: readonly ImageDirectory[];
}

/**
 * Reads and checks the metadata of `directory`; payload is not read, but its size is checked.
 *
 * @param report takes the problems of single tasks, objects and records, and may return to have them
 *   left out. Without inventory and process tree there is nothing to go on with: theirs are thrown.
 * @throws ThawError with one of the codes of a damaged or unsupported image.
 */
export async function loadImage(
  directory: string,
  report = raise,
  { remotePages = false }: ImageOptions = {},
): Promise<ImageMetadata> {
  await checkDirectory(directory);
  const inventory = await readInventory(directory);
  const identities = await readPstree(directory);
  const files = (await attempt(report, () => readFiles(directory))) ?? new Map();
  const inodes = await attempt(report, () => readMemfds(directory));
  const parents = (await attempt(report, () => readParents(directory))) ?? [];
  const loader = new ImageLoader([{ path: directory, inventory }, ...parents], report, remotePages);
  const tasks: Task[] = [];
  for (const identity of identities) {
    const resolveShmid = shmidResolver(files, inodes);
    const task = await attempt(report, () => loader.loadTask(identity, resolveShmid));
    if (task !== undefined) tasks.push(task);
  }
  const sharedObjects = await loader.loadSharedObjects(tasks, inodes);
  return { inventory, tasks, sharedObjects, files, parents };
}

async function checkDirectory(directory: string): Promise<void> {
  const stats = await stat(directory).catch(() => undefined);
  if (stats?.isDirectory()) return;
  throw new ThawError('IMAGE_MISSING', {
    what: 'there is no image directory',
    expected: 'a directory made by criu dump',
    found: stats === undefined ? 'nothing' : 'something else',
    where: directory,
  });
}

/** Memfd mappings name a file; the file names an inode, and the inode the shared object. */
function shmidResolver(
  files: ReadonlyMap<number, ImageFile>,
  inodes: ReadonlyMap<number, MemfdInode> | undefined,
): ShmidOfFile {
  return (fileId) => {
    if (inodes === undefined) return undefined;
    const file = files.get(fileId);
    const inode = file?.type === 'memfd' ? inodes.get(file.inodeId) : undefined;
    if (inode !== undefined) return inode.shmid;
    throw new ThawError('SHMEM_MISSING', {
      what: 'a mapping names a memory file that the image does not have',
      found: `file id ${fileId}`,
      where: 'files.img, memfd.img',
    });
  };
}

class ImageLoader {
  /** The image itself, then its parents. */
  constructor(
    private readonly layers: readonly ImageDirectory[],
    private readonly report: Report,
    private readonly remotePages: boolean,
  ) {}

  get #directory(): string {
    return this.layers[0]?.path ?? '';
  }

  async loadTask(identity: TaskIdentity, shmidOfFile: ShmidOfFile): Promise<Task | undefined> {
    const { state, comm } = await readCore(this.#directory, identity.pid);
    if (state === 'dead') {
      return { ...identity, threads: [], state, comm, vmas: [], pagemap: undefined };
    }
    const vmas = await readVmas(this.#directory, identity.pid, shmidOfFile, this.report);
    const check = (top: Pagemap): void => checkInsideVmas(top, vmas, this.report);
    const file = `pagemap-${identity.pid}.img`;
    const pagemap = await this.#loadPagemap(file, check, this.remotePages);
    return pagemap === undefined ? undefined : { ...identity, state, comm, vmas, pagemap };
  }

  async loadSharedObjects(
    tasks: readonly Task[],
    inodes: ReadonlyMap<number, MemfdInode> | undefined,
  ): Promise<SharedObject[]> {
    const sizes = new Map<number, { size: bigint; name: string | undefined }>();
    for (const { shmid, size, name } of inodes?.values() ?? []) sizes.set(shmid, { size, name });
    for (const vma of tasks.flatMap((task) => task.vmas as readonly Vma[])) {
      if (vma.shmid === undefined || vma.class === 'memfd') continue;
      const end = vma.pgoff + vma.end - vma.start;
      const size = sizes.get(vma.shmid)?.size ?? 0n;
      sizes.set(vma.shmid, { size: end > size ? end : size, name: undefined });
    }
    const objects: SharedObject[] = [];
    for (const [shmid, { size, name }] of sizes) {
      const pagemap = await attempt(this.report, () => this.#loadShared(shmid, size));
      if (pagemap !== undefined) objects.push({ shmid, size, name, pagemap });
    }
    return objects;
  }

  async #loadShared(shmid: number, size: bigint): Promise<LayeredPagemap | undefined> {
    const file = `pagemap-shmem-${shmid}.img`;
    const path = join(this.#directory, file);
    if (await exists(path)) {
      return this.#loadPagemap(file, (top) => checkInsideObject(top, size), false);
    }
    if (size === 0n) return undefined;
    throw new ThawError('SHMEM_MISSING', {
      what: 'the memory of a shared object is not in the image',
      where: path,
    });
  }

  /** The pagemap `file` through all layers; `undefined` if entries had to be left out. */
  async #loadPagemap(
    file: string,
    check: (top: Pagemap) => void,
    remotePages: boolean,
  ): Promise<LayeredPagemap | undefined> {
    const [own, ...parents] = this.layers;
    if (own === undefined) throw new RangeError('no layer');
    const path = join(own.path, file);
    const top = await readPagemap(path, own.inventory, this.report, remotePages);
    check(top.pagemap);
    if (!top.intact) return undefined;
    const readLayer = async (layer: number): Promise<Pagemap | undefined> => {
      const parent = parents[layer - 1];
      if (parent === undefined) return undefined;
      const path = join(parent.path, file);
      if (!(await exists(path))) return undefined;
      return (await readPagemap(path, parent.inventory, raise)).pagemap;
    };
    return resolveLayers(top.pagemap, parents.length, readLayer, this.report);
  }
}

/** Every page of a task's entries lies in a VMA; an entry may span VMAs that touch. */
function checkInsideVmas(pagemap: Pagemap, vmas: readonly Vma[], report: Report): void {
  const areas = vmas.filter((vma) => !vma.guard && vma.class !== 'vsyscall');
  const areaStart = Float64Array.from(areas, (vma) => toPageNumber(vma.start));
  const areaEnd = Float64Array.from(areas, (vma) => toPageNumber(vma.end));
  let area = 0;
  for (let entry = 0; entry < pagemap.entryCount; entry++) {
    let page = pagemap.firstPage[entry] ?? 0;
    const endPage = page + (pagemap.pageCount[entry] ?? 0);
    while (page < endPage) {
      while ((areaEnd[area] ?? Number.POSITIVE_INFINITY) <= page) area++;
      if ((areaStart[area] ?? Number.POSITIVE_INFINITY) > page) {
        report(outsideError(pagemap, entry, page, 'a pagemap entry has pages outside all VMAs'));
        break;
      }
      page = Math.min(endPage, areaEnd[area] ?? endPage);
    }
  }
}

function checkInsideObject(pagemap: Pagemap, size: bigint): void {
  const last = pagemap.entryCount - 1;
  const endPage = (pagemap.firstPage[last] ?? 0) + (pagemap.pageCount[last] ?? 0);
  const sizePages = toPageNumber(size + BigInt(PAGE_SIZE - 1));
  if (last < 0 || endPage <= sizePages) return;
  throw outsideError(
    pagemap,
    last,
    endPage - 1,
    `a pagemap entry has pages outside its object ${formatRange(0n, size)}`,
  );
}

function outsideError(pagemap: Pagemap, entry: number, page: number, what: string): ThawError {
  return new ThawError('PAGE_OUTSIDE_VMA', {
    what,
    found: `a page at ${formatVaddr(toVaddr(page))}`,
    where: `${pagemap.path}, record ${entry + 1}`,
  });
}
