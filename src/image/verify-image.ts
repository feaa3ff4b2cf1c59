/** Reads all of an image and lists everything that is wrong with it. */
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import { PROBLEMS_MAX } from '../limits.js';
import { type ImageMetadata, loadImage } from './image-loader.js';
import type { LayeredPagemap, PageSpan } from './layered-pagemap.js';
import { PageReader, WINDOW_BYTES } from './page-reader.js';
import { attempt, type Report } from './report.js';
import { resolveDirectory } from './resolve-directory.js';
import { isZero } from './zero-page.js';

/** Pages that are read at once (1 MiB). */
const BATCH_PAGES = 256;

/** How far verification has come. */
export interface VerifyProgress {
  /** Stored pages that were read. */
  readonly pagesDone: number;
  /** Stored pages that there are, as far as the metadata can be believed. */
  readonly pagesTotal: number;
}

/** Options of {@link verifyImage}. */
export interface VerifyImageOptions {
  /** Is called after each megabyte or so. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  /** Stops the work: it fails with ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/** What {@link verifyImage} found. */
export interface ImageVerification {
  /** Everything that is wrong, in the order in which it was met; empty if nothing is. */
  readonly problems: readonly ThawError[];
  /** Whether there were more than PROBLEMS_MAX problems: the list ends there then. */
  readonly truncated: boolean;
  /** Stored pages that were read and decoded. */
  readonly pages: number;
  /** Those of them that are all zero. */
  readonly zeroPages: number;
  /** Stored pages that have a checksum, which they were compared with. */
  readonly checksummedPages: number;
}

/** Ends the work when the list of problems is full. */
class TooManyProblems extends Error {}

/**
 * Reads all of an image, decodes every block, and checks every rule. It goes on behind a problem as
 * far as what follows still means something: a pagemap with a damaged entry is checked to its end,
 * but its pages are not read, since nobody knows where they begin.
 *
 * @throws ThawError ABORTED; INVALID_ARGUMENT for an empty path. Problems of the image are returned,
 *   not thrown.
 * @example
 * const { problems } = await verifyImage('dump');
 * for (const problem of problems) console.error(problem.message);
 */
export async function verifyImage(
  image: string,
  options: VerifyImageOptions = {},
): Promise<ImageVerification> {
  const path = resolveDirectory(image);
  const problems: ThawError[] = [];
  const counts = { pages: 0, zeroPages: 0, checksummedPages: 0 };
  let truncated = false;
  const report: Report = (problem) => {
    if (problem.code === 'ABORTED') throw problem;
    if (problems.length === PROBLEMS_MAX) throw new TooManyProblems();
    problems.push(problem);
  };
  try {
    const metadata = await attempt(report, () => loadImage(path, report));
    if (metadata !== undefined) await readAll(metadata, counts, report, options);
  } catch (error) {
    if (!(error instanceof TooManyProblems)) throw error;
    truncated = true;
  }
  return { problems, truncated, ...counts };
}

async function readAll(
  metadata: ImageMetadata,
  counts: { pages: number; zeroPages: number; checksummedPages: number },
  report: Report,
  { onProgress, signal }: VerifyImageOptions,
): Promise<void> {
  const owners = [...metadata.tasks, ...metadata.sharedObjects];
  const pagemaps = owners.flatMap(({ pagemap }) => pagemap ?? []);
  const pagesTotal = pagemaps.reduce((sum, pagemap) => sum + pagemap.countStored(), 0);
  for (const pagemap of pagemaps) counts.checksummedPages += pagemap.countChecksummed();
  let pagesDone = 0;
  try {
    for (const pagemap of pagemaps) {
      const verifier = new PageVerifier(pagemap, counts, report);
      for (const span of pagemap.storedSpans(BATCH_PAGES)) {
        if (signal?.aborted) {
          throw new ThawError('ABORTED', {
            what: 'verification was stopped',
            cause: signal.reason,
          });
        }
        await verifier.read(span);
        pagesDone += span.pageCount;
        onProgress?.({ pagesDone, pagesTotal });
      }
    }
  } finally {
    const layers = pagemaps.flatMap(({ layers: own }) => own);
    await Promise.all(layers.map(({ pages }) => pages.close()));
  }
}

/** Reads pages of one pagemap and reports what cannot be read. */
class PageVerifier {
  readonly #reader: PageReader;
  #lastWhere: string | undefined;

  constructor(
    pagemap: LayeredPagemap,
    private readonly counts: { pages: number; zeroPages: number },
    private readonly report: Report,
  ) {
    this.#reader = new PageReader(pagemap, WINDOW_BYTES);
  }

  /** Reads a span; if that fails, page by page, so that one damaged block hides no other. */
  async read({ firstPage, pageCount }: PageSpan): Promise<void> {
    const bytes = new Uint8Array(pageCount * PAGE_SIZE);
    try {
      await this.#reader.read(firstPage, bytes);
    } catch (error) {
      if (!(error instanceof ThawError)) throw error;
      if (pageCount === 1) return this.#reportOnce(error);
      for (let page = 0; page < pageCount; page++) {
        await this.read({ firstPage: firstPage + page, pageCount: 1 });
      }
      return;
    }
    this.counts.pages += pageCount;
    for (let offset = 0; offset < bytes.length; offset += PAGE_SIZE) {
      if (isZero(bytes.subarray(offset, offset + PAGE_SIZE))) this.counts.zeroPages++;
    }
  }

  /** All pages of a block have the same problem. */
  #reportOnce(problem: ThawError): void {
    if (problem.where !== this.#lastWhere) this.report(problem);
    this.#lastWhere = problem.where;
  }
}
