/**
 * Sets of kernel flags that can be asked and printed.
 */

/** Names of a family of flags, and the bits of each. */
export type FlagTable = Readonly<Record<string, bigint>>;

/**
 * An immutable set of flags of one family. Bits that the family does not name are kept.
 *
 * @example
 * const modes = new FlagSet(RegisterMode, RegisterMode.MISSING | 0x100n);
 * modes.has(RegisterMode.MISSING); // true
 * `${modes}`; // 'MISSING | 0x100'
 */
export class FlagSet<Table extends FlagTable> {
  /** All bits, named or not. */
  readonly bits: bigint;
  readonly #table: Table;

  constructor(table: Table, bits: bigint) {
    this.#table = table;
    this.bits = bits;
  }

  /** True when every bit of `flags` is in the set. */
  has(flags: bigint): boolean {
    return (this.bits & flags) === flags;
  }

  /** Names of the flags in the set, in the order of their bits. */
  get names(): readonly (keyof Table & string)[] {
    return Object.entries(this.#table)
      .filter(([, bit]) => this.has(bit))
      .map(([name]) => name);
  }

  /** Bits that have no name here: a newer kernel's. */
  get unknownBits(): bigint {
    return Object.values(this.#table).reduce((left, bit) => left & ~bit, this.bits);
  }

  /** Those of `flags` that are not in the set. */
  missing(flags: bigint): FlagSet<Table> {
    return new FlagSet(this.#table, flags & ~this.bits);
  }

  /** `EVENT_FORK | POISON | 0x20000`, or `none`. */
  toString(): string {
    const parts: string[] = [...this.names];
    if (this.unknownBits !== 0n) parts.push(`0x${this.unknownBits.toString(16)}`);
    return parts.length === 0 ? 'none' : parts.join(' | ');
  }
}
