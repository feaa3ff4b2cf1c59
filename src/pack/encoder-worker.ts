/** A worker thread of {@link EncoderPool}: encodes what it is sent, in order. */
import { parentPort } from 'node:worker_threads';
import { encodeBlocks } from './block-encoder.js';

/** Pages to encode. The memory moves to the worker. */
export interface EncodeRequest {
  readonly pages: Uint8Array<ArrayBuffer>;
  readonly blockPages: number;
  readonly checksummed: boolean;
}

parentPort?.on('message', ({ pages, blockPages, checksummed }: EncodeRequest) => {
  const encoded = encodeBlocks(pages, blockPages, checksummed);
  parentPort?.postMessage(encoded, [encoded.sizes.buffer, encoded.payload.buffer]);
});
