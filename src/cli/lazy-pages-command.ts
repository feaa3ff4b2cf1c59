/**
 * `thaw lazy-pages`: in the place of `criu lazy-pages`.
 */
import { fork } from 'node:child_process';
import { closeSync, writeFileSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { ThawError } from '../errors.js';
import { readConfiguredOptions } from './criu-config.js';
import { EXIT } from './exit-status.js';
import type { DaemonMessage } from './lazy-pages-daemon.js';
import { inWorkDirectory, type LazyPagesFlags, parseLazyPagesFlags } from './lazy-pages-flags.js';
import { LazyPagesLog } from './lazy-pages-log.js';
import { serveLazyPages } from './lazy-pages-service.js';
import { printError } from './print-error.js';

const DAEMON_ENTRY = fileURLToPath(new URL('./lazy-pages-daemon.js', import.meta.url));
const STDERR = 2;

const HELP = `Usage: thaw lazy-pages -D DIR [options]

Serves the lazy pages of a dump to \`criu restore --lazy-pages\`, as \`criu lazy-pages\` does. Takes
every option of CRIU; these have an effect:

  -D, --images-dir DIR     directory of the image (default: .)
  -W, --work-dir DIR       directory of socket, log and pidfile (default: that of the image)
  -o, --log-file FILE      log to FILE, or with - to stdout (default: stderr)
  -v[N], --verbosity[=N]   0 nothing, 1 errors, 2 warnings (default), 3 what happens, 4 all
  -d, --daemon             go to the background once the socket is there
      --pidfile FILE       with --daemon: write the pid to FILE, which must not exist
      --status-fd FD       write one zero byte to FD once the socket is there, and close it
      --action-script F    run the program F once the socket is there; its failure ends the daemon
      --config FILE        options from FILE, instead of /etc/criu/ and ~/.criu/default.conf
      --page-server        pages come from a page server: criu dump --lazy-pages, or a
                           page-server --lazy-pages
      --address A, --port P  where it listens (default address: localhost)
      --ps-socket FD       a connected socket to it instead
      --ps-header 24|32|auto  its headers: before CRIU 4.2, since, as the image tells (default)
      --persist            go on after a restore, and serve any number at once; -D may be repeated
  -h, --help               show this text
  -V, --version            show the version
`;

/** Adds the command to `program`; its exit status goes to process.exitCode. */
export function addLazyPagesCommand(program: Command, version: string): void {
  program
    .command('lazy-pages')
    .description('serve the lazy pages of a dump to criu restore, instead of criu lazy-pages')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .argument('[options...]', 'options of criu (--help lists those with an effect)')
    .action(async (args: string[]) => {
      process.exitCode = await runLazyPages(args, version);
    });
}

async function runLazyPages(args: readonly string[], version: string): Promise<number> {
  const flags = parseLazyPagesFlags(args, readConfiguredOptions(args, process.env));
  if (flags.help || flags.version) {
    process.stdout.write(flags.help ? HELP : `Version: ${version}\n`);
    return EXIT.ok;
  }
  if (flags.daemon) return startDaemon(flags);
  const log = LazyPagesLog.open(flags);
  try {
    return await serveLazyPages({
      flags,
      log,
      leaveEarly: false,
      onReady: () => tellReady(flags),
    });
  } catch (error) {
    log.error(error);
    if (log.fd !== STDERR) printError(error);
    return EXIT.failed;
  } finally {
    log.close();
  }
}

function tellReady({ statusFd }: LazyPagesFlags): void {
  if (statusFd === undefined) return;
  try {
    writeSync(statusFd, new Uint8Array(1));
    closeSync(statusFd);
  } catch (cause) {
    throw new ThawError('IO_FAILED', {
      what: 'the readiness cannot be told',
      found: (cause as NodeJS.ErrnoException).code ?? String(cause),
      where: `--status-fd ${statusFd}`,
      cause,
    });
  }
}

/**
 * Starts the background process and waits until it has its socket. Without a limit: opening an image
 * takes as long as it is large, and the end of the process ends the wait.
 */
async function startDaemon(flags: LazyPagesFlags): Promise<number> {
  const child = fork(DAEMON_ENTRY, [JSON.stringify(flags)], {
    cwd: inWorkDirectory(flags),
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const message = await new Promise<DaemonMessage>((resolve) => {
    child.once('message', (said) => resolve(said as DaemonMessage));
    child.once('error', (error) => resolve({ failure: String(error) }));
    child.once('exit', (status, signal) => {
      resolve({ failure: `the background process ended with ${signal ?? status}` });
    });
  });
  if ('failure' in message) {
    process.stderr.write(`thaw: ${message.failure}\n`);
    return EXIT.failed;
  }
  try {
    writePidFile(flags, message.pid);
    tellReady(flags);
  } catch (error) {
    child.kill('SIGTERM');
    throw error;
  }
  child.disconnect();
  child.unref();
  return EXIT.ok;
}

function writePidFile(flags: LazyPagesFlags, pid: number): void {
  if (flags.pidFile === undefined) return;
  const path = inWorkDirectory(flags, flags.pidFile);
  try {
    writeFileSync(path, String(pid), { flag: 'wx', mode: 0o600 });
  } catch (cause) {
    throw new ThawError('IO_FAILED', {
      what: 'the pidfile cannot be written',
      expected: 'a name that is free',
      found: (cause as NodeJS.ErrnoException).code ?? String(cause),
      where: path,
      cause,
    });
  }
}
