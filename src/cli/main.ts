#!/usr/bin/env node
/**
 * The `thaw` command.
 */
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { ThawError } from '../errors.js';
import { EXIT } from './exit-status.js';
import { printError } from './print-error.js';
import { addServiceCommand } from './service-command.js';

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
  // Their arguments would leave no room beside them.
  .configureHelp({ subcommandTerm: (command) => command.name() })
  .showHelpAfterError('(--help lists commands and options)')
  // What stands behind a command is the command's: `lazy-pages` has options of its own.
  .enablePositionalOptions()
  .exitOverride();
await addCommands(program, process.argv[2]);

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

/** Adds the command `name`, or all of them if there is no such: loading all takes twice as long. */
async function addCommands(program: Command, name: string | undefined): Promise<void> {
  const adders: Record<string, () => Promise<void>> = {
    restore: async () => (await import('./restore-command.js')).addRestoreCommand(program),
    inspect: async () => (await import('./inspect-command.js')).addInspectCommand(program),
    verify: async () => (await import('./verify-command.js')).addVerifyCommand(program),
    pack: async () => (await import('./pack-command.js')).addPackCommand(program),
    unpack: async () => (await import('./pack-command.js')).addUnpackCommand(program),
    'lazy-pages': async () =>
      addServiceCommand(
        program,
        version,
        (await import('./lazy-pages-command.js')).lazyPagesCommand,
      ),
    'page-server': async () =>
      addServiceCommand(
        program,
        version,
        (await import('./page-server-command.js')).pageServerCommand,
      ),
    check: async () => (await import('./check-command.js')).addCheckCommand(program),
  };
  for (const [each, add] of Object.entries(adders)) {
    if (name === each || !Object.hasOwn(adders, name ?? '')) await add();
  }
}
