import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodePlainEntry } from '../../src/image/plain-entry.js';
import { decodeMessage, thaw } from '../../src/proto/messages.js';
import { encodeMessage, type WireField } from '../support/image-wire.js';

const PAGE = 4096n;

function codecEntry(bytes: Uint8Array) {
  const { vaddr, nr_pages, flags } = decodeMessage(thaw.PagemapEntry, bytes);
  const word = ({ low, high }: { low: number; high: number }): bigint =>
    (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  if (typeof vaddr === 'number' || typeof nr_pages === 'number') throw new Error('not a Long');
  return {
    firstPage: Number(word(vaddr) / PAGE),
    pageCount: Number(word(nr_pages)),
    flags,
  };
}

const number = fc.oneof(
  fc.bigInt(0n, 300n),
  fc.bigInt(0n, 2n ** 32n),
  fc.bigInt(0n, 2n ** 64n - 1n),
);
const page = fc.bigInt(0n, 2n ** 40n).map((pageNumber) => pageNumber * PAGE);
const address = fc.oneof({ weight: 5, arbitrary: page }, { weight: 1, arbitrary: number });
const usual = fc
  .tuple(address, number, fc.bigInt(0n, 20n), number)
  .map(([vaddr, compat, flags, count]): WireField[] => [
    [1, vaddr],
    [2, compat],
    [4, flags],
    [5, count],
  ]);
const odd = fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), number), { maxLength: 2 });
const unusual = fc
  .tuple(usual, odd)
  .chain(([fields, extra]) => fc.shuffledSubarray([...fields, ...extra], { minLength: 3 }));
const message = fc.oneof(usual, unusual).map(encodeMessage);

it('takes what is plain, as the codec does, and leaves the rest to it', () => {
  let taken = 0;
  fc.assert(
    fc.property(message, (bytes) => {
      const entry = decodePlainEntry(bytes);
      if (entry === undefined) return;
      taken++;
      expect(entry).toEqual(codecEntry(bytes));
    }),
    { numRuns: 3000 },
  );
  expect(taken).toBeGreaterThan(100);
});

it('leaves to the codec what is cut off', () => {
  const fields: WireField[] = [
    [1, 0x7fff_ffff_f000n],
    [2, 0],
    [4, 6],
    [5, 300],
  ];
  const bytes = encodeMessage(fields);
  expect(decodePlainEntry(bytes)).toEqual({ firstPage: 0x7_ffff_ffff, pageCount: 300, flags: 6 });
  for (let length = 0; length < bytes.length; length++) {
    expect(decodePlainEntry(bytes.subarray(0, length))).toBeUndefined();
  }
  expect(decodePlainEntry(encodeMessage([...fields, [5, 300]]))).toBeUndefined();
  expect(decodePlainEntry(encodeMessage([[1, 8], ...fields.slice(1)]))).toBeUndefined();
});
