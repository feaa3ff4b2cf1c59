/**
 * Readers for the requests of one client, which go on in several places at once: behind each place
 * that is read in order stays one reader with what it has read and decoded last.
 */
import { PAGE_SIZE } from '../address.js';
import { PageReader } from '../image/page-reader.js';
import type { FoundPages } from './served-pages.js';

/** Places that are remembered. Each costs at most a window (1 MiB) a layer and a decoded block (4 MiB). */
const READERS_MAX = 4;

interface Place {
  readonly pagemap: FoundPages['pagemap'];
  readonly reader: PageReader;
  /** The page behind the last that was read. */
  nextPage: number;
}

/** Readers of one client. One read at a time. */
export class PageReaders {
  /** The one used last is the last. */
  readonly #places: Place[] = [];

  /**
   * Fills `target` (all zero) with the pages found.
   *
   * @throws ThawError LZ4_CORRUPT, PAGES_TRUNCATED, IO_FAILED.
   */
  async read({ pagemap, firstPage }: FoundPages, target: Uint8Array): Promise<void> {
    const place = this.#take(pagemap, firstPage);
    this.#places.push(place);
    place.nextPage = firstPage + target.length / PAGE_SIZE;
    await place.reader.read(firstPage, target);
  }

  /** The place that goes on at `firstPage`, or else a new one, for which the oldest may have to go. */
  #take(pagemap: FoundPages['pagemap'], firstPage: number): Place {
    const at = this.#places.findIndex(
      (place) => place.pagemap === pagemap && place.nextPage === firstPage,
    );
    if (at >= 0) return this.#places.splice(at, 1)[0] as Place;
    if (this.#places.length === READERS_MAX) this.#places.shift();
    return { pagemap, reader: new PageReader(pagemap), nextPage: firstPage };
  }
}
