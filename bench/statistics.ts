/** Numbers of a series of trials. */
export interface Series {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Median, minimum and maximum of at least one value. */
export function summarize(values: readonly number[]): Series {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1) };
}
