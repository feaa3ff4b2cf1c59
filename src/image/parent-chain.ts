/** The `parent` link: the directories of an incremental chain of dumps. */
import { lstat, readFile, realpath, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ThawError } from '../errors.js';
import { PARENT_CHAIN_MAX } from '../limits.js';
import { exists } from './files.js';
import { INVENTORY_FILE, type Inventory, PLAIN_INVENTORY, readInventory } from './inventory.js';

/** Name of the link to the previous dump of a chain. */
export const PARENT_LINK = 'parent';

/** Longest path that Linux resolves. */
const LINK_BYTES_MAX = 4095;

/** One directory of a chain. */
export interface ImageDirectory {
  readonly path: string;
  readonly inventory: Inventory;
}

/**
 * The parents of an image, nearest first, by their real paths.
 *
 * @throws ThawError PARENT_MISSING if a link leads nowhere, PARENT_LOOP if a directory comes twice or
 *   the chain does not end, and those of the inventories.
 */
export async function readParents(directory: string): Promise<ImageDirectory[]> {
  const parents: ImageDirectory[] = [];
  const seen = new Set([await realpath(directory)]);
  let path = await followLink(directory);
  while (path !== undefined) {
    if (seen.has(path) || parents.length === PARENT_CHAIN_MAX) throw loopError(path);
    seen.add(path);
    const hasInventory = await exists(join(path, INVENTORY_FILE));
    const inventory = hasInventory ? await readInventory(path) : PLAIN_INVENTORY;
    parents.push({ path, inventory });
    path = await followLink(path);
  }
  return parents;
}

/** The real path of the parent of `directory`; `undefined` if it has none. */
async function followLink(directory: string): Promise<string | undefined> {
  const link = join(directory, PARENT_LINK);
  try {
    const stats = await lstat(link);
    const target = stats.isFile()
      ? resolve(directory, await readFlattened(link, stats.size))
      : link;
    const path = await realpath(target);
    if ((await stat(path)).isDirectory()) return path;
    throw missingError(link, new Error('a link to something else'));
  } catch (error) {
    if (error instanceof ThawError) throw error;
    if (errnoOf(error) === 'ELOOP') throw loopError(link);
    if (errnoOf(error) === 'ENOENT' && !(await isThere(link))) return undefined;
    throw missingError(link, error);
  }
}

/**
 * The text of a link that was flattened to a file: git without symbolic links, and archives and
 * object stores that know none, leave a file that holds the path.
 */
async function readFlattened(link: string, byteLength: number): Promise<string> {
  const text = byteLength <= LINK_BYTES_MAX ? await readFile(link, 'utf8') : '';
  const target = text.trimEnd();
  if (target !== '' && !target.includes('\0')) return target;
  throw missingError(link, new Error('a file that holds no path'));
}

async function isThere(link: string): Promise<boolean> {
  return (await lstat(link).catch(() => undefined)) !== undefined;
}

function errnoOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function missingError(link: string, cause: unknown): ThawError {
  return new ThawError('PARENT_MISSING', {
    what: 'the link to the parent image does not lead to a directory',
    found: errnoOf(cause) ?? (cause instanceof Error ? cause.message : String(cause)),
    where: link,
    hint: 'An incremental dump needs every dump before it, at the place that the link names',
    cause,
  });
}

function loopError(path: string): ThawError {
  return new ThawError('PARENT_LOOP', {
    what: 'the chain of parent images does not end',
    expected: `at most ${PARENT_CHAIN_MAX} directories, each once`,
    where: path,
  });
}
