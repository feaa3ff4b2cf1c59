/**
 * Compares a restored target, page by page, with the bytes that the image reader decodes on its own way.
 */
import { crc32 } from 'node:zlib';
import { formatRange, formatVaddr, PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import type { Checkpoint } from '../image/checkpoint.js';
import type { LiveTask, SharedObject } from '../image/task.js';
import type { Vma } from '../image/vma.js';
import { EXTENT_KIND, type TaskPlan } from '../plan/restore-plan.js';
import type { PagerTarget } from '../servicer/pager-target.js';
import { isReadable } from './access.js';
import { type HostProcess, TOUCH_FAILED, TOUCH_THROUGH_MEM } from './host-process.js';
import { isRegion } from './prepare-host.js';
import { touchInBatches } from './touch-batches.js';

/** Pages compared at once. */
const CHUNK_PAGES = 4096;
/** Mismatches told one by one; further ones only count. */
const MISMATCHES_TOLD_MAX = 100;
const ZERO_PAGE_CRC = crc32(new Uint8Array(PAGE_SIZE));

/** Outcome of a verification. */
export interface VerifyCounts {
  /** Stored pages that are as the image has them. */
  readonly verified: number;
  /** Pages for which nothing is stored and that read as zeros. */
  readonly holes: number;
  /** Pages, stored or not, that are different or could not be read. */
  readonly mismatched: number;
  /** One for each of the first mismatches; code VERIFY_MISMATCH. */
  readonly errors: readonly ThawError[];
}

/** A run of pages to compare, inside one VMA. */
interface PageSpan {
  readonly vaddr: bigint;
  readonly pageCount: number;
  readonly stored: boolean;
  readonly vma: Vma;
}

class Tally implements VerifyCounts {
  verified = 0;
  holes = 0;
  mismatched = 0;
  readonly errors: ThawError[] = [];

  /** A page whose bytes the image itself does not have. */
  failRead(error: ThawError): void {
    this.mismatched++;
    if (this.errors.length < MISMATCHES_TOLD_MAX) this.errors.push(error);
  }

  fail(pid: number, span: PageSpan, vaddr: bigint, expected: number, found: number | undefined) {
    this.mismatched++;
    if (this.errors.length >= MISMATCHES_TOLD_MAX) return;
    const text = (crc: number): string => `CRC-32 ${crc.toString(16).padStart(8, '0')}`;
    this.errors.push(
      new ThawError('VERIFY_MISMATCH', {
        what: `page ${formatVaddr(vaddr)} of task ${pid} is not what the image has`,
        expected: span.stored ? text(expected) : 'zeros (nothing is stored for it)',
        found: found === undefined ? 'a page that cannot be read' : text(found),
        where: `region ${formatRange(span.vma.start, span.vma.end)}, ${span.vma.class}`,
      }),
    );
  }
}

/**
 * Verifies every stored page and every hole of the plan inside a task's host. Touches what is missing;
 * pages that the host has no right to read are brought in by the pager and read through /proc/self/mem.
 */
export async function verifyTask(
  checkpoint: Checkpoint,
  task: LiveTask,
  plan: TaskPlan,
  host: HostProcess,
  target: PagerTarget | undefined,
  signal?: AbortSignal,
): Promise<VerifyCounts> {
  const tally = new Tally();
  for (const span of planSpans(task, plan)) {
    const readable = isReadable(span.vma);
    if (!readable && span.stored) {
      const end = span.vaddr + BigInt(span.pageCount * PAGE_SIZE);
      await target?.prefetch(span.vaddr, end);
    }
    // A page that nobody may touch and for which nothing is stored cannot be looked at while its
    // range is registered; it becomes zero when it is touched for the first time.
    if (!readable && !span.stored && target?.figures().state === 'serving') continue;
    if (!span.stored) {
      await compare(host, task.pid, span, undefined, readable, tally, signal);
      continue;
    }
    for await (const part of readSpan(checkpoint, task, span, tally)) {
      await compare(host, task.pid, part.span, part.crcs, readable, tally, signal);
    }
  }
  return tally;
}

/**
 * Verifies the stored pages of a shared memory object inside hosts that map it. A page that none of
 * them maps is no part of any target and not counted.
 */
export async function verifyShared(
  checkpoint: Checkpoint,
  object: SharedObject,
  hosts: readonly { readonly task: LiveTask; readonly host: HostProcess }[],
  signal?: AbortSignal,
): Promise<VerifyCounts> {
  const tally = new Tally();
  for await (const { vaddr: offset, bytes } of checkpoint.storedRuns(object)) {
    const crcs = pageCrcs(bytes);
    for (const [page, crc] of crcs.entries()) {
      const place = findMapping(hosts, object, offset + BigInt(page * PAGE_SIZE));
      if (place === undefined) continue;
      const span = { vaddr: place.vaddr, pageCount: 1, stored: true, vma: place.vma };
      const expected = Uint32Array.of(crc);
      const readable = isReadable(place.vma);
      await compare(place.host, place.task.pid, span, expected, readable, tally, signal);
    }
  }
  return tally;
}

function findMapping(
  hosts: readonly { readonly task: LiveTask; readonly host: HostProcess }[],
  object: SharedObject,
  offset: bigint,
) {
  for (const { task, host } of hosts) {
    const vma = task.vmas.find(
      (candidate) =>
        candidate.shmid === object.shmid &&
        offset >= candidate.pgoff &&
        offset < candidate.pgoff + (candidate.end - candidate.start),
    );
    if (vma !== undefined) return { task, host, vma, vaddr: vma.start + (offset - vma.pgoff) };
  }
  return undefined;
}

/** The checksums of a span; page by page where a part of it cannot be decoded, without that part. */
async function* readSpan(
  checkpoint: Checkpoint,
  task: LiveTask,
  span: PageSpan,
  tally: Tally,
): AsyncGenerator<{ readonly span: PageSpan; readonly crcs: Uint32Array }> {
  try {
    const bytes = await checkpoint.readPages(task, span.vaddr, span.pageCount);
    yield { span, crcs: pageCrcs(bytes) };
  } catch (error) {
    if (!(error instanceof ThawError)) throw error;
    if (span.pageCount === 1) {
      tally.failRead(error);
      return;
    }
    const half = Math.floor(span.pageCount / 2);
    const second = span.vaddr + BigInt(half * PAGE_SIZE);
    yield* readSpan(checkpoint, task, { ...span, pageCount: half }, tally);
    const rest = { ...span, vaddr: second, pageCount: span.pageCount - half };
    yield* readSpan(checkpoint, task, rest, tally);
  }
}

/** The plan's extents in spans of at most {@link CHUNK_PAGES}, with their VMAs. */
function* planSpans(task: LiveTask, { extents }: TaskPlan): Generator<PageSpan> {
  const vmas = task.vmas.filter(isRegion);
  let at = 0;
  for (let i = 0; i < extents.kind.length; i++) {
    const start = extents.vaddr[i] as bigint;
    const pages = extents.pageCount[i] as number;
    while ((vmas[at] as Vma).end <= start) at++;
    for (let page = 0; page < pages; page += CHUNK_PAGES) {
      yield {
        vaddr: start + BigInt(page * PAGE_SIZE),
        pageCount: Math.min(CHUNK_PAGES, pages - page),
        stored: extents.kind[i] !== EXTENT_KIND.hole,
        vma: vmas[at] as Vma,
      };
    }
  }
}

async function compare(
  host: HostProcess,
  pid: number,
  span: PageSpan,
  expected: Uint32Array | undefined,
  readable: boolean,
  tally: Tally,
  signal: AbortSignal | undefined,
): Promise<void> {
  const flags = readable ? 0n : TOUCH_THROUGH_MEM;
  const words = BigUint64Array.from(
    { length: span.pageCount },
    (_, page) => (span.vaddr + BigInt(page * PAGE_SIZE)) | flags,
  );
  for await (const { first, latencyNs, crc32: found } of touchInBatches(host, words, { signal })) {
    for (let i = 0; i < found.length; i++) {
      const failed = latencyNs[i] === TOUCH_FAILED;
      const crc = expected?.[first + i] ?? ZERO_PAGE_CRC;
      if (failed || found[i] !== crc) {
        const vaddr = (words[first + i] as bigint) & ~flags;
        tally.fail(pid, span, vaddr, crc, failed ? undefined : found[i]);
      } else if (span.stored) tally.verified++;
      else tally.holes++;
    }
  }
}

function pageCrcs(bytes: Uint8Array): Uint32Array {
  return Uint32Array.from({ length: bytes.length / PAGE_SIZE }, (_, page) =>
    crc32(bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)),
  );
}
