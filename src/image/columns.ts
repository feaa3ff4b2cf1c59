/** Typed-array columns: how everything is kept of which an image can have millions. */

/** The typed arrays that are used as columns. */
export type NumberColumn = Float64Array | Uint32Array | Uint16Array | Uint8Array;

const INITIAL_CAPACITY = 64;

/** A column that grows at its end. */
export class GrowingColumn<T extends NumberColumn> {
  /** Rows so far. */
  length = 0;
  #rows: T;

  constructor(private readonly type: new (length: number) => T) {
    this.#rows = new type(INITIAL_CAPACITY);
  }

  /** Adds one row. */
  push(value: number): void {
    if (this.length === this.#rows.length) this.#reserve(this.length + 1);
    this.#rows[this.length++] = value;
  }

  /** Adds many rows. */
  pushAll(values: ArrayLike<number>): void {
    if (this.length + values.length > this.#rows.length) this.#reserve(this.length + values.length);
    this.#rows.set(values, this.length);
    this.length += values.length;
  }

  /** The column, of exactly its rows: a view, as capacity that was never written costs no memory. */
  finish(): T {
    return this.#rows.subarray(0, this.length) as T;
  }

  #reserve(length: number): void {
    const grown = new this.type(Math.max(length, this.#rows.length * 2));
    grown.set(this.#rows);
    this.#rows = grown;
  }
}

/**
 * The last row of an ascending column whose value is at most `value`; -1 if there is none.
 */
export function findLastAtMost(column: Float64Array, value: number): number {
  let low = 0;
  let high = column.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((column[middle] ?? Number.POSITIVE_INFINITY) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
