/** A protobuf encoder and decoder of a few lines, so that tests do not trust the generated codec. */

/** One field of a message: `bigint` and `number` are varints, bytes are length-delimited. */
export type WireField = readonly [fieldNumber: number, value: bigint | number | Uint8Array];

/** One field as it was found in a message. */
export interface WireValue {
  readonly fieldNumber: number;
  readonly wireType: number;
  readonly varint: bigint;
  readonly bytes: Uint8Array;
}

function encodeVarint(value: bigint | number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

export function encodeMessage(fields: readonly WireField[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [fieldNumber, value] of fields) {
    if (typeof value === 'object') {
      const key = [...encodeVarint((fieldNumber << 3) | 2), ...encodeVarint(value.length)];
      parts.push(Uint8Array.from(key), value);
    } else {
      const bytes = [...encodeVarint(fieldNumber << 3), ...encodeVarint(value)];
      parts.push(Uint8Array.from(bytes));
    }
  }
  return Buffer.concat(parts);
}

/** Numbers as a packed repeated field holds them. */
export function encodePacked(values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => encodeVarint(value)));
}

export function encodeText(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}

/** A record file: its magics, then each message behind its length. */
export function encodeRecordFile(
  magics: readonly number[],
  messages: readonly Uint8Array[],
): Uint8Array {
  const parts = magics.map(encodeUint32);
  for (const message of messages) parts.push(encodeUint32(message.length), message);
  return Buffer.concat(parts);
}

function encodeUint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** Decodes a varint at `offset`; throws at the end of the bytes and after 10 of them. */
function decodeVarint(bytes: Uint8Array, offset: number): { value: bigint; end: number } {
  let value = 0n;
  for (let index = 0; index < 10; index++) {
    const byte = bytes[offset + index];
    if (byte === undefined) throw new Error('varint is cut off');
    value |= BigInt(byte & 0x7f) << BigInt(7 * index);
    if (byte < 0x80) return { value: BigInt.asUintN(64, value), end: offset + index + 1 };
  }
  throw new Error('varint is too long');
}

/** The fields of a message in their order. Throws if it is not a message. */
export function decodeFields(bytes: Uint8Array): WireValue[] {
  const fields: WireValue[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const key = decodeVarint(bytes, offset);
    const fieldNumber = Number(key.value >> 3n);
    const wireType = Number(key.value & 7n);
    let end = key.end;
    let varint = 0n;
    let content = new Uint8Array(0);
    if (wireType === 0) {
      ({ value: varint, end } = decodeVarint(bytes, end));
    } else {
      let byteLength = { 1: 8, 5: 4 }[wireType];
      if (wireType === 2) {
        const length = decodeVarint(bytes, end);
        byteLength = Number(length.value);
        end = length.end;
      }
      if (byteLength === undefined || end + byteLength > bytes.length) throw new Error('bad field');
      content = bytes.slice(end, end + byteLength);
      end += byteLength;
    }
    fields.push({ fieldNumber, wireType, varint, bytes: content });
    offset = end;
  }
  return fields;
}

/** The varints of a packed field. */
export function decodePacked(bytes: Uint8Array): bigint[] {
  const values: bigint[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const { value, end } = decodeVarint(bytes, offset);
    values.push(value);
    offset = end;
  }
  return values;
}

/** The messages of a record file behind `magicCount` magics. Throws if one is cut off. */
export function decodeRecordFile(file: Uint8Array, magicCount: number): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const messages: Uint8Array[] = [];
  for (let offset = magicCount * 4; offset < file.length; ) {
    const length = view.getUint32(offset, true);
    if (offset + 4 + length > file.length) throw new Error('record is cut off');
    messages.push(file.subarray(offset + 4, offset + 4 + length));
    offset += 4 + length;
  }
  return messages;
}
