/**
 * Bounds on everything that input or a peer could otherwise make grow. Each says why it has its value.
 */
import { ThawError } from './errors.js';

/** Longest record of an image file, in bytes. CRIU's largest records (mm, with 64k VMAs) stay below. */
export const RECORD_BYTES_MAX = 64 * 1024 * 1024;

/** Most directories in a parent chain. CRIU users keep tens; a longer one is a mistake or a loop. */
export const PARENT_CHAIN_MAX = 1024;

/** Most bytes of one LZ4 region. Source: the format's own limit (docs/images.md). */
export const LZ4_REGION_BYTES_MAX = 4 * 1024 * 1024;

/** Most pages that one call of `readPages` hands out (1 GiB): a larger range is read in parts. */
export const READ_PAGES_MAX = 262_144;

/** Most pages of an entry that is written (256 MiB): its block sizes are held until it ends. */
export const WRITTEN_ENTRY_PAGES_MAX = 65_536;

/** Most problems that verification lists; a hostile image could have one a record. */
export const PROBLEMS_MAX = 1000;

/** Longest time that a caller may set, in milliseconds: Node's timers end at once above it (24 days). */
const WAIT_MS_MAX = 2 ** 31 - 1;

/**
 * Checks an option in milliseconds. `otherwise` says what it may be besides.
 *
 * @throws ThawError INVALID_ARGUMENT
 */
export function checkMilliseconds(name: string, value: number, otherwise = ''): void {
  if (typeof value === 'number' && value >= 0 && value <= WAIT_MS_MAX) return;
  throw new ThawError('INVALID_ARGUMENT', {
    what: `${name} is no time in milliseconds that can be waited for`,
    expected: `0 to ${WAIT_MS_MAX}${otherwise}`,
    found: String(value),
  });
}
