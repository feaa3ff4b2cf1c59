import fc from 'fast-check';
import { expect, it } from 'vitest';
import { thaw } from '../../src/proto/messages.js';
import {
  fromBigint,
  offsetInPage,
  toBigint,
  toNumber,
  wordsToPageNumber,
} from '../../src/proto/uint64.js';

const arbitraryUint64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n),
);

it('survives the codec', () => {
  fc.assert(
    fc.property(arbitraryUint64, (value) => {
      const field = fromBigint(value);
      const bytes = thaw.PagemapEntry.encode({ vaddr: field, compat_nr_pages: 0 }).finish();
      const { vaddr } = thaw.PagemapEntry.decode(bytes);
      expect(toBigint(vaddr)).toBe(value);
      expect(toNumber(vaddr)).toBe(Number(value));
      expect(BigInt(wordsToPageNumber(vaddr))).toBe(value >> 12n);
      expect(BigInt(offsetInPage(vaddr))).toBe(value & 0xfffn);
    }),
  );
});
