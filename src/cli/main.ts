#!/usr/bin/env node
/**
 * The `thaw` command.
 */
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { ThawError } from '../errors.js';
import { addCheckCommand } from './check-command.js';
import { EXIT } from './exit-status.js';
import { addInspectCommand } from './inspect-command.js';
import { lazyPagesCommand } from './lazy-pages-command.js';
import { addPackCommands } from './pack-command.js';
import { pageServerCommand } from './page-server-command.js';
import { printError } from './print-error.js';
import { addRestoreCommand } from './restore-command.js';
import { addServiceCommand } from './service-command.js';
import { addVerifyCommand } from './verify-command.js';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

// A reader that goes away (`thaw check | head`) is no failure, and does not end the work: its status
// still counts. Output that cannot be written is one.
process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
  if (cause.code === 'EPIPE') return;
  printError(
    new ThawError('IO_FAILED', {
      what: 'the output cannot be written',
      found: `${cause.code}`,
      cause,
    }),
  );
  process.exit(EXIT.failed);
});

const program = new Command('thaw')
  .description('Lazy restore of process checkpoints: start at once, bring each page when touched')
  .version(version, '-V, --version')
  .showHelpAfterError('(--help lists commands and options)')
  // What stands behind a command is the command's: `lazy-pages` has options of its own.
  .enablePositionalOptions()
  .exitOverride();
addRestoreCommand(program);
addInspectCommand(program);
addVerifyCommand(program);
addPackCommands(program);
addServiceCommand(program, version, lazyPagesCommand);
addServiceCommand(program, version, pageServerCommand);
addCheckCommand(program);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version end with 0; commander has printed everything else already.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    printError(error);
    process.exitCode = EXIT.failed;
  }
}
