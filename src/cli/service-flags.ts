/**
 * What the commands that stand in for CRIU's have in common: where the images are, how to log, and how
 * to go to the background.
 */
import { resolve } from 'node:path';
import { ThawError } from '../errors.js';
import type { GivenOption } from './criu-options.js';
import { toFd } from './fd-option.js';

/** Levels of `-v`. */
export const VERBOSITY = { error: 1, warning: 2, info: 3, debug: 4 } as const;

/** Bare words that may stand behind a command: none. */
const WORDS_MAX = 0;

/** Options of CRIU that change what is served: without them, the wrong thing would happen silently. */
const UNSERVED: Readonly<Record<string, string>> = {
  stream: 'images are read from a directory only',
};

/** What any of these commands shall do. */
export interface ServiceFlags {
  readonly help: boolean;
  readonly version: boolean;
  /** Absolute paths of image directories; the one that counts, or with `persist` all. */
  readonly imageDirectories: readonly string[];
  /** Absolute path; undefined: each image's directory is its work directory. */
  readonly workDirectory: string | undefined;
  /** `-` is stdout, undefined stderr; relative to the work directory. */
  readonly logFile: string | undefined;
  readonly verbosity: number;
  readonly daemon: boolean;
  /** Relative to the work directory. */
  readonly pidFile: string | undefined;
  readonly statusFd: number | undefined;
  readonly persist: boolean;
  /** Programs to run when the sockets are there, in this order. */
  readonly actionScripts: readonly string[];
}

/** The last option `name` of a command line, which is the one that counts. */
export function lastOption(options: readonly GivenOption[], name: string): GivenOption | undefined {
  return options.findLast((option) => option.name === name);
}

/** Whether the option `name` was given, and not negated after that. */
export function isSet(options: readonly GivenOption[], name: string): boolean {
  return lastOption(options, name)?.negated === false;
}

/**
 * Reads the common options.
 *
 * @param words what is no option; there may be none.
 * @throws ThawError INVALID_ARGUMENT
 */
export function parseServiceFlags(
  options: readonly GivenOption[],
  words: readonly string[],
): ServiceFlags {
  refuseUnserved(options, words);
  const lastValue = (name: string): string | undefined => lastOption(options, name)?.value;
  const persist = isSet(options, 'persist');
  const workDirectory = lastValue('work-dir');
  const images = options
    .filter(({ name }) => name === 'images-dir')
    .map(({ value = '.' }) => value);
  const counting = persist ? images : images.slice(-1);
  if (counting.length > 1 && workDirectory !== undefined) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: '--work-dir cannot be the work directory of several images',
      expected: 'one -D, or no -W',
      found: `${counting.length} times -D`,
    });
  }
  return {
    help: isSet(options, 'help'),
    version: isSet(options, 'version'),
    imageDirectories: (counting.length === 0 ? ['.'] : counting).map((path) => resolve(path)),
    workDirectory: workDirectory === undefined ? undefined : resolve(workDirectory),
    logFile: lastValue('log-file'),
    verbosity: verbosityOf(options),
    daemon: isSet(options, 'daemon') || isSet(options, 'restore-detached'),
    pidFile: lastValue('pidfile'),
    statusFd: toFd('status-fd', lastValue('status-fd')),
    persist,
    // As CRIU does: the last one first.
    actionScripts: options
      .flatMap(({ name, value }) => (name === 'action-script' && value ? [value] : []))
      .reverse(),
  };
}

function refuseUnserved(options: readonly GivenOption[], words: readonly string[]): void {
  if (words.length > WORDS_MAX) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'a word stands where only options may',
      found: words.join(' '),
    });
  }
  for (const { name, negated } of options) {
    const reason = negated ? undefined : UNSERVED[name];
    if (reason !== undefined) {
      throw new ThawError('INVALID_ARGUMENT', {
        what: `--${name} is not supported`,
        hint: `Leave it out: ${reason}`,
      });
    }
  }
}

/** A path that is relative to the work directory; without a path, that directory. */
export function inWorkDirectory(flags: ServiceFlags, path = '.'): string {
  return resolve(flags.workDirectory ?? flags.imageDirectories[0] ?? '.', path);
}

/** `-v4` and `--verbosity=4` set the level; each bare `-v` raises it by one, as in `-vvv`. */
function verbosityOf(options: readonly GivenOption[]): number {
  let bare = 0;
  let set: number | undefined;
  for (const { name, value } of options) {
    if (name !== 'verbosity') continue;
    if (value === undefined) bare += 1;
    else if (/^v+$/.test(value)) bare += 1 + value.length;
    else if (/^\d+$/.test(value)) set = Number(value);
    else {
      throw new ThawError('INVALID_ARGUMENT', {
        what: 'the verbosity is not a number',
        expected: '0 to 4',
        found: value,
      });
    }
  }
  return Math.min(VERBOSITY.debug, set ?? (bare === 0 ? VERBOSITY.warning : bare));
}
