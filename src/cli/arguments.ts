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
