/** Cuts what a client sends into headers, and finds out which layout they have. */
import { detectLayout } from './detect-layout.js';
import type { ServedPages } from './served-pages.js';
import { unknownRequest } from './session-errors.js';
import { COMMAND, type Header, type HeaderLayout, readHeader } from './wire.js';

/** As many bytes of a header of either layout have its command. */
const SHORTEST: HeaderLayout = 24;
const NO_BYTES = Buffer.alloc(0);

/** Headers of one client. */
export class HeaderReader {
  #rest: Buffer = NO_BYTES;
  #layout: HeaderLayout | undefined;

  /** @param layout undefined: the first request tells. */
  constructor(
    private readonly pages: ServedPages,
    layout: HeaderLayout | undefined,
  ) {
    this.#layout = layout;
  }

  /** The layout, once it is known. */
  get layout(): HeaderLayout | undefined {
    return this.#layout;
  }

  /** What has been taken in and not handed out. */
  get rest(): Buffer {
    return this.#rest;
  }

  /** Takes in what arrived. */
  push(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
  }

  /**
   * The next whole header, or undefined. What is no request, and comes before any, is read as a header
   * of 24 bytes, of which the command is right in any case.
   *
   * @throws ThawError PEER_REFUSED when the first request asks for nothing that there is
   */
  next(): Header | undefined {
    if (this.#rest.length < SHORTEST) return undefined;
    if (this.#layout === undefined) this.#findLayout();
    const layout = this.#layout ?? SHORTEST;
    if (this.#rest.length < layout) return undefined;
    const header = readHeader(this.#rest, layout);
    this.#rest = this.#rest.subarray(layout);
    return header;
  }

  #findLayout(): void {
    if (readHeader(this.#rest, SHORTEST).command !== COMMAND.get) return;
    this.#layout = detectLayout(this.#rest, this.pages);
    if (this.#layout === undefined) throw unknownRequest(this.#rest, this.pages);
  }
}
