/**
 * How much a pager brings in, and how fast: of the background fill, and around a fault.
 */
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';

/** The largest `fillThreads`. */
export const FILL_THREADS_MAX = 4;
/** The largest `windowBytes`. */
export const WINDOW_BYTES_MAX = 65_536;

/** How a pager fills what nobody has asked for yet. */
export interface PagerOptions {
  /**
   * Threads that fill at the same time, from 1 to 4. The first makes room for faults that nobody
   * foresees, the others rest while there are any.
   * @default 2, or 1 on a single CPU
   */
  readonly fillThreads?: number | undefined;
  /**
   * Most bytes a second that the fill brings in, over all targets; what the program asks for is not
   * counted.
   * @default unlimited
   */
  readonly fillRate?: number | undefined;
}

/**
 * The options as arguments of the pager's command line.
 *
 * @throws INVALID_ARGUMENT
 */
export function toPagerArguments({ fillThreads, fillRate }: PagerOptions): string[] {
  const numbers = [
    { name: 'fillThreads', option: '--fill-threads', value: fillThreads, max: FILL_THREADS_MAX },
    { name: 'fillRate', option: '--fill-rate', value: fillRate, max: Number.MAX_SAFE_INTEGER },
  ];
  return numbers.flatMap(({ name, option, value, max }) => {
    if (value === undefined) return [];
    if (Number.isInteger(value) && value > 0 && value <= max) return [`${option}=${value}`];
    throw new ThawError('INVALID_ARGUMENT', {
      what: `${name} is no number that a pager can use`,
      expected: `a whole number from 1 to ${max}`,
      found: String(value),
    });
  });
}

/** Whether a fault may install `bytes`: whole pages, at least one, at most {@link WINDOW_BYTES_MAX}. */
export function isWindow(bytes: number): boolean {
  return bytes % PAGE_SIZE === 0 && bytes >= PAGE_SIZE && bytes <= WINDOW_BYTES_MAX;
}

/** The window of a target: as asked for; else, without a fill, exactly what is touched comes in. */
export function windowOf(fill: boolean, windowBytes: number | undefined): number {
  return windowBytes ?? (fill ? WINDOW_BYTES_MAX : PAGE_SIZE);
}
