/** What the kernel says of a process: mappings, resident pages, memory, descriptors, children. */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Span {
  readonly start: bigint;
  readonly end: bigint;
}

export interface Mapping extends Span {
  /** `rw-`, without the sharing letter. */
  readonly rights: string;
  /** Pages of anonymous memory in it (smaps `Anonymous`). */
  readonly anonymousPages: number;
}

/** The mappings of a process, the kernel's vsyscall left out. */
export function mappingsOf(pid: number): Mapping[] {
  const mappings: Mapping[] = [];
  const lines = readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n');
  for (const line of lines) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S{3})\S /.exec(line);
    if (head !== null) {
      const [start = 0n, end = 0n] = head.slice(1, 3).map((hex) => BigInt(`0x${hex}`));
      mappings.push({ start, end, rights: head[3] ?? '', anonymousPages: 0 });
    }
    const anonymous = /^Anonymous: +(\d+) kB$/.exec(line);
    const last = mappings.at(-1);
    if (anonymous !== null && last !== undefined) {
      mappings[mappings.length - 1] = { ...last, anonymousPages: Number(anonymous[1]) / 4 };
    }
  }
  return mappings.filter(({ start }) => start < 0x8000_0000_0000n);
}

/** Parts of `spans` outside `hole`; sorted as they came. */
export function outside<T extends Span>(spans: readonly T[], hole: Span): T[] {
  return spans.flatMap((span) => {
    if (span.end <= hole.start || span.start >= hole.end) return [span];
    const parts = [
      { ...span, end: hole.start },
      { ...span, start: hole.end },
    ];
    return parts.filter(({ start, end }) => start < end);
  });
}

/** Joins neighbours with the same rights: what the kernel may do, or undo, as it likes. */
export function mergeNeighbours(spans: readonly (Span & { rights: string })[]): string[] {
  const merged: { start: bigint; end: bigint; rights: string }[] = [];
  for (const { start, end, rights } of spans) {
    const last = merged.at(-1);
    if (last?.end === start && last.rights === rights) last.end = end;
    else merged.push({ start, end, rights });
  }
  return merged.map(
    ({ start, end, rights }) => `${start.toString(16)}-${end.toString(16)} ${rights}`,
  );
}

/** Bit of a pagemap entry: no page, but a marker that makes every access fault. */
const GUARD_REGION = 1n << 58n;

/** Addresses of the pages in `spans` that are mapped or swapped, by /proc/PID/pagemap. */
export function residentPages(pid: number, spans: readonly Span[]): bigint[] {
  const present: bigint[] = [];
  const fd = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    for (const { start, end } of spans) {
      const count = Number((end - start) / 4096n);
      const entries = new BigUint64Array(count);
      const position = (start / 4096n) * 8n;
      readSync(fd, entries, 0, entries.byteLength, position);
      for (const [i, entry] of entries.entries()) {
        if (entry >> 62n !== 0n && (entry & GUARD_REGION) === 0n)
          present.push(start + BigInt(i) * 4096n);
      }
    }
  } finally {
    closeSync(fd);
  }
  return present;
}

/** One page of a process, read from outside through /proc/PID/mem. */
export function readMemory(pid: number, vaddr: bigint): Uint8Array {
  const fd = openSync(`/proc/${pid}/mem`, 'r');
  try {
    const bytes = new Uint8Array(4096);
    const count = readSync(fd, bytes, 0, bytes.length, vaddr);
    if (count !== bytes.length) throw new Error(`short read at 0x${vaddr.toString(16)}`);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** What the open descriptors of a process are, in order of their numbers. */
export function openDescriptors(pid: number | 'self' = 'self'): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // the descriptor of this very listing
    }
  });
}

/** Pids of the children of a process, zombies included. */
export function childrenOf(pid: number): number[] {
  const tasks = readdirSync(`/proc/${pid}/task`);
  try {
    return tasks.flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1')
        .split(' ')
        .filter((text) => text !== '')
        .map(Number),
    );
  } catch {
    return childrenOf(pid); // a thread has ended since, and its children are another's
  }
}

/** A process that runs a program. */
interface RunningProcess {
  readonly pid: number;
  readonly comm: string;
  readonly pgid: number;
}

/** What /proc/PID/stat says; undefined when there is no such process, or only a zombie. */
function readRunning(pid: number): RunningProcess | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const match = /^\d+ \((.*)\) [^ZX] \d+ (\d+) /s.exec(stat);
    return match === null ? undefined : { pid, comm: match[1] ?? '', pgid: Number(match[2]) };
  } catch {
    return undefined;
  }
}

/** The processes of a group that run a program. */
export function runningGroup(pgid: number): RunningProcess[] {
  return readdirSync('/proc').flatMap((name) => {
    const found = /^\d+$/.test(name) ? readRunning(Number(name)) : undefined;
    return found?.pgid === pgid ? [found] : [];
  });
}

/** Their pids: those of a pager, by `Pager.pid`. */
export function groupOf(pgid: number): number[] {
  return runningGroup(pgid).map(({ pid }) => pid);
}

/** Pids of the processes that run a program in a directory, which what they start inherits. */
export function processesIn(directory: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    try {
      const here = Number.isInteger(pid) && readlinkSync(`/proc/${pid}/cwd`) === directory;
      return here && runningComm(pid) !== undefined ? [pid] : [];
    } catch {
      return []; // it has ended
    }
  });
}

type PagerRole = 'thaw-pager' | 'thaw-keeper' | 'thaw-standby';

/** The process of a pager that has a role (`thaw-pager`: the one that serves), if there is one now. */
export function findPagerProcess(pgid: number, role: PagerRole): number | undefined {
  return runningGroup(pgid).find(({ comm }) => comm === role)?.pid;
}

/** The same, or an error: a pid that may be killed. */
export function pagerProcess(pgid: number, role: PagerRole): number {
  const pid = findPagerProcess(pgid, role);
  if (pid === undefined) throw new Error(`pager ${pgid} has no ${role}`);
  return pid;
}

/** Name of the program that a process runs; undefined when there is none, or only a zombie. */
export function runningComm(pid: number): string | undefined {
  return readRunning(pid)?.comm;
}

/** Waits until `condition` holds; after `milliseconds` it throws what was waited for. */
export async function until(
  what: string,
  condition: () => boolean,
  milliseconds = 5_000,
): Promise<void> {
  const deadline = performance.now() + milliseconds;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${milliseconds} ms: ${what}`);
    await sleep(5);
  }
}

/** `promise`, or an error once it took too long: for whatever could wait for ever. */
export async function within<T>(promise: Promise<T>, milliseconds = 10_000): Promise<T> {
  const stop = new AbortController();
  try {
    const late = sleep(milliseconds, undefined, { signal: stop.signal }).then(() => {
      throw new Error(`not settled within ${milliseconds} ms`);
    });
    late.catch(() => {});
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
  }
}

/** Kills a process; false when it has ended by itself. */
export function killIfThere(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
