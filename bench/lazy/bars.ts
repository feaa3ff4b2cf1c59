/** Comparisons of paired trials, and what they are held to. */
import type { Row } from '../benchmark.js';
import { summarize } from '../statistics.js';

/** What must be reached, and what is aimed at. */
export type Bar = readonly [must: number, aim: number];

/** How a ratio of which more is better stands to a bar. */
function judgeBelow(ratio: number, [must, aim]: Bar): string {
  if (ratio >= aim) return 'pass, aim reached';
  return ratio >= must ? 'pass' : 'MISS';
}

/** How a ratio of which less is better stands to a bar. */
export function judgeAbove(ratio: number, [must, aim]: Bar): string {
  return judgeBelow(1 / ratio, [1 / must, 1 / aim]);
}

/**
 * Our times and those of another, pair by pair: how many times as long the other one takes.
 */
export function compareToBar(
  ours: readonly number[],
  theirs: readonly number[],
  bar: Bar | undefined,
): Row {
  const ratio = summarize(ours.map((time, i) => (theirs[i] ?? Number.NaN) / time));
  const [own, other] = [summarize(ours), summarize(theirs)];
  return {
    thaw: format(own.median),
    'thaw min': format(own.min),
    criu: format(other.median),
    'criu min': format(other.min),
    ratio: `${ratio.median.toFixed(2)}×`,
    'ratio min–max': `${ratio.min.toFixed(1)}–${ratio.max.toFixed(1)}`,
    'must / aim': bar === undefined ? '' : `${bar[0]}× / ${bar[1]}×`,
    result: bar === undefined ? '' : judgeBelow(ratio.median, bar),
  };
}

function format(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}
