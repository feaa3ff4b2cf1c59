/**
 * What a target of a pager is made of, and whether it is what the types say.
 */
import { readFileSync } from 'node:fs';
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import type { PagesSource, TaskPlan } from '../plan/restore-plan.js';
import { isWindow, WINDOW_BYTES_MAX } from './fill-options.js';
import type { OnError } from './pager-protocol.js';
import type { RemoteSource } from './remote-source.js';

/** What a target that has not come yet is made of. */
export interface ExpectedTargetOptions {
  /** The plan of the task; its addresses are those of the uffd's address space. */
  readonly plan: TaskPlan;
  /** The pages images that the plan names. */
  readonly sources: readonly PagesSource[];
  /** Where the plan names a page server: which, and by what pid that knows the task. */
  readonly remote?: { readonly source: RemoteSource; readonly pid: number };
  /**
   * Most bytes installed for one fault where the program shows a pattern, from 4096 (exactly what is
   * touched) to 64 KiB.
   * @default 64 KiB
   */
  readonly windowBytes?: number;
  /**
   * What becomes of the process when pages cannot be produced; `stop` and `kill` need a pidfd. Where
   * the kernel cannot poison pages (before Linux 6.6), `poison` stops it as well.
   * @default 'poison'
   */
  readonly onError?: OnError;
}

/** What a target is made of. */
export interface TargetOptions extends ExpectedTargetOptions {
  /**
   * A userfaultfd whose UFFDIO_API is done and whose ranges are registered for missing pages. The
   * pager gets a duplicate: the caller keeps its own, and may close it.
   */
  readonly uffd: number;
  /** A pidfd of the process, so that its end is noticed at once; duplicated like `uffd`. */
  readonly pidfd?: number;
  /**
   * Whether the ranges are registered by now. Where not, faults are served at once, and all else
   * begins with `PagerTarget.rangesReady` or `PagerTarget.fill`.
   * @default true
   */
  readonly rangesReady?: boolean;
}

/** Callers without types: a wrong descriptor must not reach the pager. */
export function checkTarget(options: TargetOptions): void {
  checkExpectedTarget(options);
  const { uffd, pidfd, onError = 'poison' } = options;
  expect(isFd(uffd), 'uffd: the number of an open userfaultfd (`uffd.fd` of a Uffd)');
  expect(pidfd === undefined || isPidfd(pidfd), 'pidfd: the number of an open pidfd, or none');
  expect(
    pidfd !== undefined || onError === 'poison',
    `pidfd: for onError '${onError}' one is needed`,
  );
}

/** The same for one without descriptors. */
export function checkExpectedTarget(options: ExpectedTargetOptions): void {
  const { plan, sources, remote, windowBytes } = options;
  expect(plan?.extents !== undefined, 'plan: one of the tasks of planRestore()');
  checkSources(sources);
  expect(
    windowBytes === undefined || isWindow(windowBytes),
    `windowBytes: a multiple of ${PAGE_SIZE} up to ${WINDOW_BYTES_MAX}`,
  );
  expect(
    remote !== undefined || !sources.some((source) => source.remote),
    'remote: the page server that the plan names',
  );
}

/** The same for pages images alone. */
export function checkSources(sources: readonly PagesSource[]): void {
  expect(Array.isArray(sources), 'sources: those of the plan');
}

function expect(right: boolean, expected: string): void {
  if (right) return;
  throw new ThawError('INVALID_ARGUMENT', { what: 'the pager cannot take this', expected });
}

function isFd(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0;
}

function isPidfd(fd: number): boolean {
  try {
    return /^Pid:/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'));
  } catch {
    return false;
  }
}
