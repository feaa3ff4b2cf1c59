/**
 * CRIU's configuration files: options that stand before those of the command line.
 *
 *   # a comment
 *   tcp-established
 *   work-dir "/srv/my \"work\" directory"    # in quotes, \" is a quote
 *   verbosity=4
 *
 * One long option a line, without dashes. What is said later counts: the default files, then
 * CRIU_CONFIG_FILE, then `--config`, then the command line. `--config` takes the place of the default
 * files, `--no-default-config` leaves them out.
 *
 * Source: what CRIU 4.1.1 does with such files; docs/criu.md, "Configuration files".
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ThawError } from '../errors.js';
import { type GivenOption, parseCriuOptions, parseLongOption } from './criu-options.js';

const SYSTEM_FILE = '/etc/criu/default.conf';
/** Below HOME. */
const USER_FILE = '.criu/default.conf';

/** What the places of the files depend on: HOME and CRIU_CONFIG_FILE. */
export type ConfigEnvironment = Readonly<Record<string, string | undefined>>;

/**
 * The options of all configuration files that count for the command line `args`, in their order.
 * A default file may be missing or another user's alone, a file that was named must be there.
 *
 * @throws ThawError INVALID_ARGUMENT, with file and line; IO_FAILED
 */
export function readConfiguredOptions(
  args: readonly string[],
  { HOME, CRIU_CONFIG_FILE }: ConfigEnvironment,
  systemFile = SYSTEM_FILE,
): GivenOption[] {
  const { options } = parseCriuOptions(args);
  const named = options.findLast(({ name }) => name === 'config')?.value;
  const bare = named !== undefined || options.some(({ name }) => name === 'no-default-config');
  const defaults = bare ? [] : [systemFile, ...(HOME ? [join(HOME, USER_FILE)] : [])];
  return [
    ...defaults.flatMap((path) => readConfig(path, false)),
    ...(CRIU_CONFIG_FILE ? readConfig(CRIU_CONFIG_FILE, true) : []),
    ...(named === undefined ? [] : readConfig(named, true)),
  ];
}

function readConfig(path: string, required: boolean): GivenOption[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    // HOME may be another user's, as behind `sudo -u`.
    if (!required && ['ENOENT', 'ENOTDIR', 'EACCES'].includes(code)) return [];
    throw new ThawError('IO_FAILED', {
      what: 'a configuration file cannot be read',
      found: code,
      where: path,
      hint: required
        ? 'It was named by --config or CRIU_CONFIG_FILE'
        : 'Put it right, or leave the default files out: --no-default-config',
      cause,
    });
  }
  return parseCriuConfig(text, path);
}

/**
 * The options in the text of a configuration file; `path` is for errors.
 *
 * @throws ThawError INVALID_ARGUMENT
 */
export function parseCriuConfig(text: string, path: string): GivenOption[] {
  return text.split('\n').flatMap((line, index) => {
    const where = `${path}, line ${index + 1}`;
    const option = splitLine(line.trim(), where);
    return option === undefined ? [] : [parseOption(option, where)];
  });
}

/** `name`, or `name=value`. */
function splitLine(line: string, where: string): string | undefined {
  if (line === '' || line.startsWith('#')) return undefined;
  const name = /^[^\s=#]*/.exec(line)?.[0] ?? '';
  const rest = line.slice(name.length);
  if (/^\s*(?:#.*)?$/.test(rest)) return name;
  const value = /^(?:\s*=\s*|\s+)(?:"((?:\\"|[^"\\]|\\(?!"))*)"|(?!")([^\s#]*))\s*(?:#.*)?$/.exec(
    rest,
  );
  const raw = value?.[1] ?? value?.[2];
  if (name === '' || raw === undefined) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'a line of a configuration file cannot be understood',
      expected: 'one long option without dashes, and its value; in quotes if it has spaces',
      found: line,
      where,
    });
  }
  return `${name}=${raw.replaceAll('\\"', '"')}`;
}

function parseOption(option: string, where: string): GivenOption {
  try {
    return parseLongOption(option, []);
  } catch (error) {
    const { what, found } = error as ThawError;
    throw new ThawError('INVALID_ARGUMENT', {
      what,
      found: (found ?? option).replace(/^--/, ''),
      where,
      hint: 'Options stand in configuration files by their long names, without dashes',
      cause: error,
    });
  }
}
