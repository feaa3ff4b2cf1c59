/** What bench/targets/accesses.h writes down of one walk through memory. */
import { readFileSync } from 'node:fs';
import { type LatencySummary, summarizeLatencies } from '../../src/servicer/figures.js';

const START = 0;
const END = 8;
const WRONG = 16;
const COUNT = 24;
const LATENCIES = 32;

/** A walk. Times are CLOCK_REALTIME in nanoseconds. */
export interface Measurement {
  readonly startNs: number;
  readonly endNs: number;
  /** Of the first touch of every page touched, in microseconds. */
  readonly touches: LatencySummary;
}

/** @throws Error when a page had another content than it should. */
export function readMeasurement(path: string): Measurement {
  const bytes = readFileSync(path);
  const word = (offset: number): number => Number(bytes.readBigUInt64LE(offset));
  if (word(WRONG) !== 0) throw new Error(`bench: ${word(WRONG)} pages with wrong content`);
  const latencies = new Uint32Array(word(COUNT));
  new Uint8Array(latencies.buffer).set(bytes.subarray(LATENCIES));
  return { startNs: word(START), endNs: word(END), touches: summarizeLatencies(latencies) };
}
