/**
 * Temporary directories of views. One whose process was killed is removed by the next that makes one:
 * each holds a lock on its directory, which the kernel gives up when the process ends.
 */
import { closeSync, constants, existsSync, fstatSync, openSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ThawError } from '../errors.js';
import { native } from '../native.js';

const PREFIX = 'thaw-view-';
/** Tries to make a directory before another process that tidies up takes it for a stale one. */
const TRIES_MAX = 5;

/** A directory of this process. */
export interface ViewDirectory {
  readonly path: string;
  /** Removes it. Harmless when repeated. */
  remove(): Promise<void>;
}

/**
 * Makes an empty directory in the system's place for temporary files, and removes stale ones.
 *
 * @throws ThawError IO_FAILED
 */
export async function makeViewDirectory(): Promise<ViewDirectory> {
  const parent = tmpdir();
  await removeStale(parent);
  try {
    for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
      const path = await mkdtemp(join(parent, PREFIX));
      const lock = lockDirectory(path);
      if (lock !== undefined) return ownDirectory(path, lock);
    }
  } catch (cause) {
    throw directoryError(parent, (cause as NodeJS.ErrnoException).code ?? String(cause), cause);
  }
  throw directoryError(parent, `${TRIES_MAX} that were taken away at once`);
}

function ownDirectory(path: string, lock: number): ViewDirectory {
  let removed: Promise<void> | undefined;
  return {
    path,
    remove: () => {
      removed ??= removeAll(path).finally(() => closeSync(lock));
      return removed;
    },
  };
}

/** The descriptor that holds the lock; undefined where another process has it, or removed it. */
function lockDirectory(path: string): number | undefined {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  if (fstatSync(fd).uid === process.getuid?.() && native.tryLock(fd) && existsSync(path)) return fd;
  closeSync(fd);
  return undefined;
}

/** What cannot be removed is left: it is not this process's work. */
async function removeStale(parent: string): Promise<void> {
  const names = await readdir(parent).catch(() => []);
  for (const name of names.filter((candidate) => candidate.startsWith(PREFIX))) {
    const path = join(parent, name);
    try {
      const lock = lockDirectory(path);
      if (lock !== undefined) await ownDirectory(path, lock).remove();
    } catch {
      // Another user's, or something else of that name.
    }
  }
}

function removeAll(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true, maxRetries: 3 });
}

function directoryError(parent: string, found: string, cause?: unknown): ThawError {
  return new ThawError('IO_FAILED', {
    what: 'no temporary directory can be made',
    found,
    where: parent,
    hint: 'TMPDIR names another place',
    cause,
  });
}
