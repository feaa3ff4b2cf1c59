/**
 * `thaw verify <image>`.
 */
import type { Command } from 'commander';
import { ThawError } from '../errors.js';
import { type ImageVerification, verifyImage } from '../image/verify-image.js';
import { EXIT } from './exit-status.js';
import { Interruption } from './interruption.js';
import { printError } from './print-error.js';
import { startPageProgress } from './progress.js';
import { formatCount, formatNumberOf, formatPages } from './text.js';

/** Adds the command to `program`; its exit status goes to process.exitCode. */
export function addVerifyCommand(program: Command): void {
  program
    .command('verify')
    .description('read everything in an image, decode every block, and tell all that is wrong')
    .argument('<image>', 'directory of a CRIU dump')
    .option('--json', 'print one JSON object instead of text')
    .action(async (image: string, { json }: { json?: true }) => {
      process.exitCode = await runVerify(image, json === true);
    });
}

async function runVerify(image: string, json: boolean): Promise<number> {
  const interruption = new Interruption();
  const progress = startPageProgress();
  try {
    const result = await verifyImage(image, {
      onProgress: ({ pagesDone, pagesTotal }) => progress.update(pagesDone, pagesTotal),
      signal: interruption.signal,
    });
    progress.stop();
    if (json) printObject(image, result);
    else printVerdict(image, result);
    for (const problem of result.problems) printError(problem);
    return result.problems.length === 0 ? EXIT.ok : EXIT.failed;
  } catch (error) {
    progress.stop();
    if (interruption.signal.aborted) return interruption.exitStatus;
    if (json && error instanceof ThawError) {
      const nothing = { pages: 0, zeroPages: 0, checksummedPages: 0, truncated: false };
      printObject(image, { ...nothing, problems: [error] });
    }
    printError(error);
    return EXIT.failed;
  } finally {
    interruption.stop();
  }
}

function printObject(image: string, result: ImageVerification): void {
  const { problems, truncated, pages, zeroPages, checksummedPages } = result;
  const object = {
    image,
    ok: problems.length === 0,
    pages,
    zeroPages,
    checksummedPages,
    problems: problems.map(({ code, message }) => ({ code, message })),
    truncated,
  };
  process.stdout.write(`${JSON.stringify(object)}\n`);
}

function printVerdict(image: string, result: ImageVerification): void {
  const { problems, truncated, pages, zeroPages, checksummedPages } = result;
  const verdict =
    problems.length === 0 ? 'nothing wrong' : formatNumberOf(problems.length, 'problem');
  const compared =
    checksummedPages === 0 ? 'no checksums' : `${formatCount(checksummedPages)} with checksums`;
  process.stdout.write(
    `${image}: ${formatPages(pages)} read, ${formatCount(zeroPages)} all zero, ${compared}, ` +
      `${verdict}${truncated ? ' and more' : ''}\n`,
  );
}
