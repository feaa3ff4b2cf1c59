/**
 * The pager's figures, read from shared memory while it works.
 *
 * Writer: native/core/figures.h, latency_histogram.h; the numbers here are its layout.
 */
import { readSync } from 'node:fs';
import { ThawError } from '../errors.js';

const SLOT_BYTES = 8192;
/** Slots; the pager's own record follows. Peer: native/core/arena_layout.h. */
const SLOTS = 16384;
const STATES = ['free', 'serving', 'resident', 'gone'] as const;

/** Order of the counters in a slot, eight bytes each. */
const COUNTERS = [
  'state',
  'dataPages',
  'missingPages',
  'faults',
  'demandPages',
  'filledPages',
  'zeroedPages',
  'presentPages',
  'removedPages',
  'poisonedPages',
  'deferrals',
  'residentNs',
  'startedNs',
  'windowFaults',
  'awaitedFaults',
  'coldFaults',
  'queueDepthMax',
  'rawBytes',
  'lz4Bytes',
  'decodeNs',
  'stalledNs',
  'fillNs',
  'remoteBytes',
] as const;
const HISTOGRAMS_OFFSET = 64 * 8;
const SUB_BUCKETS = 8;
const FIRST_POWER = 8;
const BUCKETS = 1 + 27 * SUB_BUCKETS;
const HISTOGRAM_BYTES = 8 + BUCKETS * 8;

/** Latencies in microseconds; all null when there was nothing to measure. */
export interface LatencySummary {
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

/** Figures of one target at one moment. Pages are counts of 4096 bytes. */
export interface TargetFigures {
  readonly state: (typeof STATES)[number];
  /** Pages with stored bytes that the pager has to bring. */
  readonly dataPages: number;
  /** Of those, not in yet. */
  readonly missingPages: number;
  /** Page faults read from the kernel. */
  readonly faults: number;
  /** Pages installed for a fault, those around it included. */
  readonly demandPages: number;
  /** Pages installed by the background fill. */
  readonly filledPages: number;
  /** Faults answered with the zero page. */
  readonly zeroedPages: number;
  /** Pages found present already. */
  readonly presentPages: number;
  /** Pages that the target discarded or unmapped before they were in. */
  readonly removedPages: number;
  /** Pages that could not be produced: a touch is SIGBUS. */
  readonly poisonedPages: number;
  /** Faults put off because an event was unread. */
  readonly deferrals: number;
  /** CLOCK_MONOTONIC in nanoseconds when everything was in; 0 before. */
  readonly residentNs: number;
  /** CLOCK_MONOTONIC in nanoseconds when the target was added. */
  readonly startedNs: number;
  /** Faults that were answered with more than their page. */
  readonly windowFaults: number;
  /** Faults on a page that was being installed already. */
  readonly awaitedFaults: number;
  /** Faults whose bytes had to come from the disk. */
  readonly coldFaults: number;
  /** Most faults found waiting at one read. */
  readonly queueDepthMax: number;
  /** Bytes read from pages images as they are. */
  readonly rawBytes: number;
  /** Bytes read from pages images to be decoded. */
  readonly lz4Bytes: number;
  /** Nanoseconds spent decoding, over all threads. */
  readonly decodeNs: number;
  /** Nanoseconds spent waiting for the disk, over all threads. */
  readonly stalledNs: number;
  /** Nanoseconds spent in the background fill, over all threads. */
  readonly fillNs: number;
  /** Bytes received from a page server. */
  readonly remoteBytes: number;
  /**
   * From a fault read to its pages installed and the thread woken, as the pager saw it: where the
   * bytes were in the page cache, or asked from a page server,
   */
  readonly latency: LatencyCounts;
  /** where there were none, so that the zero page was enough, */
  readonly zeroLatency: LatencyCounts;
  /** and where the disk had to be waited for. */
  readonly coldLatency: LatencyCounts;
}

/** A histogram of latencies: counts by log-linear bucket, and the exact maximum. */
export interface LatencyCounts {
  readonly counts: readonly number[];
  readonly maxNs: number;
}

/** Reads slot `slot` of the pager's shared memory `fd`. */
export function readFigures(fd: number, slot: number): TargetFigures {
  const bytes = new Uint8Array(SLOT_BYTES);
  if (readSync(fd, bytes, 0, SLOT_BYTES, slot * SLOT_BYTES) !== SLOT_BYTES) {
    throw new ThawError('PAGER_LOST', { what: `figures slot ${slot} cannot be read` });
  }
  const view = new DataView(bytes.buffer);
  const word = (offset: number): number => Number(view.getBigUint64(offset, true));
  const counters = Object.fromEntries(COUNTERS.map((name, i) => [name, word(i * 8)])) as Record<
    (typeof COUNTERS)[number],
    number
  >;
  const histogram = (index: number): LatencyCounts => {
    const offset = HISTOGRAMS_OFFSET + index * HISTOGRAM_BYTES;
    const counts = Array.from({ length: BUCKETS }, (_, bucket) => word(offset + 8 + bucket * 8));
    return { counts, maxNs: word(offset) };
  };
  return {
    ...counters,
    state: STATES[counters.state] ?? 'free',
    latency: histogram(0),
    zeroLatency: histogram(1),
    coldLatency: histogram(2),
  };
}

/** How often another worker took over, as the pager's shared memory `fd` says. */
export function readTakeovers(fd: number): number {
  const bytes = Buffer.alloc(8);
  readSync(fd, bytes, 0, bytes.length, SLOTS * SLOT_BYTES);
  return Number(bytes.readBigUint64LE());
}

/** Upper bound of a bucket in nanoseconds. */
function bucketEndNs(bucket: number): number {
  if (bucket === 0) return 2 ** FIRST_POWER;
  const power = FIRST_POWER + Math.floor((bucket - 1) / SUB_BUCKETS);
  const sub = (bucket - 1) % SUB_BUCKETS;
  return 2 ** power * (1 + (sub + 1) / SUB_BUCKETS);
}

/** The histograms of all faults of a target, however their pages arrived. */
export function latenciesOfAllFaults(figures: TargetFigures): readonly LatencyCounts[] {
  return [figures.latency, figures.zeroLatency, figures.coldLatency];
}

/** Percentiles over histograms together; at most 12.5 % too high, never above the maximum. */
export function summarizeHistograms(histograms: readonly LatencyCounts[]): LatencySummary {
  const maxNs = Math.max(0, ...histograms.map((histogram) => histogram.maxNs));
  const counts = Array.from({ length: BUCKETS }, (_, bucket) =>
    histograms.reduce((sum, histogram) => sum + (histogram.counts[bucket] ?? 0), 0),
  );
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return { p50: null, p99: null, max: null };
  const percentile = (share: number): number => {
    let left = Math.ceil(total * share);
    const bucket = counts.findIndex((count) => {
      left -= count;
      return left <= 0;
    });
    return Math.min(bucketEndNs(bucket), maxNs) / 1000;
  };
  return { p50: percentile(0.5), p99: percentile(0.99), max: maxNs / 1000 };
}

/** Percentiles of single measurements in nanoseconds. Sorts a copy. */
export function summarizeLatencies(latenciesNs: Uint32Array): LatencySummary {
  if (latenciesNs.length === 0) return { p50: null, p99: null, max: null };
  const sorted = latenciesNs.slice().sort();
  const at = (share: number): number =>
    (sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0) / 1000;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}
