/**
 * `thaw pack <image> <out>` and `thaw unpack <image> <out>`.
 */
import { type Command, Option } from 'commander';
import { PAGE_SIZE } from '../address.js';
import { LZ4_REGION_BYTES_MAX } from '../limits.js';
import {
  type PackOptions,
  type PackSummary,
  packImage,
  type UnpackOptions,
  unpackImage,
} from '../pack/pack-image.js';
import { asArgument, byteSize, wholeNumber } from './arguments.js';
import { EXIT } from './exit-status.js';
import { Interruption } from './interruption.js';
import { printError } from './print-error.js';
import { startPageProgress } from './progress.js';
import { formatBytes, formatCount, formatPages } from './text.js';

/** More threads than any machine's cores are worth. */
const JOBS_MAX = 256;

interface PackFlags {
  readonly perPage?: true;
  readonly region?: number;
  readonly flatten?: true;
  readonly checksums?: true;
  readonly jobs?: number;
}

/** Adds the command to `program`; its exit status goes to process.exitCode. */
export function addPackCommand(program: Command): void {
  program
    .command('pack')
    .description('write an image with LZ4-compressed pages; what CRIU needs stays as it is')
    .argument('<image>', 'directory of a CRIU dump')
    .argument('<out>', 'directory to make')
    .addOption(new Option('--per-page', 'one block a page (the default)').conflicts('region'))
    .addOption(
      new Option('--region <size>', 'blocks of SIZE bytes, such as 64K or 4M').argParser(
        asArgument(byteSize({ min: PAGE_SIZE, max: LZ4_REGION_BYTES_MAX, step: PAGE_SIZE })),
      ),
    )
    .option('--flatten', 'take the pages of parent images in: the output stands alone')
    .option('--checksums', 'a checksum for every block, compared wherever it is read later')
    .option('--jobs <n>', 'threads (default: one a core)', asArgument(wholeNumber(1, JOBS_MAX)))
    .action(async (image: string, out: string, flags: PackFlags) => {
      const { region, flatten, checksums, jobs } = flags;
      const options: PackOptions = {
        mode: region === undefined ? 'page' : { regionPages: region / PAGE_SIZE },
        flatten: flatten === true,
        checksums: checksums === true,
        ...(jobs === undefined ? {} : { jobs }),
      };
      process.exitCode = await runRewrite(out, (common) =>
        packImage(image, out, { ...options, ...common }),
      );
    });
}

/** Adds the command to `program`; its exit status goes to process.exitCode. */
export function addUnpackCommand(program: Command): void {
  program
    .command('unpack')
    .description('write a packed image with plain pages: the very bytes it was packed from')
    .argument('<image>', 'directory that `thaw pack` made, or any compressed image')
    .argument('<out>', 'directory to make')
    .action(async (image: string, out: string) => {
      process.exitCode = await runRewrite(out, (common) => unpackImage(image, out, common));
    });
}

async function runRewrite(
  out: string,
  rewrite: (common: UnpackOptions) => Promise<PackSummary>,
): Promise<number> {
  const interruption = new Interruption();
  const progress = startPageProgress();
  try {
    const { pages, zeroBlocks, pageBytes, payloadBytes } = await rewrite({
      onProgress: ({ pagesDone, pagesTotal }) => progress.update(pagesDone, pagesTotal),
      signal: interruption.signal,
    });
    progress.stop();
    const share = pageBytes === 0 ? '' : `, ${((payloadBytes / pageBytes) * 100).toFixed(1)} %`;
    const zeros = zeroBlocks === 0 ? '' : `; ${formatCount(zeroBlocks)} all-zero blocks left out`;
    process.stdout.write(
      `${out}: ${formatPages(pages)} as ${formatBytes(payloadBytes)}${share}${zeros}\n`,
    );
    return EXIT.ok;
  } catch (error) {
    progress.stop();
    if (interruption.signal.aborted) return interruption.exitStatus;
    printError(error);
    return EXIT.failed;
  } finally {
    interruption.stop();
  }
}
