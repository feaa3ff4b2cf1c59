import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { UffdHandle } from '../../src/native.js';
import { decodeMessages, MESSAGE_BYTES } from '../../src/uffd/uffd-event.js';

const u64 = fc.bigInt(0n, (1n << 64n) - 1n);
const message = fc.tuple(fc.integer({ min: 0, max: 255 }), u64, u64, u64);
type Message = [number, bigint, bigint, bigint];

function encode(messages: readonly Message[]): Uint8Array {
  const bytes = new Uint8Array(messages.length * MESSAGE_BYTES);
  const view = new DataView(bytes.buffer);
  messages.forEach(([event, ...words], index) => {
    view.setUint8(index * MESSAGE_BYTES, event);
    words.forEach((word, at) => {
      view.setBigUint64(index * MESSAGE_BYTES + 8 + at * 8, word, true);
    });
  });
  return bytes;
}

const handles = (count: number) => Array.from({ length: count }, () => ({}) as UffdHandle);

describe('decodeMessages', () => {
  it('gives one event a message, carries unknown ones as numbers, and each child once', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 20 }), (messages) => {
        const children = handles(messages.filter(([event]) => event === 0x13).length);
        const events = decodeMessages({ messages: encode(messages), children }, (child) => child);
        expect(events).toHaveLength(messages.length);
        expect(events.flatMap((event) => (event.type === 'fork' ? [event.child] : []))).toEqual(
          children,
        );
        events.forEach((event, index) => {
          const [number, ...words] = messages[index] as Message;
          if (number < 0x12 || number > 0x16) {
            expect(event).toEqual({ type: 'unknown', event: number, words });
          }
          if (event.type === 'remap') expect([event.from, event.to]).toEqual(words.slice(0, 2));
          if (event.type === 'remove' || event.type === 'unmap') {
            expect([event.start, event.end]).toEqual(words.slice(0, 2));
          }
          if (event.type === 'pagefault') {
            expect([event.flags.bits, event.vaddr]).toEqual(words.slice(0, 2));
            expect(event.threadId ?? 0).toBe(Number(words[2] & 0xffff_ffffn));
          }
        });
      }),
    );
  });

  it('takes a fork without a descriptor for unknown', () => {
    const raw = { messages: encode([[0x13, 1n, 2n, 3n]]), children: [] };
    expect(decodeMessages(raw, (child) => child)).toEqual([
      { type: 'unknown', event: 0x13, words: [1n, 2n, 3n] },
    ]);
  });
});
