/**
 * `thaw verify <image>`.
 */
import type { Command } from 'commander';
import { verifyImage } from '../image/verify-image.js';
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
    const { problems, truncated, pages, zeroPages, checksummedPages } = result;
    if (json) {
      const list = problems.map(({ code, message }) => ({ code, message }));
      const object = {
        image,
        ok: problems.length === 0,
        pages,
        zeroPages,
        checksummedPages,
        problems: list,
        truncated,
      };
      process.stdout.write(`${JSON.stringify(object)}\n`);
    } else {
      const verdict =
        problems.length === 0 ? 'nothing wrong' : formatNumberOf(problems.length, 'problem');
      const compared =
        checksummedPages === 0 ? 'no checksums' : `${formatCount(checksummedPages)} with checksums`;
      process.stdout.write(
        `${image}: ${formatPages(pages)} read, ${formatCount(zeroPages)} all zero, ${compared}, ` +
          `${verdict}${truncated ? ' and more' : ''}\n`,
      );
      for (const problem of problems) printError(problem);
    }
    return problems.length === 0 ? EXIT.ok : EXIT.failed;
  } catch (error) {
    progress.stop();
    if (interruption.signal.aborted) return interruption.exitStatus;
    printError(error);
    return EXIT.failed;
  } finally {
    interruption.stop();
  }
}
