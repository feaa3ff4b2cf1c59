import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PageOrigins } from '../../src/uffd/page-origins.js';

const SPACE = 24;
const at = fc.integer({ min: 0, max: SPACE - 1 });
const length = fc.integer({ min: 1, max: 8 });
const step = fc.oneof(
  fc.record({ kind: fc.constant('discard' as const), start: at, length, to: fc.constant(0) }),
  fc.record({ kind: fc.constant('reset' as const), start: at, length, to: fc.constant(0) }),
  fc.record({ kind: fc.constant('move' as const), start: at, length, to: at }),
);

/** One entry an address, the simplest thing that can be right. */
function applyToModel(model: (bigint | null)[], { kind, start, length, to }: Step): void {
  const range = Array.from({ length }, (_, index) => start + index);
  const content = range.map((address) => model[address] as bigint | null);
  for (const address of range) model[address] = kind === 'reset' ? BigInt(address) : null;
  if (kind !== 'move') return;
  content.forEach((origin, index) => {
    model[to + index] = origin;
  });
}

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

describe('PageOrigins', () => {
  it('agrees with one entry an address, in as few segments as can be', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const origins = new PageOrigins();
        const model = Array.from({ length: 2 * SPACE }, (_, address): bigint | null =>
          BigInt(address),
        );
        for (const change of steps) {
          const { kind, start, length, to } = change;
          const [from, end] = [BigInt(start), BigInt(start + length)];
          if (kind === 'move') origins.move(from, BigInt(to), end - from);
          else origins[kind](from, end);
          applyToModel(model, change);
          expect(model.map((_, address) => origins.originOf(BigInt(address)))).toEqual(model);
        }
        const changes = model.filter((origin, address) => {
          const before = model[address - 1];
          const own = origin === BigInt(address);
          const ownBefore = address === 0 || before === BigInt(address - 1);
          if (own) return false;
          if (ownBefore) return true;
          return origin === null ? before !== null : before !== origin - 1n;
        });
        expect(origins.size).toBe(changes.length);
      }),
    );
  });

  it('is copied for a child', () => {
    const parent = new PageOrigins();
    parent.discard(1n, 3n);
    const child = parent.clone();
    child.reset(0n, 10n);
    expect([parent.originOf(2n), child.originOf(2n)]).toEqual([null, 2n]);
  });
});
