/**
 * Runs a service that stands in for one of CRIU's: in the foreground, or as a background process that
 * has told that it is ready.
 */
import { fork } from 'node:child_process';
import { closeSync, writeFileSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { ThawError } from '../errors.js';
import { readConfiguredOptions } from './criu-config.js';
import type { GivenOption } from './criu-options.js';
import { EXIT } from './exit-status.js';
import { printError } from './print-error.js';
import { inWorkDirectory, type ServiceFlags } from './service-flags.js';
import { ServiceLog } from './service-log.js';

const DAEMON_ENTRY = fileURLToPath(new URL('./service-daemon.js', import.meta.url));
const STDERR = 2;

/** What the background process says to its starter: who serves, or why nobody does. */
export type DaemonMessage = { readonly pid: number } | { readonly failure: string };

/** What a service works with. */
export interface ServiceParts<Flags extends ServiceFlags> {
  readonly flags: Flags;
  readonly log: ServiceLog;
  /** Whether this process may end before the service, where something else can go on with it. */
  readonly leaveEarly: boolean;
  /** Called once the sockets are there; `pid` lives for as long as pages are served. */
  readonly onReady: (pid: number) => void;
}

/** A service: resolves to its exit status. */
export type Serve<Flags extends ServiceFlags> = (parts: ServiceParts<Flags>) => Promise<number>;

/** A command that runs a service. */
export interface ServiceCommand<Flags extends ServiceFlags> {
  /** Its name, by which service-daemon.ts knows it too. */
  readonly name: string;
  readonly description: string;
  readonly help: string;
  /** Reads the arguments, after the options that configuration files have. */
  readonly parse: (args: readonly string[], configured: readonly GivenOption[]) => Flags;
  readonly serve: Serve<Flags>;
}

/** Adds a command with CRIU's options to `program`; its exit status goes to process.exitCode. */
export function addServiceCommand<Flags extends ServiceFlags>(
  program: Command,
  version: string,
  command: ServiceCommand<Flags>,
): void {
  program
    .command(command.name)
    .description(command.description)
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .argument('[options...]', 'options of criu (--help lists those with an effect)')
    .action(async (args: string[]) => {
      process.exitCode = await runService(args, version, command);
    });
}

async function runService<Flags extends ServiceFlags>(
  args: readonly string[],
  version: string,
  { name, help, parse, serve }: ServiceCommand<Flags>,
): Promise<number> {
  const flags = parse(args, readConfiguredOptions(args, process.env));
  if (flags.help || flags.version) {
    process.stdout.write(flags.help ? help : `Version: ${version}\n`);
    return EXIT.ok;
  }
  if (flags.daemon) return startDaemon(name, flags);
  const log = ServiceLog.open(flags);
  try {
    return await serve({ flags, log, leaveEarly: false, onReady: () => tellReady(flags) });
  } catch (error) {
    log.error(error);
    if (log.fd !== STDERR) printError(error);
    return EXIT.failed;
  } finally {
    log.close();
  }
}

function tellReady({ statusFd }: ServiceFlags): void {
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
async function startDaemon(name: string, flags: ServiceFlags): Promise<number> {
  const child = fork(DAEMON_ENTRY, [name, JSON.stringify(flags)], {
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

function writePidFile(flags: ServiceFlags, pid: number): void {
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
