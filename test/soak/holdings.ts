/** What is held at one moment: by this process, by pagers that stay, and on the machine. */
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { Pager } from '../../src/servicer/pager.js';
import { ObservedPager } from '../support/pager-arena.js';
import { openDescriptors, pagerProcess, runningComm } from '../support/process-facts.js';

/** Memory in KiB. */
export interface PagerHoldings {
  readonly keeperKib: number;
  readonly workerKib: number;
  readonly arenaKib: number;
  readonly descriptors: readonly string[];
}

export interface Holdings {
  /** JavaScript's, after a collection. */
  readonly heapKib: number;
  readonly rssKib: number;
  readonly descriptors: readonly string[];
  readonly processes: readonly string[];
  /** Names in the directory for temporary files and in /dev/shm. */
  readonly files: readonly string[];
  readonly pagers: readonly PagerHoldings[];
}

/** Looks at everything. Needs --expose-gc. */
export async function takeStock(pagers: readonly Pager[]): Promise<Holdings> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return {
    heapKib: (heapUsed + external) / 1024,
    rssKib: rss / 1024,
    descriptors: kinds(openDescriptors()),
    processes: processNames(),
    files: [...readdirSync(tmpdir()), ...readdirSync('/dev/shm')].sort(),
    pagers: await Promise.all(pagers.map(lookInto)),
  };
}

async function lookInto({ pid }: Pager): Promise<PagerHoldings> {
  const keeper = pagerProcess(pid, 'thaw-keeper');
  using arena = ObservedPager.of(pid);
  return {
    keeperKib: rssAnonKib(keeper),
    workerKib: rssAnonKib(pagerProcess(pid, 'thaw-pager')),
    arenaKib: arena.arenaBytes / 1024,
    descriptors: kinds(openDescriptors(keeper)),
  };
}

function rssAnonKib(pid: number): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
}

/** What descriptors are, whatever their numbers. */
function kinds(names: readonly string[]): string[] {
  return names.map((name) => name.replace(/\d+/g, 'N')).sort();
}

/** Names of all processes of the pid namespace, in order. */
export function processNames(): string[] {
  return readdirSync('/proc')
    .flatMap((name) => (/^\d+$/.test(name) ? (runningComm(Number(name)) ?? []) : []))
    .sort();
}
