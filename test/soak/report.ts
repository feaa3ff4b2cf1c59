/** The figures of a soak as tables, and what of them must not be. */
import Table from 'cli-table3';
import type { Holdings, PagerHoldings } from './holdings.js';
import type { Tally } from './tally.js';

/**
 * What memory may grow by, in KiB: less than a few KiB a restore would take in a soak of two minutes, more
 * than the same moment of two quiet runs differs by.
 */
const GROWTH_KIB_MAX = { heap: 4 * 1024, rss: 64 * 1024, keeper: 1024, worker: 4096, arena: 1024 };

const STYLE = {
  style: { head: [], border: [] },
  chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
};

/** One line of the table of holdings. */
interface Line {
  readonly what: string;
  readonly before: string;
  readonly after: string;
  /** What is wrong with it. */
  readonly leak?: string | undefined;
}

/** Prints both tables. Returns what leaked: an empty list when all is well. */
export function report(
  tally: Tally,
  { seconds, seed }: { seconds: number; seed: number },
  before: Holdings,
  after: Holdings,
): string[] {
  const done = new Table(STYLE);
  const kills = [...tally.kills].map(([name, count]) => `${name} ${count}`).sort();
  done.push(
    ['seconds', seconds],
    ['THAW_SEED', seed],
    ['restores into hosts', tally.hostRestores],
    ['restores by CRIU', tally.taskRestores],
    ['kills', `${tally.killCount} (${kills.join(', ')})`],
    ['takeovers', tally.takeovers],
    ['forks of tasks', tally.forks],
    ['faults', tally.faults],
    ['pages compared in hosts', tally.pages],
    ['longest wait for a page', `${(tally.longestWaitNs / 1e6).toFixed(1)} ms`],
  );
  const lines = compare(before, after);
  const held = new Table({ head: ['held', 'before', 'after'], ...STYLE });
  for (const line of lines) held.push([line.what, line.before, line.after]);
  process.stdout.write(`${done.toString()}\n${held.toString()}\n`);
  return lines.flatMap(({ what, leak }) => (leak === undefined ? [] : [`${what}: ${leak}`]));
}

function compare(before: Holdings, after: Holdings): Line[] {
  return [
    memory('JavaScript heap', before.heapKib, after.heapKib, GROWTH_KIB_MAX.heap),
    memory('own memory (RSS)', before.rssKib, after.rssKib, GROWTH_KIB_MAX.rss),
    names('own descriptors', before.descriptors, after.descriptors),
    names('processes', before.processes, after.processes),
    names('files, /dev/shm', before.files, after.files),
    ...before.pagers.flatMap((held, i) =>
      comparePager(['pager', 'killed pager'][i] ?? '', held, after.pagers[i] ?? held),
    ),
  ];
}

function comparePager(name: string, before: PagerHoldings, after: PagerHoldings): Line[] {
  const { keeper, worker, arena } = GROWTH_KIB_MAX;
  return [
    memory(`${name}: keeper (RssAnon)`, before.keeperKib, after.keeperKib, keeper),
    memory(`${name}: worker (RssAnon)`, before.workerKib, after.workerKib, worker),
    memory(`${name}: arena`, before.arenaKib, after.arenaKib, arena),
    names(`${name}: descriptors`, before.descriptors, after.descriptors),
  ];
}

function memory(what: string, beforeKib: number, afterKib: number, growthKibMax: number): Line {
  const grown = Math.round(afterKib - beforeKib);
  const text = (kib: number): string => `${(kib / 1024).toFixed(2)} MiB`;
  const leak =
    grown <= growthKibMax ? undefined : `grew by ${grown} KiB, at most ${growthKibMax} expected`;
  return { what, before: text(beforeKib), after: text(afterKib), leak };
}

function names(what: string, before: readonly string[], after: readonly string[]): Line {
  const line = { what, before: String(before.length), after: String(after.length) };
  if (before.join('\n') === after.join('\n')) return line;
  return { ...line, leak: `expected ${before.join(', ')}; found ${after.join(', ')}` };
}
