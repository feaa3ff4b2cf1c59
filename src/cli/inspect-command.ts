/**
 * `thaw inspect <image>`.
 */
import type { Command } from 'commander';
import { Checkpoint } from '../image/checkpoint.js';
import { describeImage } from '../image/describe-image.js';
import { EXIT } from './exit-status.js';
import { describeForPeople } from './inspect-view.js';
import { printError } from './print-error.js';

/** Adds the command to `program`; its exit status goes to process.exitCode. */
export function addInspectCommand(program: Command): void {
  program
    .command('inspect')
    .description('show what an image holds, from its metadata alone')
    .argument('<image>', 'directory of a CRIU dump')
    .option('--pages', 'list the runs of stored pages as well')
    .option('--json', 'print one JSON object instead of text')
    .action(async (image: string, { pages, json }: { pages?: true; json?: true }) => {
      try {
        await using checkpoint = await Checkpoint.open(image);
        const description = describeImage(checkpoint, { extents: pages === true });
        const text = json ? JSON.stringify(description) : describeForPeople(description);
        process.stdout.write(`${text}\n`);
      } catch (error) {
        printError(error);
        process.exitCode = EXIT.failed;
      }
    });
}
