/** Options whose value is a descriptor. */
import { ThawError } from '../errors.js';

const FD_MAX = 1_048_576;

/**
 * The descriptor that the option `name` has as its value.
 *
 * @throws ThawError INVALID_ARGUMENT
 */
export function toFd(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const fd = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (fd <= FD_MAX) return fd;
  throw new ThawError('INVALID_ARGUMENT', {
    what: `--${name} is not a descriptor`,
    expected: `a number up to ${FD_MAX}`,
    found: text,
  });
}
