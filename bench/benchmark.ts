/** One line of a benchmark's table, by column. */
export type Row = Readonly<Record<string, string>>;

/** A benchmark: `run` makes the measurements of all its cases, interleaved, in this process. */
export interface Benchmark {
  readonly name: string;
  readonly trials: number;
  readonly quickTrials: number;
  readonly run: (trials: number) => Promise<Row[]>;
}
