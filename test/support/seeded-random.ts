/** Numbers that a seed decides, so that a run that failed can be had again. */

/** A generator (SplitMix64) of its own sequence; two users of one would disturb each other's. */
export class SeededRandom {
  #state: bigint;

  constructor(seed: number | bigint) {
    this.#state = BigInt(seed);
  }

  /** A whole number from 0 to `end - 1`. */
  below(end: number): number {
    this.#state = BigInt.asUintN(64, this.#state + 0x9e3779b97f4a7c15n);
    let word = this.#state;
    word = BigInt.asUintN(64, (word ^ (word >> 30n)) * 0xbf58476d1ce4e5b9n);
    word = BigInt.asUintN(64, (word ^ (word >> 27n)) * 0x94d049bb133111ebn);
    return Number((word ^ (word >> 31n)) % BigInt(end));
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** A copy in another order. */
  shuffled<T>(list: readonly T[]): T[] {
    const copy = [...list];
    for (let last = copy.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      [copy[last], copy[other]] = [copy[other] as T, copy[last] as T];
    }
    return copy;
  }

  /** A generator with a sequence of its own, decided by this one. */
  split(): SeededRandom {
    return new SeededRandom(this.below(2 ** 52));
  }
}

/** THAW_KILLS, or `kills`; and THAW_SEED, or a seed that no other run has. */
export function killsAndSeed(kills: number): { readonly kills: number; readonly seed: number } {
  const { THAW_KILLS, THAW_SEED } = process.env;
  return {
    kills: THAW_KILLS === undefined ? kills : Number(THAW_KILLS),
    seed: THAW_SEED === undefined ? Date.now() * 1000 : Number(THAW_SEED),
  };
}

/** Does `round` of a seed; what it throws says the seed. */
export async function seeded<T>(
  seed: number,
  round: (random: SeededRandom) => Promise<T>,
): Promise<T> {
  try {
    return await round(new SeededRandom(seed));
  } catch (cause) {
    throw new Error(`THAW_SEED=${seed}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}
