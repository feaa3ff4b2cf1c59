/** Where a host may put itself, and the bytes of its plan. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { USER_SPACE_END } from '../../src/address.js';
import { findGaps, GAPS_MAX } from '../../src/restore/gaps.js';
import { encodeHostPlan, type HostPlan, hostBlockBytes } from '../../src/restore/host-plan.js';
import { readExpected } from '../support/restore-fixtures.js';

const PAGE = 4096n;
const MARGIN = 0x20_0000n;
const LOWEST_USED = 0x10_0000n;

/** Sorted, disjoint ranges of whole pages: many small ones close together, or a few large ones. */
const occupied = fc
  .array(
    fc.record({
      gapPages: fc.oneof(
        fc.bigInt(0n, 16n),
        fc.bigInt(1_000n, 4_000n),
        fc.bigInt(0n, 2n ** 35n / 4n),
      ),
      pages: fc.oneof(fc.bigInt(1n, 64n), fc.bigInt(1n, 2n ** 33n)),
    }),
    { maxLength: 40 },
  )
  .map((parts) => {
    const ranges: { start: bigint; end: bigint }[] = [];
    let at = 0x1_0000n;
    for (const { gapPages, pages } of parts) {
      const start = at + gapPages * PAGE;
      at = start + pages * PAGE;
      if (at <= USER_SPACE_END) ranges.push({ start, end: at });
    }
    return ranges;
  });
const blockBytes = fc.oneof(fc.bigInt(1n, 2_000n), fc.bigInt(1n, 2n ** 30n)).map((n) => n * PAGE);

/** The spaces between ranges, each less a margin on both sides. */
function spacesOf(ranges: readonly { start: bigint; end: bigint }[]): bigint[] {
  const ends = [LOWEST_USED, ...ranges.map(({ end }) => end)];
  const starts = [...ranges.map(({ start }) => start), USER_SPACE_END];
  return starts.map((start, i) => {
    const end = (ends[i] as bigint) > LOWEST_USED ? (ends[i] as bigint) : LOWEST_USED;
    return start - end - 2n * MARGIN;
  });
}

describe('findGaps', () => {
  it('names places that are free, with room on both sides', () => {
    fc.assert(
      fc.property(occupied, blockBytes, (ranges, byteLength) => {
        const gaps = findGaps(ranges, byteLength);
        expect(gaps.length).toBeLessThanOrEqual(GAPS_MAX);
        expect(new Set(gaps).size).toBe(gaps.length);
        for (const gap of gaps) {
          expect(gap % PAGE).toBe(0n);
          expect(gap).toBeGreaterThanOrEqual(LOWEST_USED + MARGIN);
          expect(gap + byteLength).toBeLessThanOrEqual(USER_SPACE_END - MARGIN);
          for (const { start, end } of ranges) {
            expect(gap >= end + MARGIN || gap + byteLength <= start - MARGIN).toBe(true);
          }
        }
      }),
    );
  });

  it('finds a place whenever there is one, and several where there is room', () => {
    fc.assert(
      fc.property(occupied, blockBytes, (ranges, byteLength) => {
        const rooms = spacesOf(ranges).map((space) => space - byteLength);
        const fitting = rooms.filter((room) => room >= 0n);
        const roomy = rooms.filter((room) => room >= 3n * PAGE);
        const gaps = findGaps(ranges, byteLength);
        expect(gaps.length).toBeGreaterThanOrEqual(Math.min(GAPS_MAX, fitting.length));
        expect(gaps.length).toBeGreaterThanOrEqual(Math.min(GAPS_MAX, 4 * roomy.length));
      }),
    );
  });

  it.each(['pattern', 'family', 'redis'])('finds many in the map of %s', (name) => {
    for (const { vmas } of readExpected(name).tasks) {
      expect(findGaps(vmas, 4n * 1024n * 1024n).length).toBeGreaterThanOrEqual(8);
    }
  });
});

const u64 = fc.bigInt(0n, 2n ** 64n - 1n);
const u32 = fc.nat(0xffff_ffff);
const plans: fc.Arbitrary<HostPlan> = fc.record({
  regions: fc.array(
    fc.record({
      start: u64,
      end: u64,
      prot: u32,
      mapFlags: u32,
      objectFd: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
      objectOffset: u64,
      advice: u64,
      lazy: fc.boolean(),
      eager: fc.boolean(),
    }),
  ),
  guards: fc.array(fc.record({ start: u64, end: u64 })),
  eagerRuns: fc.array(
    fc.record({ vaddr: u64, byteLength: fc.maxSafeNat(), offset: fc.maxSafeNat() }),
  ),
  userModeOnly: fc.boolean(),
});

/** Reads fields one behind the other, as native/host/host_plan.h declares them. */
class FieldReader {
  at = 0;
  readonly #bytes: Buffer;
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
  }
  u64(): bigint {
    this.at += 8;
    return this.#bytes.readBigUInt64LE(this.at - 8);
  }
  u32(): number {
    this.at += 4;
    return this.#bytes.readUInt32LE(this.at - 4);
  }
  i32(): number {
    this.at += 4;
    return this.#bytes.readInt32LE(this.at - 4);
  }
}

function decode(bytes: Uint8Array) {
  const from = new FieldReader(bytes);
  const list = <T>(count: number, read: () => T): T[] => Array.from({ length: count }, read);
  const head = { magic: from.u64(), byteLength: from.u64(), blockBytes: from.u64() };
  const parentPid = from.u32();
  const flags = from.u32();
  const [gaps = 0, regions = 0, guards = 0, eager = 0] = list(4, () => from.u32());
  const places = list(64, () => from.u64());
  const plan: HostPlan = {
    userModeOnly: flags === 1,
    regions: list(regions, () => {
      const [start = 0n, end = 0n, objectOffset = 0n, advice = 0n] = list(4, () => from.u64());
      const [prot = 0, mapFlags = 0] = list(2, () => from.u32());
      const objectFd = from.i32();
      const bits = from.u32();
      const lazy = (bits & 1) !== 0;
      const eagerBit = (bits & 2) !== 0;
      return { start, end, objectOffset, advice, prot, mapFlags, objectFd, lazy, eager: eagerBit };
    }),
    guards: list(guards, () => ({ start: from.u64(), end: from.u64() })),
    eagerRuns: list(eager, () => ({
      vaddr: from.u64(),
      byteLength: Number(from.u64()),
      offset: Number(from.u64()),
    })),
  };
  expect(from.at).toBe(bytes.length);
  return { head, parentPid, gaps: places.slice(0, gaps), rest: places.slice(gaps), plan };
}

describe('encodeHostPlan', () => {
  it('writes what a reader of the native declaration reads', () => {
    const gapLists = fc.array(u64, { maxLength: GAPS_MAX });
    fc.assert(
      fc.property(plans, u32, gapLists, (plan, parentPid, gaps) => {
        const bytes = encodeHostPlan(plan, parentPid, gaps);
        const decoded = decode(bytes);
        expect(decoded.plan).toEqual(plan);
        expect(decoded.gaps).toEqual(gaps);
        expect(decoded.rest.every((gap) => gap === 0n)).toBe(true);
        expect(decoded.parentPid).toBe(parentPid);
        expect(decoded.head).toEqual({
          magic: Buffer.from('THWHOST1').readBigUInt64LE(),
          byteLength: BigInt(bytes.length),
          blockBytes: BigInt(hostBlockBytes(plan)),
        });
        // The host maps the plan behind its fixed part.
        const room = hostBlockBytes(plan) - 4 * 1024 * 1024;
        expect(room % 4096).toBe(0);
        expect(room).toBeGreaterThanOrEqual(bytes.length);
      }),
    );
  });
});
