/**
 * What the command line of `thaw lazy-pages` asks for: of CRIU's options, those that have an effect.
 */
import { resolve } from 'node:path';
import { ThawError } from '../errors.js';
import type { PageServerOptions } from '../lazy-pages/page-server-client.js';
import { type GivenOption, parseCriuOptions } from './criu-options.js';
import { toFd } from './fd-option.js';
import { parsePageServerFlags } from './page-server-flags.js';

/** Levels of `-v`. */
export const VERBOSITY = { error: 1, warning: 2, info: 3, debug: 4 } as const;

/** Bare words that may stand behind the command: none. */
const WORDS_MAX = 0;

/** Options of CRIU that change what is served: without them, the wrong thing would happen silently. */
const UNSERVED: Readonly<Record<string, string>> = {
  stream: 'images are read from a directory only',
};

/** What `thaw lazy-pages` shall do. */
export interface LazyPagesFlags {
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
  /** The page server that pages come from; undefined: from the images. */
  readonly pageServer: PageServerOptions | undefined;
}

/**
 * Reads the arguments behind `lazy-pages`, after the options `configured` in files.
 *
 * @throws ThawError INVALID_ARGUMENT
 */
export function parseLazyPagesFlags(
  args: readonly string[],
  configured: readonly GivenOption[] = [],
): LazyPagesFlags {
  const { options: given, words } = parseCriuOptions(args);
  const options = [...configured, ...given];
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
  const last = (name: string): GivenOption | undefined =>
    options.findLast((option) => option.name === name);
  const isSet = (name: string): boolean => last(name)?.negated === false;
  const persist = isSet('persist');
  const workDirectory = last('work-dir')?.value;
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
    help: isSet('help'),
    version: isSet('version'),
    imageDirectories: (counting.length === 0 ? ['.'] : counting).map((path) => resolve(path)),
    workDirectory: workDirectory === undefined ? undefined : resolve(workDirectory),
    logFile: last('log-file')?.value,
    verbosity: verbosityOf(options),
    daemon: isSet('daemon') || isSet('restore-detached'),
    pidFile: last('pidfile')?.value,
    statusFd: toFd('status-fd', last('status-fd')?.value),
    persist,
    // As CRIU does: the last one first.
    actionScripts: options
      .flatMap(({ name, value }) => (name === 'action-script' && value ? [value] : []))
      .reverse(),
    pageServer: parsePageServerFlags(last, persist),
  };
}

/** A path that is relative to the work directory; without a path, that directory. */
export function inWorkDirectory(flags: LazyPagesFlags, path = '.'): string {
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
