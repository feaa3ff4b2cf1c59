/** The pages images of a plan, each once. */
import type { PagesImage } from '../image/pages-image.js';
import type { PagesSource } from './restore-plan.js';

/** Numbers pages images in the order in which they are first named. */
export class SourceTable {
  /** The sources so far. */
  readonly list: PagesSource[] = [];
  #remoteIndex: number | undefined;
  readonly #indexByPath = new Map<string, number>();

  /** The index of the page server. */
  indexOfRemote(): number {
    this.#remoteIndex ??= this.list.push({ path: 'page server', byteLength: 0, remote: true }) - 1;
    return this.#remoteIndex;
  }

  /** The index of `pages` in {@link list}, which it is added to if it is new. */
  indexOf(pages: PagesImage): number {
    let index = this.#indexByPath.get(pages.path);
    if (index === undefined) {
      index = this.list.push({ path: pages.path, byteLength: pages.byteLength }) - 1;
      this.#indexByPath.set(pages.path, index);
    }
    return index;
  }
}
