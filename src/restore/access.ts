/**
 * Which pages a restored target touches, and in which order.
 */
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import type { LiveTask } from '../image/task.js';
import type { Vma } from '../image/vma.js';
import { EXTENT_KIND, type TaskPlan } from '../plan/restore-plan.js';

const PROT_READ = 1;
const PROT_WRITE = 2;

/** Largest seed of an access pattern. */
export const SEED_MAX = 0xffff_ffff;

/** Patterns without a number. */
const PATTERNS = ['none', 'sequential', 'random'] as const;

/** How the target's pages are touched once it is ready. */
export type Access =
  | { readonly kind: 'none' }
  /** Every lazy stored page, by address. */
  | { readonly kind: 'sequential' }
  /** Every lazy stored page, in an order that the seed decides. */
  | { readonly kind: 'random' }
  /** A share of the lazy stored pages, chosen and ordered by the seed. */
  | { readonly kind: 'percent'; readonly percent: number };

/**
 * Reads `none`, `sequential`, `random` or `N%` (0 to 100, fractions allowed).
 *
 * @throws INVALID_ARGUMENT
 */
export function parseAccess(text: string): Access {
  const kind = PATTERNS.find((pattern) => pattern === text);
  if (kind !== undefined) return { kind };
  const match = /^(\d{1,3}(?:\.\d+)?)%$/.exec(text);
  const percent = match === null ? Number.NaN : Number(match[1]);
  if (percent <= 100) return { kind: 'percent', percent };
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'the access pattern is not known',
    expected: 'none, sequential, random or a percentage such as 10%',
    found: text,
  });
}

/** Callers without types, and percentages that are none. @throws INVALID_ARGUMENT */
export function checkAccess(access: Access): void {
  const { kind, percent } = access as { kind?: unknown; percent?: unknown };
  const share = typeof percent === 'number' && percent >= 0 && percent <= 100;
  if (kind === 'percent' ? share : PATTERNS.includes(kind as (typeof PATTERNS)[number])) return;
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'the access is none that is known',
    expected: `kind ${PATTERNS.join(', ')}, or percent and a percent from 0 to 100`,
    found: kind === 'percent' ? `${percent} percent` : `kind ${kind}`,
  });
}

/** Whether a process may read a mapping of its own (on x86-64, writable implies readable). */
export function isReadable(vma: Vma): boolean {
  return (vma.prot & (PROT_READ | PROT_WRITE)) !== 0;
}

/** Addresses of the pages to touch, in order. Pages without the right to be read are left out. */
export function pagesToTouch(
  task: LiveTask,
  plan: TaskPlan,
  access: Access,
  seed: number,
): BigUint64Array {
  if (access.kind === 'none') return new BigUint64Array();
  const pages = lazyStoredPages(task, plan);
  if (access.kind === 'sequential') return pages;
  const share = access.kind === 'percent' ? access.percent / 100 : 1;
  const count = Math.round(pages.length * share);
  shuffleFirst(pages, count, seed);
  return pages.subarray(0, count);
}

function lazyStoredPages(task: LiveTask, { extents }: TaskPlan): BigUint64Array {
  const readable = task.vmas.filter((vma) => vma.canBeLazy && isReadable(vma));
  const chosen: { start: bigint; count: number }[] = [];
  let total = 0;
  let region = 0;
  for (let i = 0; i < extents.kind.length; i++) {
    if (extents.kind[i] !== EXTENT_KIND.data) continue;
    const start = extents.vaddr[i] as bigint;
    while (region < readable.length && (readable[region] as Vma).end <= start) region++;
    const vma = readable[region];
    if (vma === undefined || start < vma.start) continue;
    const count = extents.pageCount[i] as number;
    chosen.push({ start, count });
    total += count;
  }
  const pages = new BigUint64Array(total);
  let at = 0;
  for (const { start, count } of chosen) {
    for (let page = 0; page < count; page++) pages[at++] = start + BigInt(page * PAGE_SIZE);
  }
  return pages;
}

/** Puts a random choice of `count` elements, in random order, in front (Fisher-Yates). */
function shuffleFirst(values: BigUint64Array, count: number, seed: number): void {
  const next = randomSource(seed);
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(next() * (values.length - i));
    const value = values[i] as bigint;
    values[i] = values[j] as bigint;
    values[j] = value;
  }
}

/** Numbers in [0, 1), the same for the same seed: a 32-bit xorshift-multiply mix of a counter. */
function randomSource(seed: number): () => number {
  let counter = seed >>> 0;
  return () => {
    counter = (counter + 0x9e3779b9) >>> 0;
    let mixed = counter;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}
