/**
 * Parsers of option values.
 */
import { InvalidArgumentError } from 'commander';
import { ThawError } from '../errors.js';

/** Makes a parser's ThawError a usage error of the command line. */
export function asArgument<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof ThawError) throw new InvalidArgumentError(`${error.message}.`);
      throw error;
    }
  };
}

/** A parser of whole numbers from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'not a whole number in range',
      expected: `${min} to ${max}`,
      found: text,
    });
  };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/**
 * A parser of sizes in bytes, such as `65536`, `64K`, `1M` or `1MiB`: multiples of `step` from `min` to
 * `max`.
 */
export function byteSize({
  min,
  max,
  step,
}: {
  readonly min: number;
  readonly max: number;
  readonly step: number;
}): (text: string) => number {
  return (text) => {
    const match = /^(\d{1,15})([KMG]?)(?:iB)?$/i.exec(text);
    const unit = UNITS[match?.[2]?.toUpperCase() ?? ''] ?? Number.NaN;
    const bytes = match === null ? Number.NaN : Number(match[1]) * unit;
    if (bytes >= min && bytes <= max && bytes % step === 0) return bytes;
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'not a size in range',
      expected: `${step === 1 ? '' : `a multiple of ${step} from `}${min} to ${max} bytes, such as 64K`,
      found: text,
    });
  };
}
