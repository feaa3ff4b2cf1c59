/** The pages images that the pager has open, each for as long as anybody needs it. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { ThawError } from '../errors.js';
import type { PagesSource } from '../plan/restore-plan.js';
import type { PagerProcess } from './pager-process.js';
import { REQUEST } from './pager-protocol.js';

/** A pages image that the pager has, or will have in a moment. */
interface OpenSource {
  readonly key: string;
  /** The pager's number for it. */
  readonly id: Promise<number>;
  holders: number;
}

/** Pages images that the pager keeps open for targets to come. */
export interface PreparedSources {
  /**
   * Ends the need for them: the pager closes each that nobody else prepared, once all targets that
   * take pages from it are dropped. Harmless when repeated, and when the pager has ended.
   */
  release(): Promise<void>;
}

/** The same, for a target that names them. */
interface HeldSources extends PreparedSources {
  /** The pager's numbers for them. */
  readonly ids: ReadonlyMap<PagesSource, number>;
}

/** Belongs to the thread of its pager, which sees to it that numbers are unique. */
export class LocalSources {
  readonly #process: PagerProcess;
  readonly #takeId: () => number;
  readonly #open = new Map<string, OpenSource>();

  constructor(process: PagerProcess, takeId: () => number) {
    this.#process = process;
    this.#takeId = takeId;
  }

  /**
   * Hands over those pages images that the pager does not have: all of them, or none that it did not
   * have before. A file that has changed since is another one.
   *
   * @param flags of the request for each that is new
   * @throws ThawError PAGES_MISSING, PAGER_REFUSED, PAGER_LOST.
   */
  async hold(sources: readonly PagesSource[], flags = 0): Promise<HeldSources> {
    const held: OpenSource[] = [];
    const release = async (): Promise<void> => {
      await Promise.all(held.splice(0).map((source) => this.#letGo(source)));
    };
    try {
      for (const source of sources) held.push(this.#take(source, flags));
      const ids = await Promise.all(held.map(({ id }) => id));
      return { ids: new Map(sources.map((source, i) => [source, ids[i] as number])), release };
    } catch (error) {
      await release();
      throw error;
    }
  }

  #take({ path }: PagesSource, flags: number): OpenSource {
    const fd = openPages(path);
    const { dev, ino, size, mtimeMs } = fstatSync(fd);
    const key = `${dev}:${ino}:${size}:${mtimeMs}`;
    let source = this.#open.get(key);
    if (source === undefined) {
      source = { key, id: this.#announce(fd, flags), holders: 0 };
      this.#open.set(key, source);
    } else {
      closeSync(fd);
    }
    source.holders++;
    return source;
  }

  async #announce(fd: number, flags: number): Promise<number> {
    const id = this.#takeId();
    try {
      await this.#process.request({ op: REQUEST.addSource, target: id, flags }, [fd]);
      return id;
    } finally {
      closeSync(fd);
    }
  }

  async #letGo(source: OpenSource): Promise<void> {
    if (--source.holders > 0) return;
    this.#open.delete(source.key);
    const id = await source.id.catch(() => undefined);
    if (id === undefined) return; // the pager never had it
    await this.#process.requestUnlessLost({ op: REQUEST.dropSource, target: id });
  }
}

function openPages(path: string): number {
  try {
    // Without O_NONBLOCK a fifo would hold this thread up until somebody writes to it.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (cause) {
    throw new ThawError('PAGES_MISSING', {
      what: 'a pages image cannot be opened',
      where: path,
      cause,
    });
  }
}
