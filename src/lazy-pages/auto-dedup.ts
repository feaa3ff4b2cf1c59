/**
 * `--auto-dedup`: gives the file system back what of an image has been restored for good.
 *
 * Only raw pages of the dump itself go, which came lazily, of files with one name, once every restore
 * of the daemon is over and every task that has pages in the file got all of them. Parents are left as
 * they are: other dumps may stand on them.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { PAGE_SIZE } from '../address.js';
import { native } from '../native.js';
import { EXTENT_KIND, type PagesSource, type TaskPlan } from '../plan/restore-plan.js';
import type { RestoreSession } from './restore-session.js';
import type { ServedImage } from './served-image.js';

const STAT_BLOCK_BYTES = 512;

/** What became of one pages image. */
export interface DedupOutcome {
  readonly path: string;
  /** Bytes that the file takes less on its disk. */
  readonly freedBytes: number;
  /** Why it stays whole; undefined: it does not. */
  readonly kept?: string;
}

/** Pids (of the image) of the tasks that got every page in `session`; filled while it goes on. */
export function collectServed(session: RestoreSession): ReadonlySet<number> {
  const served = new Set<number>();
  session.on('taskEnd', ({ imagePid, forked, target }, end) => {
    if (!forked && end === 'resident' && target.figures().poisonedPages === 0) served.add(imagePid);
  });
  return served;
}

/**
 * Frees the lazy pages of the tasks `served`, whose session is over. Nobody may restore `image` any
 * more, now or later.
 */
export function freeServedPages(
  image: ServedImage,
  served: ReadonlySet<number>,
): readonly DedupOutcome[] {
  return image.sources.flatMap((source, index) => {
    if (dirname(source.path) !== image.directory) return [];
    const users = [...image.plans.values()].filter((plan) => usesSource(plan, index));
    const ranges = joinRanges(users.flatMap((plan) => [...rawRanges(plan, index)]));
    if (ranges.length === 0) return [];
    const unserved = users.find(({ pid }) => !served.has(pid));
    if (unserved !== undefined) {
      const kept = `task ${unserved.pid} did not get all of its pages`;
      return [{ path: source.path, freedBytes: 0, kept }];
    }
    return [punch(source, ranges)];
  });
}

interface ByteRange {
  readonly start: number;
  readonly end: number;
}

function usesSource({ extents }: TaskPlan, index: number): boolean {
  return extents.kind.some((kind, row) => {
    return kind !== EXTENT_KIND.hole && extents.source[row] === index;
  });
}

function* rawRanges({ extents }: TaskPlan, index: number): Generator<ByteRange> {
  const { kind, source, blockPages, fileOffset, pageCount } = extents;
  for (let row = 0; row < kind.length; row++) {
    const raw = kind[row] === EXTENT_KIND.data && blockPages[row] === 0;
    if (!raw || source[row] !== index) continue;
    const start = Number(fileOffset[row]);
    yield { start, end: start + (pageCount[row] ?? 0) * PAGE_SIZE };
  }
}

function joinRanges(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const joined: ByteRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.start - b.start)) {
    const before = joined.at(-1);
    if (before === undefined || range.start > before.end) joined.push(range);
    else joined[joined.length - 1] = { start: before.start, end: Math.max(before.end, range.end) };
  }
  return joined;
}

function punch({ path, byteLength }: PagesSource, ranges: readonly ByteRange[]): DedupOutcome {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
    const before = fstatSync(fd);
    if (before.nlink !== 1 || before.size !== byteLength) {
      const kept = before.nlink === 1 ? 'its size has changed' : 'it has other names (hard links)';
      return { path, freedBytes: 0, kept };
    }
    for (const { start, end } of ranges) native.punchHole(fd, start, end - start);
    return { path, freedBytes: (before.blocks - fstatSync(fd).blocks) * STAT_BLOCK_BYTES };
  } catch (error) {
    return { path, freedBytes: 0, kept: (error as Error).message };
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
