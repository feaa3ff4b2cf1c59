/**
 * What a person sees of `thaw restore`: a header, a progress bar on a terminal, a summary.
 */
import { Presets, SingleBar } from 'cli-progress';
import pc from 'picocolors';
import type { Restoration } from '../restore/restoration.js';
import { formatLatency, formatPagerReport, type PagerReport } from './pager-report.js';
import { type RestoreReport, residentPages } from './restore-report.js';
import { formatCount, formatMs, formatNumberOf, formatPages, printable } from './text.js';

const REFRESH_MS = 100;

/** Where text goes. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

/** First lines: what is being restored. */
export function printHeader(output: Output, image: string, restoration: Restoration): void {
  const totals = restoration.plan.tasks.map((task) => task.totals);
  const sum = (key: 'regions' | 'pages' | 'eagerPages' | 'holePages'): number =>
    totals.reduce((total, task) => total + task[key], 0);
  const shared = restoration.plan.shared.reduce((total, object) => total + object.pages, 0);
  const dead = restoration.checkpoint.tasks.length - restoration.tasks.length;
  const lines = [
    `Restoring ${image}`,
    `  ${formatNumberOf(totals.length, 'task')}${dead > 0 ? ` (and ${dead} dead)` : ''}, ` +
      formatNumberOf(sum('regions'), 'region'),
    `  ${formatPages(sum('pages'))} stored, ${formatCount(sum('eagerPages'))} of them eager`,
  ];
  if (shared > 0) lines.push(`  ${formatPages(shared)} of shared memory`);
  if (restoration.uffdAccess === 'userModeOnly') {
    lines.push(
      '  user-mode faults only: system calls that meet a missing page fail with EFAULT',
      '  (`thaw check` says how to serve all faults)',
    );
  }
  const { replacedFiles } = restoration;
  if (replacedFiles.length > 0) {
    lines.push(
      `  ${formatNumberOf(replacedFiles.length, 'mapped file')} not as dumped, undumped pages are zero:`,
      ...replacedFiles.map((name) => `    ${printable(name)}`),
    );
  }
  output.write(`${lines.join('\n')}\n`);
}

/**
 * A progress bar of resident pages with the fault rate; nothing when the output is no terminal.
 *
 * @returns a function that ends it.
 */
export function startProgress(output: Output, restoration: Restoration): () => void {
  if (output.isTTY !== true) return () => {};
  const sumOf = (key: 'pages' | 'eagerPages'): number =>
    restoration.plan.tasks.reduce((sum, { totals }) => sum + totals[key], 0);
  const eager = sumOf('eagerPages');
  const bar = new SingleBar(
    {
      format: '  {bar} {value}/{total} pages  {rate} faults/s',
      stream: output as NodeJS.WriteStream,
      hideCursor: true,
      clearOnComplete: true,
      barsize: 30,
    },
    Presets.shades_classic,
  );
  bar.start(sumOf('pages'), eager, { rate: 0 });
  let faultsBefore = 0;
  const update = (): void => {
    const figures = restoration.figures();
    const faults = figures.reduce((sum, figure) => sum + (figure?.faults ?? 0), 0);
    const rate = Math.round(((faults - faultsBefore) * 1000) / REFRESH_MS);
    faultsBefore = faults;
    bar.update(
      figures.reduce((sum, figure) => sum + residentPages(figure), eager),
      { rate: formatCount(rate) },
    );
  };
  const timer = setInterval(update, REFRESH_MS);
  return () => {
    clearInterval(timer);
    update();
    bar.stop();
  };
}

/** The summary: tasks, both clocks, latencies, verification. `waited`: for everything to be resident. */
export function printSummary(output: Output, report: RestoreReport, waited: boolean): void {
  const colors = pc.createColors(output.isTTY === true && pc.isColorSupported);
  const lines = report.tasks.flatMap((task) => [
    `${printable(task.comm)} (task ${task.pid}, host ${task.hostPid})`,
    `  ${formatCount(task.resident)} of ${formatCount(task.pages)} stored pages resident: ` +
      `${formatCount(task.eager)} eager, ${formatCount(task.filled)} by fill, ` +
      `${formatCount(task.resident - task.eager - task.filled)} on demand`,
    `  ${formatNumberOf(task.faults, 'fault')}, ${formatCount(task.zeroed)} answered by zeros`,
  ]);
  const { readyMs, residentMs } = report.timing;
  lines.push(
    `ready     ${formatMs(readyMs ?? 0)}  (the targets could run)`,
    residentMs === null
      ? `resident  ${waited ? 'not reached' : 'not waited for (--fill off)'}`
      : `resident  ${formatMs(residentMs)}  (${describeResident(report)})`,
  );
  const { host, pager } = report.latencyUs;
  if (host.max !== null) lines.push(`touches   ${formatLatency(host)}`);
  if (pager.max !== null) lines.push(`faults    ${formatLatency(pager)}`);
  const verification = describeVerification(report);
  if (verification !== undefined) {
    lines.push(verification.ok ? colors.green(verification.text) : colors.red(verification.text));
  }
  output.write(`${lines.join('\n')}\n`);
}

/**
 * What the pager did for each task, in its own counts, and advice that the host could not follow; then
 * what it did for all of them.
 */
export function printFigures(
  output: Output,
  restoration: Restoration,
  { pager }: { readonly pager: PagerReport },
): void {
  const figures = restoration.figures();
  const lines = restoration.tasks.flatMap(({ task, refusedHints }, i) => {
    const refused =
      refusedHints === 0
        ? []
        : [`host      task ${task.pid}: madvise refused ${formatNumberOf(refusedHints, 'time')}`];
    const of = figures[i];
    if (of === undefined) return [`pager     task ${task.pid}: nothing lazy`, ...refused];
    return [
      `pager     task ${task.pid}: ${of.state}, ${formatPages(of.dataPages)}, ` +
        `${formatCount(of.missingPages)} missing`,
      `          ${formatCount(of.demandPages)} on demand, ${formatCount(of.filledPages)} filled, ` +
        `${formatCount(of.zeroedPages)} zeroed, ${formatCount(of.presentPages)} present`,
      `          ${formatCount(of.removedPages)} removed, ${formatCount(of.poisonedPages)} poisoned, ` +
        `${formatCount(of.deferrals)} deferred`,
      ...refused,
    ];
  });
  output.write(`${[...lines, ...formatPagerReport(pager)].join('\n')}\n`);
}

function describeResident(report: RestoreReport): string {
  const missing = report.tasks.reduce((sum, { pages, resident }) => sum + pages - resident, 0);
  if (missing === 0) return 'every stored page was in';
  return `all was in but ${formatPages(missing)} that cannot be produced`;
}

function describeVerification(report: RestoreReport): { ok: boolean; text: string } | undefined {
  const parts = [...report.tasks, ...report.shared];
  if (parts.some((part) => part.verified === null)) return undefined;
  const sum = (key: 'verified' | 'mismatched' | 'pages'): number =>
    parts.reduce((total, part) => total + (part[key] ?? 0), 0);
  const text =
    `verified  ${formatCount(sum('verified'))} of ${formatPages(sum('pages'))}, ` +
    `${formatCount(sum('mismatched'))} mismatched`;
  return { ok: sum('mismatched') === 0, text };
}
