/**
 * What the pager did and what it waited for: as data for `--json`, and as text. Read from shared memory;
 * nothing stops for it.
 */
import { PAGE_SIZE } from '../address.js';
import {
  type LatencySummary,
  latenciesOfAllFaults,
  summarizeHistograms,
  type TargetFigures,
} from '../servicer/figures.js';
import { formatBytes, formatCount, formatMs, formatNumberOf, formatUs } from './text.js';

/** How pages arrive at a fault, and what text calls it. */
const WAYS = { pageCache: 'page cache', zeroPage: 'zero page', disk: 'disk' } as const;
type Way = keyof typeof WAYS;

/** The figures of some targets together. Times of several threads add up. */
export interface PagerReport {
  /** From a fault read to its thread woken, in microseconds, by how the page arrived. */
  readonly latencyUs: Readonly<Record<Way, LatencySummary>>;
  /** Most faults found waiting at once. */
  readonly queueDepthMax: number;
  /** Faults that were answered with more than their page. */
  readonly windows: number;
  /** Faults on a page that was being installed already. */
  readonly awaited: number;
  /** Faults put off because an event was unread. */
  readonly deferrals: number;
  /** Bytes read, as they were stored or sent. */
  readonly bytes: { readonly raw: number; readonly lz4: number; readonly pageServer: number };
  readonly decodeMs: number;
  /** Spent waiting for the disk. */
  readonly stalledMs: number;
  /** The background fill: what it installed, and the time that it worked. */
  readonly fill: {
    readonly bytes: number;
    readonly ms: number;
    /** The one through the other; null where it did nothing. */
    readonly bytesPerSecond: number | null;
  };
}

/** Percentiles over all faults of some targets, however their pages arrived. */
export function summarizeFaults(targets: readonly TargetFigures[]): LatencySummary {
  return summarizeHistograms(targets.flatMap(latenciesOfAllFaults));
}

/** Puts the figures of some targets together. */
export function summarizePager(targets: readonly TargetFigures[]): PagerReport {
  const sum = (of: (figures: TargetFigures) => number): number =>
    targets.reduce((total, figures) => total + of(figures), 0);
  const fillNs = sum(({ fillNs }) => fillNs);
  const filledBytes = sum(({ filledPages }) => filledPages) * PAGE_SIZE;
  const worked = fillNs > 0 && filledBytes > 0;
  return {
    latencyUs: {
      pageCache: summarizeHistograms(targets.map(({ latency }) => latency)),
      zeroPage: summarizeHistograms(targets.map(({ zeroLatency }) => zeroLatency)),
      disk: summarizeHistograms(targets.map(({ coldLatency }) => coldLatency)),
    },
    queueDepthMax: Math.max(0, ...targets.map(({ queueDepthMax }) => queueDepthMax)),
    windows: sum(({ windowFaults }) => windowFaults),
    awaited: sum(({ awaitedFaults }) => awaitedFaults),
    deferrals: sum(({ deferrals }) => deferrals),
    bytes: {
      raw: sum(({ rawBytes }) => rawBytes),
      lz4: sum(({ lz4Bytes }) => lz4Bytes),
      pageServer: sum(({ remoteBytes }) => remoteBytes),
    },
    decodeMs: sum(({ decodeNs }) => decodeNs) / 1e6,
    stalledMs: sum(({ stalledNs }) => stalledNs) / 1e6,
    fill: {
      bytes: filledBytes,
      ms: fillNs / 1e6,
      bytesPerSecond: worked ? Math.round((filledBytes * 1e9) / fillNs) : null,
    },
  };
}

/** The report as lines of text, each with its name in the first ten columns. */
export function formatPagerReport(report: PagerReport): string[] {
  const { queueDepthMax, windows, awaited, deferrals, bytes, decodeMs, stalledMs, fill } = report;
  const ways = (Object.keys(WAYS) as Way[]).map((way, i) => {
    const label = (i === 0 ? 'arrival' : '').padEnd(10);
    return `${label}${WAYS[way].padEnd(12)}${formatLatency(report.latencyUs[way])}`;
  });
  const server = bytes.pageServer === 0 ? '' : `, ${formatBytes(bytes.pageServer)} from a server`;
  const rate = fill.bytesPerSecond === null ? '' : `, ${formatBytes(fill.bytesPerSecond)}/s`;
  return [
    ...ways,
    `queue     ${formatCount(queueDepthMax)} at most; ${formatNumberOf(windows, 'window')}, ` +
      `${formatCount(awaited)} awaited, ${formatNumberOf(deferrals, 'deferral')}`,
    `bytes     ${formatBytes(bytes.raw)} raw, ${formatBytes(bytes.lz4)} of LZ4${server}`,
    `spent     ${formatMs(decodeMs)} decoding, ${formatMs(stalledMs)} stalled on I/O`,
    `fill      ${formatBytes(fill.bytes)} in ${formatMs(fill.ms)}${rate}`,
  ];
}

/** `p50 13 µs, p99 90 µs, max 1.2 ms`. */
export function formatLatency({ p50, p99, max }: LatencySummary): string {
  if (max === null) return '-';
  return `p50 ${formatUs(p50)}, p99 ${formatUs(p99)}, max ${formatUs(max)}`;
}
