/**
 * Options that say what the pager brings in, and how fast: those of `thaw restore` and, in CRIU's
 * manner, of `thaw lazy-pages`.
 */
import { type Command, Option } from 'commander';
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import { FILL_THREADS_MAX, type PagerOptions, WINDOW_BYTES_MAX } from '../servicer/fill-options.js';
import { asArgument, byteSize, wholeNumber } from './arguments.js';
import type { GivenOption } from './criu-options.js';

/** The values of `--fill`. */
const MODES = ['on', 'off'] as const;
/** Options that concern the fill alone, by their attributes. */
const OF_FILL = { fillRate: '--fill-rate', fillThreads: '--fill-threads' } as const;

const toRate = byteSize({ min: 1, max: Number.MAX_SAFE_INTEGER, step: 1 });
const toWindow = byteSize({ min: PAGE_SIZE, max: WINDOW_BYTES_MAX, step: PAGE_SIZE });
const toThreads = wholeNumber(1, FILL_THREADS_MAX);

/** The options as commander has them. */
export interface FillFlags {
  readonly fill: (typeof MODES)[number];
  readonly fillRate?: number | undefined;
  readonly fillThreads?: number | undefined;
  readonly window?: number | undefined;
}

/** The options as the library takes them. */
export interface FillOptions extends PagerOptions {
  readonly fill: boolean;
  readonly windowBytes: number | undefined;
}

/** Adds the options to `command`. */
export function addFillOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--fill <mode>', 'bring the untouched pages in behind the program')
        .choices(MODES)
        .default('on'),
    )
    .option(
      '--fill-rate <size>',
      'most bytes a second of the fill, such as 100M (default: unlimited)',
      asArgument(toRate),
    )
    .option(
      '--fill-threads <n>',
      `threads that fill, 1 to ${FILL_THREADS_MAX} (default: 2, or 1 on one CPU)`,
      asArgument(toThreads),
    )
    .option(
      '--window <size>',
      'most bytes at one fault, 4K to 64K (default: 64K; with --fill off 4K)',
      asArgument(toWindow),
    );
}

/**
 * What the options of `thaw restore` ask for.
 *
 * @throws ThawError INVALID_ARGUMENT for options of a fill that is off
 */
export function toFillOptions({ fill, fillRate, fillThreads, window }: FillFlags): FillOptions {
  const given = { fillRate, fillThreads };
  const idle = (Object.keys(OF_FILL) as (keyof typeof OF_FILL)[]).find((name) => given[name]);
  if (fill === 'off' && idle !== undefined) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: `${OF_FILL[idle]} has no effect with --fill off`,
    });
  }
  return { fill: fill === 'on', fillRate, fillThreads, windowBytes: window };
}

/**
 * What the options of `thaw lazy-pages` ask for.
 *
 * @param last finds the last option of a name.
 * @throws ThawError INVALID_ARGUMENT
 */
export function parseFillFlags(last: (name: string) => GivenOption | undefined): FillOptions {
  const parse = <T>(name: string, toValue: (text: string) => T): T | undefined => {
    const text = last(name)?.value;
    if (text === undefined) return undefined;
    try {
      return toValue(text);
    } catch (cause) {
      const { what, expected, found } = cause as ThawError;
      throw new ThawError('INVALID_ARGUMENT', {
        what: `the value of --${name} is ${what}`,
        ...(expected === undefined ? {} : { expected }),
        ...(found === undefined ? {} : { found }),
        cause,
      });
    }
  };
  return toFillOptions({
    fill: parse('fill', toMode) ?? 'on',
    fillRate: parse('fill-rate', toRate),
    fillThreads: parse('fill-threads', toThreads),
    window: parse('window', toWindow),
  });
}

function toMode(text: string): FillFlags['fill'] {
  const mode = MODES.find((known) => known === text);
  if (mode !== undefined) return mode;
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'not one of its modes',
    expected: MODES.join(' or '),
    found: text,
  });
}
