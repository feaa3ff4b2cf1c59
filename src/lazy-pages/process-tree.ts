/**
 * Ending a process with all that descends from it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Longest wait for processes that stop, in milliseconds: one that waits for its vfork cannot. */
const STOP_MS_MAX = 1_000;
/** Longest wait for killed processes, in milliseconds: one in the middle of a disk's answer stays. */
const END_MS_MAX = 10_000;
/** Time between two looks at them, in milliseconds. */
const LOOK_MS = 2;

/**
 * Kills a process and its descendants. Resolves when they are gone with their memory, or are only left
 * to be reaped; after eleven seconds in any case.
 */
export async function killProcessTree(root: number): Promise<void> {
  const tree = await stopProcessTree(root);
  for (const pid of tree) sendSignal(pid, 'SIGKILL');
  await waitUntil(() => tree.every(hasEnded), END_MS_MAX);
}

/** Stops all of them first, so that none starts another unseen and then leaves it to others. */
async function stopProcessTree(root: number): Promise<number[]> {
  const tree = new Set<number>();
  await waitUntil(() => {
    // Before the look at their children: a fork that was under way is over then.
    const allStopped = [...tree].every(hasStopped);
    const found = [root, ...descendantsOf(root)].filter((pid) => !tree.has(pid));
    for (const pid of found) {
      tree.add(pid);
      sendSignal(pid, 'SIGSTOP');
    }
    return allStopped && found.length === 0;
  }, STOP_MS_MAX);
  return [...tree];
}

async function waitUntil(condition: () => boolean, limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition() && performance.now() < deadline) await sleep(LOOK_MS);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/** Children of `pid`, their children, and so on. */
function descendantsOf(pid: number): number[] {
  const children = threadsOf(pid).flatMap((thread) =>
    readText(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number),
  );
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}

/** Whether none of its threads runs any more, or is about to. */
function hasStopped(pid: number): boolean {
  return threadsOf(pid).every((thread) => /[TtZX]/.test(stateOf(pid, thread)));
}

/** Whether its memory is let go of: of a zombie one thread is left. */
function hasEnded(pid: number): boolean {
  const threads = threadsOf(pid);
  return threads.length <= 1 && threads.every((thread) => /[ZX]/.test(stateOf(pid, thread)));
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // it has ended
  }
}

/** State of a thread as in proc_pid_stat(5); X when it has ended. */
function stateOf(pid: number, thread: string): string {
  const stat = readText(`/proc/${pid}/task/${thread}/stat`);
  return stat === '' ? 'X' : stat.charAt(stat.lastIndexOf(')') + 2);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // it has ended
  }
}
