/** Decodes one record of an image file. */
import protobuf from 'protobufjs/minimal.js';
import { thaw } from './generated/images.js';

export { thaw };

/** A message class of the generated codec. */
interface MessageType<T> {
  decode(reader: protobuf.Reader): T;
}

/**
 * The message in `bytes`. Fields that the message does not name are kept in `$unknowns`.
 *
 * @throws the codec's own error: callers turn it into one that says where the record is.
 */
export function decodeMessage<T>(type: MessageType<T>, bytes: Uint8Array): T {
  const reader = protobuf.Reader.create(bytes);
  reader.discardUnknown = false;
  return type.decode(reader);
}

/** Whether `message` was stored with `field` (a default value would read the same otherwise). */
export function hasField<T extends object>(message: T, field: keyof T): boolean {
  return Object.hasOwn(message, field);
}

/** Field number and wire type of a field that the codec kept as unknown. */
export function fieldTag(unknown: Uint8Array): { fieldNumber: number; wireType: number } {
  const tag = protobuf.Reader.create(unknown).uint32();
  return { fieldNumber: tag >>> 3, wireType: tag & 7 };
}
