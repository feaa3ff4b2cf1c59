/**
 * The log of a service: lines as CRIU's, which others search for `Error` and for
 * `UFFD transferred pages`.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { ThawError } from '../errors.js';
import { inWorkDirectory, type ServiceFlags, VERBOSITY } from './service-flags.js';

const MODE = 0o600;
const STDOUT = 1;
const STDERR = 2;
const SECONDS_DIGITS = 2;
const MICROSECONDS_DIGITS = 6;

/** A log. Owns its file; stdout and stderr stay open. */
export class ServiceLog {
  readonly #startedMs = performance.now();
  readonly #told = new WeakSet<Error>();

  private constructor(
    /** Where it goes. */
    readonly fd: number,
    private readonly verbosity: number,
  ) {}

  /**
   * Opens the log that `flags` ask for; a file is truncated, and has mode 0600.
   *
   * @throws IO_FAILED
   */
  static open(flags: ServiceFlags): ServiceLog {
    const { logFile, verbosity } = flags;
    if (logFile === undefined) return new ServiceLog(STDERR, verbosity);
    if (logFile === '-') return new ServiceLog(STDOUT, verbosity);
    const path = inWorkDirectory(flags, logFile);
    const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND } = constants;
    try {
      // Appending: the pager writes here too, once it is alone.
      return new ServiceLog(
        openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, MODE),
        verbosity,
      );
    } catch (cause) {
      throw new ThawError('IO_FAILED', {
        what: 'the log file cannot be opened',
        found: (cause as NodeJS.ErrnoException).code ?? String(cause),
        where: path,
        cause,
      });
    }
  }

  /** A failure; told once, however many it concerns. */
  error(error: unknown): void {
    if (error instanceof Error) {
      if (this.#told.has(error)) return;
      this.#told.add(error);
    }
    const text = error instanceof ThawError ? `${error.code}: ${error.message}` : String(error);
    this.#write(VERBOSITY.error, `Error: ${text}`);
  }

  /** Something that is not as it should be. */
  warn(text: string): void {
    this.#write(VERBOSITY.warning, `Warn: ${text}`);
  }

  /** What happens. */
  info(text: string): void {
    this.#write(VERBOSITY.info, text);
  }

  /** How it happens. */
  debug(text: string): void {
    this.#write(VERBOSITY.debug, text);
  }

  /** What others search the log for, whatever the verbosity (but 0). */
  result(text: string): void {
    this.#write(VERBOSITY.error, text);
  }

  /** Closes the log's own file. */
  close(): void {
    if (this.fd > STDERR) closeSync(this.fd);
  }

  #write(level: number, text: string): void {
    if (level > this.verbosity) return;
    const microseconds = Math.round((performance.now() - this.#startedMs) * 1000);
    const seconds = String(Math.floor(microseconds / 1e6)).padStart(SECONDS_DIGITS, '0');
    const rest = String(microseconds % 1e6).padStart(MICROSECONDS_DIGITS, '0');
    try {
      writeSync(this.fd, `(${seconds}.${rest}) ${text}\n`);
    } catch {
      // A reader that went away, or a full disk: the service goes on.
    }
  }
}
