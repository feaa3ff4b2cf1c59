/**
 * Where the content of a served address space comes from, while the target moves and discards memory.
 */

/** Addresses from `start` to `end` (exclusive). `origin`: of `start`'s content; null: zeros. */
interface Segment {
  readonly start: bigint;
  readonly end: bigint;
  readonly origin: bigint | null;
}

/**
 * A map from the target's addresses to the addresses that its content had when serving began.
 *
 * At first every address is its own origin. mremap(2) carries origins along; discarded pages have none
 * any more: they are zeros for ever. Kept as sorted, disjoint segments, only where an address is not
 * its own origin; neighbours that continue one another are one segment.
 */
export class PageOrigins {
  #segments: Segment[] = [];

  /** A copy, for a forked child. */
  clone(): PageOrigins {
    const copy = new PageOrigins();
    copy.#segments = [...this.#segments];
    return copy;
  }

  /** The address that the content of `vaddr` had at first, or null when it is zeros. */
  originOf(vaddr: bigint): bigint | null {
    const segment = this.#segments[this.#firstEndingAfter(vaddr)];
    if (segment === undefined || segment.start > vaddr) return vaddr;
    return segment.origin === null ? null : segment.origin + (vaddr - segment.start);
  }

  /** The content from `start` to `end` is gone. */
  discard(start: bigint, end: bigint): void {
    this.#replace(start, end, [{ start, end, origin: null }]);
  }

  /** The range is no longer mapped: what is mapped there later begins anew. */
  reset(start: bigint, end: bigint): void {
    this.#replace(start, end, []);
  }

  /** The content of `byteLength` bytes went from `from` to `to`; what stays behind is zeros. */
  move(from: bigint, to: bigint, byteLength: bigint): void {
    const end = from + byteLength;
    const moved: Segment[] = [];
    let at = from;
    while (at < end) {
      const segment = this.#segments[this.#firstEndingAfter(at)];
      let next = end;
      if (segment !== undefined) {
        const border = segment.start <= at ? segment.end : segment.start;
        if (border < next) next = border;
      }
      moved.push({ start: to + (at - from), end: to + (next - from), origin: this.originOf(at) });
      at = next;
    }
    this.discard(from, end);
    this.#replace(to, to + byteLength, moved);
  }

  /** Number of segments kept: what a long life costs. */
  get size(): number {
    return this.#segments.length;
  }

  /** Index of the first segment whose end is above `vaddr`. */
  #firstEndingAfter(vaddr: bigint): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#segments[middle] as Segment).end > vaddr) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Puts `segments`, sorted and inside the range, in place of what the range holds. */
  #replace(start: bigint, end: bigint, segments: readonly Segment[]): void {
    const first = this.#firstEndingAfter(start);
    let last = first;
    while (((this.#segments[last] as Segment | undefined)?.start ?? end) < end) last += 1;
    const cut = this.#segments.slice(first, last);
    const before = cut.flatMap((segment) =>
      segment.start < start ? [{ ...segment, end: start }] : [],
    );
    const after = cut.flatMap((segment) => (segment.end > end ? [from(segment, end)] : []));
    // One neighbour on each side takes part in the joining.
    const low = Math.max(0, first - 1);
    const around = [...this.#segments.slice(low, first), ...before, ...segments, ...after];
    around.push(...this.#segments.slice(last, last + 1));
    this.#segments.splice(low, last + 1 - low, ...join(around));
  }
}

/** The part of `segment` from `start` on. */
function from(segment: Segment, start: bigint): Segment {
  const { end, origin } = segment;
  return { start, end, origin: origin === null ? null : origin + (start - segment.start) };
}

/** Drops what is its own origin and makes one segment of those that continue one another. */
function join(segments: readonly Segment[]): Segment[] {
  const joined: Segment[] = [];
  for (const segment of segments) {
    if (segment.origin === segment.start || segment.start === segment.end) continue;
    const previous = joined.at(-1);
    if (
      previous?.end === segment.start &&
      from(previous, segment.start).origin === segment.origin
    ) {
      joined[joined.length - 1] = { ...previous, end: segment.end };
    } else {
      joined.push(segment);
    }
  }
  return joined;
}
