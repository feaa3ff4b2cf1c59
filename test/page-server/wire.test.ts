import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type HeaderLayout, readHeader, writeHeader } from '../../src/page-server/wire.js';

const UINT32_MAX = 2 ** 32 - 1;
const uint64 = fc.bigInt(0n, 2n ** 64n - 1n);
const header = (pagesMax: number) =>
  fc.record({
    command: fc.nat(0xffff),
    flags: fc.nat(0xffff),
    pageCount: fc.nat(pagesMax),
    vaddr: uint64,
    id: uint64,
  });

test.each<[HeaderLayout, number]>([
  [24, UINT32_MAX],
  [32, Number.MAX_SAFE_INTEGER],
])('headers of %d bytes are read as they were written', (layout, pagesMax) => {
  fc.assert(
    fc.property(
      header(pagesMax),
      fc.uint8Array({ minLength: 32, maxLength: 40 }),
      (written, noise) => {
        const bytes = Buffer.from(noise);
        writeHeader(bytes, written, layout);
        expect(readHeader(bytes, layout)).toEqual(written);
        expect(bytes.subarray(layout)).toEqual(Buffer.from(noise.subarray(layout)));
      },
    ),
  );
});

test('any bytes are a header, and written again they are the same but for the padding', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (noise) => {
      const bytes = Buffer.from(noise);
      const again = Buffer.alloc(24);
      writeHeader(again, readHeader(bytes, 24), 24);
      expect(again).toEqual(bytes.subarray(0, 24));
      const wide = readHeader(bytes, 32);
      const count = bytes.readBigUInt64LE(8);
      expect(wide.pageCount).toBe(Math.min(Number(count), Number.MAX_SAFE_INTEGER));
    }),
  );
});

/** Bytes as the two structs lie in memory, which a compiler laid out. */
test('fields stand where CRIU has them', () => {
  const get = { command: 7, flags: 0, pageCount: 0x11, vaddr: 0x7f00_1234_5000n, id: 0x7a19n };
  const narrow = Buffer.alloc(24);
  writeHeader(narrow, get, 24);
  expect(narrow.toString('hex')).toBe(
    '0700000011000000' + '0050341200' + '7f0000' + '197a000000000000',
  );
  const wide = Buffer.alloc(32, 0xff);
  writeHeader(wide, get, 32);
  expect(wide.toString('hex')).toBe(
    '0700000000000000' + '1100000000000000' + '00503412007f0000' + '197a000000000000',
  );
  const reply = Buffer.alloc(24);
  writeHeader(reply, { ...get, command: 6, flags: 4 }, 24);
  expect(reply.readUInt32LE(0)).toBe(0x0004_0006);
});
