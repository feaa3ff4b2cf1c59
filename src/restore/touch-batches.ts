/**
 * Touching of many pages of a host, in batches that bound memory and let a caller stop in between.
 */
import { ThawError } from '../errors.js';
import { type HostProcess, TOUCH_FAILED, type TouchResults } from './host-process.js';

/** Pages a request: enough to keep threads busy, few enough to report progress and to stop. */
const BATCH_PAGES = 65_536;

/** Options of {@link touchInBatches}. */
export interface TouchOptions {
  /** Threads of the host that touch at the same time. @default 1 */
  readonly threads?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Touches `words` (page addresses with touch flags) and yields the results batch by batch; `first` is
 * the index of a batch's first word.
 *
 * @throws ABORTED between two batches once `signal` is aborted.
 */
export async function* touchInBatches(
  host: HostProcess,
  words: BigUint64Array,
  { threads = 1, signal }: TouchOptions = {},
): AsyncGenerator<TouchResults & { readonly first: number }> {
  for (let first = 0; first < words.length; first += BATCH_PAGES) {
    throwIfAborted(signal);
    const batch = words.subarray(first, first + BATCH_PAGES);
    yield { first, ...(await host.touch(batch, Math.min(threads, batch.length))) };
  }
}

/** Latencies of the touches that succeeded. */
export function succeeded(latencyNs: Uint32Array): Uint32Array {
  return latencyNs.filter((latency) => latency !== TOUCH_FAILED);
}

/** All of `parts` in a row. */
export function joinLatencies(parts: readonly Uint32Array[]): Uint32Array {
  const whole = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** @throws ABORTED once `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new ThawError('ABORTED', { what: 'the restore was stopped' });
}
