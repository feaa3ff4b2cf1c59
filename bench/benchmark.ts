/** One line of a benchmark's table, by column. */
export type Row = Readonly<Record<string, string>>;

/** A table that is printed; the columns are those of its first row. */
export interface BenchmarkTable {
  readonly title: string;
  readonly rows: readonly Row[];
}

/** What a benchmark found. */
export interface Findings {
  readonly tables: readonly BenchmarkTable[];
  /** The single measurements, for the JSON file. */
  readonly samples?: unknown;
}

/** A benchmark: `run` makes the measurements of all its cases, interleaved, in this process. */
export interface Benchmark {
  readonly name: string;
  readonly trials: number;
  readonly quickTrials: number;
  /** `quick`: without the cases that take long. */
  readonly run: (trials: number, quick: boolean) => Promise<Findings>;
}
