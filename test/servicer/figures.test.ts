/** Figures in shared memory and their percentiles, against a plain model of the native side. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { native } from '../../src/native.js';
import { writeAll } from '../../src/restore/file-bytes.js';
import {
  readFigures,
  summarizeHistograms,
  summarizeLatencies,
} from '../../src/servicer/figures.js';

const BUCKETS = 217;

/** The bucket of a latency: eight to every power of two from 256 ns on. */
function bucketOf(latencyNs: number): number {
  let low = 256;
  if (latencyNs < low) return 0;
  let power = 0;
  while (latencyNs >= 2 * low) {
    low *= 2;
    power += 1;
  }
  return Math.min(BUCKETS - 1, 1 + power * 8 + Math.floor((latencyNs - low) / (low / 8)));
}

function histogramOf(latencies: readonly number[]) {
  const counts = new Array<number>(BUCKETS).fill(0);
  for (const latency of latencies) counts[bucketOf(latency)] = (counts[bucketOf(latency)] ?? 0) + 1;
  return { counts, maxNs: Math.max(0, ...latencies) };
}

/** The latency that `share` of all do not exceed. */
function percentile(latencies: readonly number[], share: number): number {
  const sorted = latencies.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}

const latencies = fc.array(fc.oneof(fc.nat(2_000), fc.nat(100_000), fc.nat(2 ** 31)), {
  minLength: 1,
  maxLength: 200,
});

describe('summarizeHistograms', () => {
  it('is at most an eighth too high, never too low, and exact at the top', () => {
    fc.assert(
      fc.property(fc.array(latencies, { minLength: 1, maxLength: 4 }), (parts) => {
        const all = parts.flat();
        const { p50, p99, max } = summarizeHistograms(parts.map(histogramOf));
        expect(max).toBe(Math.max(...all) / 1000);
        for (const [found, share] of [
          [p50, 0.5],
          [p99, 0.99],
        ] as const) {
          const exact = percentile(all, share) / 1000;
          expect(found).toBeGreaterThanOrEqual(exact);
          expect(found).toBeLessThanOrEqual(Math.max(exact * 1.125, 0.256));
          expect(found).toBeLessThanOrEqual(max ?? Number.NaN);
        }
      }),
    );
  });

  it('has nothing to say of nothing', () => {
    const nothing = { p50: null, p99: null, max: null };
    expect(summarizeHistograms([])).toEqual(nothing);
    expect(summarizeHistograms([histogramOf([]), histogramOf([])])).toEqual(nothing);
    expect(summarizeLatencies(new Uint32Array())).toEqual(nothing);
  });
});

describe('summarizeLatencies', () => {
  it('is exact, and leaves its input alone', () => {
    fc.assert(
      fc.property(latencies, (list) => {
        const given = Uint32Array.from(list);
        expect(summarizeLatencies(given)).toEqual({
          p50: percentile(list, 0.5) / 1000,
          p99: percentile(list, 0.99) / 1000,
          max: Math.max(...list) / 1000,
        });
        expect([...given]).toEqual(list);
      }),
    );
  });
});

describe('readFigures', () => {
  let fd = -1;
  afterEach(() => {
    if (fd >= 0) native.closeFd(fd);
    fd = -1;
  });

  it('finds every figure in its slot', () => {
    const slots = 3;
    const memory = new BigUint64Array(slots * 1024);
    for (let slot = 0; slot < slots; slot++) {
      for (let word = 0; word < 1024; word++) {
        memory[slot * 1024 + word] = BigInt(slot * 10_000 + word);
      }
      memory[slot * 1024] = BigInt(slot + 1);
    }
    fd = native.createMemfd('figures', memory.byteLength);
    writeAll(fd, new Uint8Array(memory.buffer), 0);
    const histogramFrom = (first: number) => ({
      maxNs: first,
      counts: Array.from({ length: BUCKETS }, (_, i) => first + 1 + i),
    });
    expect(readFigures(fd, 1)).toEqual({
      state: 'resident',
      dataPages: 10_001,
      missingPages: 10_002,
      faults: 10_003,
      demandPages: 10_004,
      filledPages: 10_005,
      zeroedPages: 10_006,
      presentPages: 10_007,
      removedPages: 10_008,
      poisonedPages: 10_009,
      deferrals: 10_010,
      residentNs: 10_011,
      startedNs: 10_012,
      windowFaults: 10_013,
      awaitedFaults: 10_014,
      coldFaults: 10_015,
      queueDepthMax: 10_016,
      rawBytes: 10_017,
      lz4Bytes: 10_018,
      decodeNs: 10_019,
      stalledNs: 10_020,
      fillNs: 10_021,
      remoteBytes: 10_022,
      latency: histogramFrom(10_064),
      zeroLatency: histogramFrom(10_064 + 1 + BUCKETS),
      coldLatency: histogramFrom(10_064 + 2 * (1 + BUCKETS)),
    });
    expect([0, 1, 2].map((slot) => readFigures(fd, slot).state)).toEqual([
      'serving',
      'resident',
      'gone',
    ]);
  });

  it('does not take a slot that is not there for one', () => {
    fd = native.createMemfd('figures', 8192);
    expect(() => readFigures(fd, 1)).toThrow(expect.objectContaining({ code: 'PAGER_LOST' }));
  });
});
