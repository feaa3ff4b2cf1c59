/**
 * What `thaw restore --restorer criu` has to say: as data for `--json`, and as text.
 */
import type { CriuRestoration } from '../lazy-pages/restore-with-criu.js';
import type { LatencySummary } from '../servicer/figures.js';
import {
  formatLatency,
  formatPagerReport,
  type PagerReport,
  summarizeFaults,
  summarizePager,
} from './pager-report.js';
import { formatCount, formatMs, formatNumberOf, formatPages } from './text.js';

/** One task. Counts are pages unless they say otherwise. */
export interface CriuTaskReport {
  /** Its pid in the image, and on this machine where that is known. */
  readonly pid: number;
  readonly runningPid: number | null;
  readonly comm: string;
  /** Stored pages; of these, those that CRIU brought before the task ran. */
  readonly pages: number;
  readonly eager: number;
  /** Page faults served. */
  readonly faults: number;
  readonly demand: number;
  readonly filled: number;
  readonly zeroed: number;
  readonly missing: number;
}

/** The report. */
export interface CriuReport {
  readonly image: string;
  readonly restorer: 'criu';
  readonly tasks: readonly CriuTaskReport[];
  readonly deadTasks: number;
  readonly droppedGuards: number;
  readonly pagerPid: number;
  /** From the start of the command's restore; `residentMs` is null when it was not waited for. */
  readonly timing: { readonly readyMs: number; readonly residentMs: number | null };
  readonly latencyUs: { readonly pager: LatencySummary };
  /** What the pager has done so far, for all tasks together. */
  readonly pager: PagerReport;
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

/** Puts a report together. Reads the figures as they are now. */
export function buildCriuReport(
  image: string,
  restoration: CriuRestoration,
  residentMs: number | null,
): CriuReport {
  const own = restoration.tasks.filter(({ forked }) => !forked);
  const served = own.map(({ target }) => target.figures());
  return {
    image,
    restorer: 'criu',
    tasks: restoration.plan.tasks.flatMap(({ pid, comm, totals }) => {
      const task = own.find(({ imagePid }) => imagePid === pid);
      if (task === undefined) return [];
      const figures = task.target.figures();
      return {
        pid,
        runningPid: task.pid ?? null,
        comm,
        pages: totals.pages,
        eager: totals.eagerPages,
        faults: figures.faults,
        demand: figures.demandPages,
        filled: figures.filledPages,
        zeroed: figures.zeroedPages,
        missing: figures.missingPages,
      };
    }),
    deadTasks: restoration.deadTasks,
    droppedGuards: restoration.droppedGuards,
    pagerPid: restoration.pagerPid,
    timing: { readyMs: restoration.readyMs, residentMs },
    latencyUs: { pager: summarizeFaults(served) },
    pager: summarizePager(served),
    errors: restoration.pageErrors.map(({ code, message }) => ({ code, message })),
  };
}

/** The report for people. */
export function printCriuReport(report: CriuReport, verbose: boolean): void {
  const { tasks, deadTasks, droppedGuards, timing, latencyUs } = report;
  const sum = (key: 'pages' | 'eager'): number =>
    tasks.reduce((total, task) => total + task[key], 0);
  const lines = [
    `Restored ${report.image} with CRIU`,
    `  ${formatNumberOf(tasks.length, 'task')}${deadTasks > 0 ? ` (and ${deadTasks} dead)` : ''}, ` +
      `${formatPages(sum('pages'))} stored, ${formatCount(sum('eager'))} of them eager`,
  ];
  if (droppedGuards > 0) {
    lines.push(`  ${formatNumberOf(droppedGuards, 'guard area')} are plain memory now`);
  }
  for (const task of tasks) {
    lines.push(
      `${task.comm} (task ${task.pid}${task.runningPid === null ? '' : `, pid ${task.runningPid}`})`,
      `  ${formatCount(task.demand)} pages on demand, ${formatCount(task.filled)} by fill, ` +
        `${formatCount(task.missing)} missing; ${formatNumberOf(task.faults, 'fault')}, ` +
        `${formatCount(task.zeroed)} answered by zeros`,
    );
  }
  lines.push(`ready     ${formatMs(timing.readyMs)}  (the tasks could run)`);
  lines.push(
    timing.residentMs === null
      ? `resident  not waited for (the pager, pid ${report.pagerPid}, brings the rest)`
      : `resident  ${formatMs(timing.residentMs)}  (every stored page was in)`,
  );
  if (latencyUs.pager.max !== null || verbose) {
    lines.push(`faults    ${formatLatency(latencyUs.pager)}`);
  }
  if (verbose) lines.push(...formatPagerReport(report.pager));
  process.stdout.write(`${lines.join('\n')}\n`);
}
