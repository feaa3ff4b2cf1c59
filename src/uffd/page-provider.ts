/**
 * What a page server is given, and what it counts.
 */

/** The content of the pages asked for: their bytes, all of them zero, or all of them lost. */
export type PageAnswer = Uint8Array | 'zero' | 'poison';

/**
 * Brings pages from anywhere: `pageCount` pages from `vaddr` on.
 *
 * `vaddr` is where the content was when serving began, also after the target moved it. Bytes must be
 * exactly `pageCount` pages long and stay unchanged until they are installed, which an unread event can
 * delay: give each answer an array of its own. A rejection, or an answer that is nothing of the kind,
 * poisons the pages: who touches them gets SIGBUS.
 */
export type PageProvider = (vaddr: bigint, pageCount: number) => Promise<PageAnswer> | PageAnswer;

/** Options of {@link servePages}. */
export interface ServeOptions {
  /**
   * Calls of the provider under way at once, for the target and its children together.
   * @default 8
   */
  readonly concurrency?: number;
  /**
   * Most pages asked for at once. Pages that wait together and follow one another make one call; no
   * page is asked for that nobody waits for.
   * @default 16
   */
  readonly runPagesMax?: number;
  /**
   * Hears why pages were poisoned: what the provider rejected with, or INVALID_ARGUMENT for an
   * answer that cannot be the pages, and the run. What it throws ends the server: `finished` rejects
   * with it.
   */
  readonly onProviderError?: (error: unknown, vaddr: bigint, pageCount: number) => void;
}

/** Counts of a {@link PageServer} since its start. */
export interface ServeFigures {
  /** Page fault events read. */
  faults: number;
  /** Calls of the provider. */
  calls: number;
  copiedPages: number;
  zeroPages: number;
  poisonedPages: number;
  /** Pages that somebody else had brought first (EEXIST). */
  alreadyPresent: number;
  /** Times that an installation had to wait for an event to be read (EAGAIN). */
  deferrals: number;
  /** Children that were forked. */
  forks: number;
}
