/**
 * Gaps in an image's address space, where a host process can put itself.
 */
import { USER_SPACE_END } from '../address.js';

/** Most candidates that a host takes. Peer: native/host/host_plan.h. */
export const GAPS_MAX = 64;

/** Lowest address used: below, vm.mmap_min_addr may forbid it. */
const LOWEST = 0x100000n;
/** Kept free on both sides of a gap: the kernel wants 1 MiB below a stack that may grow. */
const MARGIN = 0x200000n;
const ALIGNMENT = 0x1000n;

/** A half-open range of addresses. */
export interface AddressRange {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * Addresses at which `byteLength` bytes are free in a map, at most {@link GAPS_MAX}, spread over the
 * gaps, the largest gaps first. Several, because the host itself stands somewhere when it starts.
 *
 * `occupied` is sorted and disjoint. Empty when nothing fits.
 */
export function findGaps(occupied: readonly AddressRange[], byteLength: bigint): bigint[] {
  const gaps: AddressRange[] = [];
  let cursor = LOWEST;
  for (const range of [...occupied, { start: USER_SPACE_END, end: USER_SPACE_END }]) {
    const start = cursor + MARGIN;
    const end = range.start - MARGIN;
    if (end - start >= byteLength) gaps.push({ start, end });
    if (range.end > cursor) cursor = range.end;
  }
  gaps.sort((a, b) => (a.end - a.start < b.end - b.start ? 1 : -1));
  const candidates = new Set<bigint>();
  // The first quarter of every gap before the second of any.
  for (let quarter = 0n; quarter < 4n; quarter++) {
    for (const { start, end } of gaps) {
      const room = end - start - byteLength;
      const at = start + (room * quarter) / 3n;
      candidates.add(at - (at % ALIGNMENT));
    }
  }
  return [...candidates].slice(0, GAPS_MAX);
}
