/**
 * What `thaw restore` has to say at its end, as data: the object that `--json` prints.
 */
import { ThawError } from '../errors.js';
import type { Restoration, TouchSummary, VerifyResult } from '../restore/restoration.js';
import { joinLatencies } from '../restore/touch-batches.js';
import {
  type LatencySummary,
  summarizeLatencies,
  type TargetFigures,
} from '../servicer/figures.js';
import { type PagerReport, summarizeFaults, summarizePager } from './pager-report.js';

/** One task of the report. Counts are pages unless they say otherwise. */
export interface TaskReport {
  /** The task's pid in the image, and its host's on this machine. */
  readonly pid: number;
  readonly hostPid: number;
  readonly comm: string;
  readonly regions: number;
  /** Stored pages, eager ones included. */
  readonly pages: number;
  /** Pages of lazy regions for which nothing is stored. */
  readonly holes: number;
  /** Stored pages that were in place before the target was ready. */
  readonly eager: number;
  /** Page faults served. */
  readonly faults: number;
  /** Pages that the background fill brought. */
  readonly filled: number;
  /** Faults answered with the zero page. */
  readonly zeroed: number;
  /** Stored pages that are in the host's memory. */
  readonly resident: number;
  /** Pages touched by `--access`. */
  readonly touched: number;
  /** Stored pages that are as in the image, and pages that are not; null without `--verify`. */
  readonly verified: number | null;
  readonly mismatched: number | null;
}

/** The report. */
export interface RestoreReport {
  readonly image: string;
  readonly tasks: readonly TaskReport[];
  readonly shared: readonly {
    readonly shmid: number;
    readonly pages: number;
    readonly verified: number | null;
    readonly mismatched: number | null;
  }[];
  /** Milliseconds from the start of the command's restore; `residentMs` is null with `--fill off`. */
  readonly timing: { readonly readyMs: number | null; readonly residentMs: number | null };
  /** Of the first touches by `--access`, as the hosts saw them; of all faults, as the pager did. */
  readonly latencyUs: { readonly host: LatencySummary; readonly pager: LatencySummary };
  /** What the pager did, for all tasks together. */
  readonly pager: PagerReport;
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

/** How far a restore came, for its report. */
export interface RestoreOutcome {
  readonly image: string;
  readonly restoration: Restoration;
  touched: readonly TouchSummary[];
  residentMs: number | null;
  verify?: VerifyResult;
  /** Why it came no further. */
  failure?: unknown;
}

/** Puts a report together. Reads the figures as they are now. */
export function buildReport(outcome: RestoreOutcome): RestoreReport {
  const { image, restoration, touched, residentMs, verify } = outcome;
  const figures = restoration.figures();
  const served = figures.filter((figure) => figure !== undefined);
  return {
    image,
    tasks: restoration.tasks.map(({ task, plan, host }, i) => ({
      pid: task.pid,
      hostPid: host.pid,
      comm: task.comm,
      regions: plan.totals.regions,
      pages: plan.totals.pages,
      holes: plan.totals.holePages,
      eager: plan.totals.eagerPages,
      faults: figures[i]?.faults ?? 0,
      filled: figures[i]?.filledPages ?? 0,
      zeroed: figures[i]?.zeroedPages ?? 0,
      resident: plan.totals.eagerPages + residentPages(figures[i]),
      touched: touched[i]?.touched ?? 0,
      verified: verify?.tasks[i]?.verified ?? null,
      mismatched: verify?.tasks[i]?.mismatched ?? null,
    })),
    shared: restoration.plan.shared.map(({ shmid, pages }) => {
      const counts = verify?.shared.find((object) => object.shmid === shmid);
      return {
        shmid,
        pages,
        verified: counts?.verified ?? null,
        mismatched: counts?.mismatched ?? null,
      };
    }),
    timing: {
      readyMs: roundMs(restoration.readyMs),
      residentMs: residentMs === null ? null : roundMs(residentMs),
    },
    latencyUs: {
      host: summarizeLatencies(joinLatencies(touched.map(({ latencyNs }) => latencyNs))),
      pager: summarizeFaults(served),
    },
    pager: summarizePager(served),
    errors: errorsOf(outcome).map(toErrorEntry),
  };
}

/** All that went wrong, in the order in which it is told. */
export function errorsOf({ restoration, verify, failure }: RestoreOutcome): unknown[] {
  return [
    ...restoration.pageErrors,
    ...(verify?.tasks.flatMap((counts) => counts.errors) ?? []),
    ...(verify?.shared.flatMap((counts) => counts.errors) ?? []),
    ...(failure === undefined ? [] : [failure]),
  ];
}

/** The report of a restore that did not come about. */
export function buildFailureReport(image: string, errors: readonly unknown[]): RestoreReport {
  const nothing = { p50: null, p99: null, max: null };
  return {
    image,
    tasks: [],
    shared: [],
    timing: { readyMs: null, residentMs: null },
    latencyUs: { host: nothing, pager: nothing },
    pager: summarizePager([]),
    errors: errors.map(toErrorEntry),
  };
}

/** Stored pages of the pager's that are in. */
export function residentPages(figures: TargetFigures | undefined): number {
  if (figures === undefined) return 0;
  return figures.demandPages + figures.filledPages + figures.presentPages;
}

/** Whole microseconds: what lies below is noise. */
function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function toErrorEntry(error: unknown): { code: string; message: string } {
  if (error instanceof ThawError) return { code: error.code, message: error.message };
  return { code: 'UNEXPECTED', message: error instanceof Error ? error.message : String(error) };
}
