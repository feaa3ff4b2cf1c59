import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlagSet, type FlagTable } from '../../src/uffd/flag-set.js';
import * as flags from '../../src/uffd/flags.js';

const ABI = readFileSync(new URL('../../native/core/uffd_abi.h', import.meta.url), 'utf8');

/** `kFeatureEventFork = 1ULL << 1` becomes `EVENT_FORK` → 2n for the prefix `Feature`. */
function abiTable(prefix: string): Record<string, bigint> {
  const pattern = new RegExp(`uint64_t k${prefix}(\\w+) = 1ULL << (\\w+);`, 'g');
  return Object.fromEntries(
    [...ABI.matchAll(pattern)].map(([, name = '', shift = '']) => [
      name.toUpperCase(),
      1n << BigInt(shift),
    ]),
  );
}

function withoutUnderscores(table: FlagTable): Record<string, bigint> {
  return Object.fromEntries(
    Object.entries(table).map(([name, bit]) => [name.replaceAll('_', ''), bit]),
  );
}

describe('constants', () => {
  it.each([
    ['Feature', flags.UffdFeature],
    ['Ioctl', flags.UffdIoctl],
    ['Register', flags.RegisterMode],
    ['Copy', flags.CopyMode],
    ['Zeropage', flags.ZeropageMode],
    ['WriteProtect', flags.WriteProtectMode],
    ['Continue', flags.ContinueMode],
    ['Poison', flags.PoisonMode],
    ['Move', flags.MoveMode],
    ['Pagefault', flags.PagefaultFlag],
  ])(
    '%s is what native/core/uffd_abi.h says, which is compared with the kernel',
    (prefix, table) => {
      expect(withoutUnderscores(table)).toEqual(abiTable(prefix));
    },
  );
});

describe('FlagSet', () => {
  it('keeps and prints bits that have no name', () => {
    const set = new FlagSet(flags.RegisterMode, 0b101n | (1n << 40n));
    expect(`${set}`).toBe('MISSING | MINOR | 0x10000000000');
    expect(set.names).toEqual(['MISSING', 'MINOR']);
    expect(set.unknownBits).toBe(1n << 40n);
    expect(`${new FlagSet(flags.RegisterMode, 0n)}`).toBe('none');
  });

  it('loses no bit and invents none', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, (1n << 64n) - 1n), fc.bigInt(0n, (1n << 64n) - 1n), (a, b) => {
        const set = new FlagSet(flags.UffdFeature, a);
        const table: FlagTable = flags.UffdFeature;
        const named = set.names.reduce((bits, name) => bits | (table[name] ?? 0n), 0n);
        expect(named | set.unknownBits).toBe(a);
        expect(named & set.unknownBits).toBe(0n);
        expect(set.has(b)).toBe((a | b) === a);
        expect(set.missing(b).bits | (a & b)).toBe(b);
      }),
    );
  });
});
