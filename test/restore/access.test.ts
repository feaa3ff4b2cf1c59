/** Access patterns: how they are written, and which pages they mean. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LiveTask } from '../../src/image/task.js';
import type { Vma } from '../../src/image/vma.js';
import { EXTENT_KIND, type TaskPlan } from '../../src/plan/restore-plan.js';
import { type Access, checkAccess, pagesToTouch, parseAccess } from '../../src/restore/access.js';

const PAGE = 4096n;

describe('parseAccess', () => {
  it('reads the names', () => {
    for (const kind of ['none', 'sequential', 'random']) {
      expect(parseAccess(kind)).toEqual({ kind });
    }
  });

  it('reads percentages from 0 to 100, fractions too', () => {
    fc.assert(
      fc.property(fc.nat(100_000), (thousandths) => {
        const percent = thousandths / 1000;
        expect(parseAccess(`${percent}%`)).toEqual({ kind: 'percent', percent });
      }),
    );
    expect(parseAccess('007%')).toEqual({ kind: 'percent', percent: 7 });
  });

  it.each(['', '%', '10', '100.1%', '101%', '1e1%', '-1%', '+1%', '.5%', '5.%', '1 %', '1%\n'])(
    'refuses %j',
    (text) => {
      const refusal = expect.objectContaining({ code: 'INVALID_ARGUMENT', found: text });
      expect(() => parseAccess(text)).toThrow(refusal);
    },
  );

  it('refuses whatever else', () => {
    const known = /^(none|sequential|random|\d{1,3}(\.\d+)?%)$/;
    fc.assert(
      fc.property(
        fc.string().filter((text) => !known.test(text)),
        (text) => {
          expect(() => parseAccess(text)).toThrow(/none, sequential, random/);
        },
      ),
    );
  });
});

describe('checkAccess', () => {
  it('takes what parseAccess reads', () => {
    for (const text of ['none', 'sequential', 'random', '0%', '12.5%', '100%']) {
      checkAccess(parseAccess(text));
    }
  });

  it.each([
    { kind: 'percent', percent: -1 },
    { kind: 'percent', percent: 100.5 },
    { kind: 'percent', percent: Number.NaN },
    { kind: 'percent', percent: '10' },
    { kind: 'percent' },
    { kind: 'backwards' },
    {},
  ])('refuses %j', (access) => {
    expect(() => checkAccess(access as unknown as Access)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

interface Area {
  readonly gap: number;
  readonly prot: number;
  readonly canBeLazy: boolean;
  readonly extents: readonly { readonly gap: number; readonly pages: number; kind: number }[];
}

const areas: fc.Arbitrary<Area[]> = fc.array(
  fc.record({
    gap: fc.nat(3),
    prot: fc.nat(7),
    canBeLazy: fc.boolean(),
    extents: fc.array(
      fc.record({
        gap: fc.nat(2),
        pages: fc.integer({ min: 1, max: 9 }),
        kind: fc.constantFrom(...Object.values(EXTENT_KIND)),
      }),
      { maxLength: 5 },
    ),
  }),
  { maxLength: 8 },
);

/** A task and its plan, as far as the choice of pages looks at them, and what it may touch. */
function build(list: readonly Area[]): { task: LiveTask; plan: TaskPlan; touchable: bigint[] } {
  const vmas: Partial<Vma>[] = [];
  const extents: { vaddr: bigint; pages: number; kind: number }[] = [];
  const touchable: bigint[] = [];
  let at = 0x7000_0000_0000n;
  for (const area of list) {
    at += BigInt(area.gap) * PAGE;
    const start = at;
    for (const { gap, pages, kind } of area.extents) {
      at += BigInt(gap) * PAGE;
      extents.push({ vaddr: at, pages, kind });
      for (let page = 0; page < pages; page++, at += PAGE) {
        const readable = (area.prot & 3) !== 0;
        if (area.canBeLazy && readable && kind === EXTENT_KIND.data) touchable.push(at);
      }
    }
    at += PAGE;
    vmas.push({ start, end: at, prot: area.prot, canBeLazy: area.canBeLazy });
  }
  const columns = {
    vaddr: BigUint64Array.from(extents, ({ vaddr }) => vaddr),
    pageCount: Uint32Array.from(extents, ({ pages }) => pages),
    kind: Uint8Array.from(extents, ({ kind }) => kind),
  };
  return {
    task: { vmas } as unknown as LiveTask,
    plan: { extents: columns } as unknown as TaskPlan,
    touchable,
  };
}

function choose(list: readonly Area[], access: Access, seed: number): bigint[] {
  const { task, plan } = build(list);
  return [...pagesToTouch(task, plan, access, seed)];
}

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

describe('pagesToTouch', () => {
  it('is none of them, or all by address', () => {
    fc.assert(
      fc.property(areas, (list) => {
        expect(choose(list, { kind: 'none' }, 1)).toEqual([]);
        expect(choose(list, { kind: 'sequential' }, 1)).toEqual(build(list).touchable);
      }),
    );
  });

  it('is all of them in another order, the same for the same seed', () => {
    fc.assert(
      fc.property(areas, fc.nat(0xffff_ffff), (list, seed) => {
        const pages = choose(list, { kind: 'random' }, seed);
        expect(pages.toSorted(ascending)).toEqual(build(list).touchable);
        expect(choose(list, { kind: 'random' }, seed)).toEqual(pages);
      }),
    );
  });

  it('is the share that was asked for, each page once', () => {
    const percents = fc.double({ min: 0, max: 100, noNaN: true });
    fc.assert(
      fc.property(areas, percents, fc.nat(0xffff_ffff), (list, percent, seed) => {
        const { touchable } = build(list);
        const pages = choose(list, { kind: 'percent', percent }, seed);
        expect(pages).toHaveLength(Math.round((touchable.length * percent) / 100));
        expect(new Set(pages).size).toBe(pages.length);
        const allowed = new Set(touchable);
        expect(pages.every((page) => allowed.has(page))).toBe(true);
        expect(choose(list, { kind: 'percent', percent }, seed)).toEqual(pages);
      }),
    );
  });

  it('spreads over the whole, and differently for another seed', () => {
    const large: Area[] = [
      { gap: 0, prot: 3, canBeLazy: true, extents: [{ gap: 0, pages: 4000, kind: 0 }] },
    ];
    const first = choose(large, { kind: 'percent', percent: 10 }, 1);
    const second = choose(large, { kind: 'percent', percent: 10 }, 2);
    const common = first.filter((page) => second.includes(page)).length;
    // 40 of 400 by chance; five deviations (6) either way.
    expect(common).toBeGreaterThan(10);
    expect(common).toBeLessThan(70);
    const start = 0x7000_0000_0000n;
    const lower = first.filter((page) => page < start + 2000n * PAGE).length;
    expect(lower).toBeGreaterThan(150);
    expect(lower).toBeLessThan(250);
    expect(first).not.toEqual(first.toSorted(ascending));
  });
});
