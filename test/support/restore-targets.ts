/** Restorations for tests, all ended after each, and looks at every page of them. */
import type { Checkpoint } from '../../src/image/checkpoint.js';
import { TOUCH_FAILED, TOUCH_THROUGH_MEM } from '../../src/restore/host-process.js';
import type { Restoration, RestoredTask } from '../../src/restore/restoration.js';
import { type RestoreOptions, restore } from '../../src/restore/restore.js';
import type { PagerOptions } from '../../src/servicer/fill-options.js';
import { Pager } from '../../src/servicer/pager.js';
import { childrenOf } from './process-facts.js';
import {
  type ExpectedImage,
  type ExpectedTask,
  fixturePath,
  holesOf,
  PAGE,
  readable,
  vmaAt,
} from './restore-fixtures.js';

const restorations: Restoration[] = [];
const pagers: Pager[] = [];
let others: ReadonlySet<number> = new Set();

/** For `beforeEach`: children that are no business of the test. */
export function noteChildren(): void {
  others = new Set(childrenOf(process.pid));
}

/**
 * Ends everything that a test began, for `afterEach`: in order, and whatever is left by SIGKILL, which
 * fails the test.
 */
export async function endTargets(): Promise<void> {
  await Promise.allSettled(restorations.splice(0).map((restoration) => restoration.close()));
  await Promise.allSettled(pagers.splice(0).map((pager) => pager.close()));
  const left = childrenOf(process.pid).filter((pid) => !others.has(pid));
  for (const pid of left) process.kill(pid, 'SIGKILL');
  if (left.length > 0) throw new Error(`left running: ${left.join(', ')}`);
}

/** Restores a fixture (by name, or any image by path) until the end of the test. */
export async function begin(
  image: string | Checkpoint,
  options?: RestoreOptions,
): Promise<Restoration> {
  const from = typeof image === 'string' && !image.startsWith('/') ? fixturePath(image) : image;
  const restoration = await restore(from, options);
  restorations.push(restoration);
  return restoration;
}

/** A pager until the end of the test. */
export async function startPager(options?: PagerOptions): Promise<Pager> {
  const pager = await Pager.start(options);
  pagers.push(pager);
  return pager;
}

/** The restored task with the pid that it had when it was dumped. */
export function taskOf(restoration: Restoration, { pid }: { pid: number }): RestoredTask {
  const found = restoration.tasks.find(({ task }) => task.pid === pid);
  if (found === undefined) throw new Error(`task ${pid} was not restored`);
  return found;
}

/** How a test has pages touched. */
export interface TouchOptions {
  readonly threads?: number;
  readonly flags?: bigint;
  /** Is told how long the first access to each page took. */
  readonly onLatencies?: ((latencyNs: Uint32Array) => void) | undefined;
}

/** CRC-32 of pages as the host reads them: a number, or 'failed'. */
export async function touchPages(
  { host }: RestoredTask,
  vaddrs: readonly bigint[],
  { threads = 1, flags = 0n, onLatencies }: TouchOptions = {},
): Promise<(number | 'failed')[]> {
  if (vaddrs.length === 0) return [];
  const words = BigUint64Array.from(vaddrs, (vaddr) => vaddr | flags);
  const { crc32, latencyNs } = await host.touch(words, threads);
  onLatencies?.(latencyNs.filter((latency) => latency !== TOUCH_FAILED));
  return Array.from(crc32, (crc, i) => (latencyNs[i] === TOUCH_FAILED ? 'failed' : crc));
}

/** Brings pages in that the program itself has no right to read, and reads them all the same. */
export async function readForbidden(
  restored: RestoredTask,
  vaddrs: readonly bigint[],
): Promise<(number | 'failed')[]> {
  for (const vaddr of vaddrs) await restored.target?.prefetch(vaddr, vaddr + PAGE);
  return touchPages(restored, vaddrs, { flags: TOUCH_THROUGH_MEM });
}

/** Every stored page of a task as the host has it, by address. */
export async function readStored(
  restored: RestoredTask,
  expected: ExpectedTask,
  options: Omit<TouchOptions, 'flags'> = {},
): Promise<Map<bigint, number | 'failed'>> {
  const stored = [...expected.stored.keys()];
  const open = stored.filter((vaddr) => readable(vmaAt(expected, vaddr)));
  const closed = stored.filter((vaddr) => !readable(vmaAt(expected, vaddr)));
  const found = new Map<bigint, number | 'failed'>();
  const opened = await touchPages(restored, open, options);
  const forced = await readForbidden(restored, closed);
  for (const [i, vaddr] of open.entries()) found.set(vaddr, opened[i] ?? 'failed');
  for (const [i, vaddr] of closed.entries()) found.set(vaddr, forced[i] ?? 'failed');
  return found;
}

/** The holes that the program may read. */
export function openHolesOf(expected: ExpectedTask): bigint[] {
  return holesOf(expected).filter((vaddr) => readable(vmaAt(expected, vaddr)));
}

/** Every stored page of the shared objects, in every host that maps it: `pid:offset` to CRC-32. */
export async function readShared(
  restoration: Restoration,
  image: ExpectedImage,
): Promise<{ found: Map<string, number | 'failed'>; expected: Map<string, number> }> {
  const found = new Map<string, number | 'failed'>();
  const expected = new Map<string, number>();
  for (const task of image.tasks) {
    for (const vma of task.vmas) {
      const object = image.shared.find(({ shmid }) => shmid === vma.shmid);
      if (object === undefined) continue;
      const inside = [...object.stored].filter(
        ([offset]) => offset >= vma.pgoff && offset - vma.pgoff < vma.end - vma.start,
      );
      const vaddrs = inside.map(([offset]) => vma.start + offset - vma.pgoff);
      const crcs = await touchPages(taskOf(restoration, task), vaddrs);
      for (const [i, [offset, crc]] of inside.entries()) {
        expected.set(`${task.pid}:${offset}`, crc);
        found.set(`${task.pid}:${offset}`, crcs[i] ?? 'failed');
      }
    }
  }
  return { found, expected };
}

/** Stored pages that differ, as text: an empty list when all is well. */
export function differences<K extends bigint | string>(
  found: ReadonlyMap<K, number | 'failed'>,
  expected: ReadonlyMap<K, number>,
): string[] {
  const wrong: string[] = [];
  for (const [at, crc] of expected) {
    const key = typeof at === 'bigint' ? `0x${at.toString(16)}` : at;
    if (found.get(at) !== crc) wrong.push(`${key}: expected ${crc}, found ${found.get(at)}`);
  }
  return wrong;
}
