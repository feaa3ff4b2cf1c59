/** CRIU's configuration files. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseCriuConfig, readConfiguredOptions } from '../../src/cli/criu-config.js';
import { parseLazyPagesFlags } from '../../src/cli/lazy-pages-flags.js';
import { ThawError } from '../../src/errors.js';

describe('parseCriuConfig', () => {
  const only = (text: string) => {
    const options = parseCriuConfig(text, 'x.conf');
    expect(options).toHaveLength(1);
    return options[0];
  };

  test.each([
    ['daemon', 'daemon', undefined],
    ['  daemon  # at once', 'daemon', undefined],
    ['log-file a.log', 'log-file', 'a.log'],
    ['log-file\ta.log\r', 'log-file', 'a.log'],
    ['log-file=a.log', 'log-file', 'a.log'],
    ['log-file = a.log', 'log-file', 'a.log'],
    ['log-file a.log#comment', 'log-file', 'a.log'],
    ['log-file "a b#c.log" # comment', 'log-file', 'a b#c.log'],
    ['log-file "a\\"b\\\\c.log"', 'log-file', 'a"b\\\\c.log'],
    ['log-file a=b', 'log-file', 'a=b'],
    ['log-file ""', 'log-file', ''],
    ['log-f a.log', 'log-file', 'a.log'],
    ['verbosity', 'verbosity', undefined],
    ['verbosity 4', 'verbosity', '4'],
  ])('takes %j', (line, name, value) => {
    expect(only(`\n# first\n${line}\n\n`)).toEqual({ name, value, negated: false });
  });

  test('negates', () => {
    expect(only('no-daemon')).toEqual({ name: 'daemon', value: undefined, negated: true });
  });

  test.each([
    ['nonsense', /no such option: found nonsense \(x\.conf, line 2\)\. .*without dashes/],
    ['--daemon', /no such option: found --daemon \(x\.conf, line 2\)/],
    ['daemon yes', /--daemon takes no value: found daemon=yes \(x\.conf, line 2\)/],
    ['log-file', /its value is missing: found log-file \(x\.conf, line 2\)/],
    ['log-file a b', /cannot be understood: expected .*, found log-file a b \(x\.conf, line 2\)/],
    ['log-file "a', /cannot be understood/],
    ['log-file "a" b', /cannot be understood/],
    ['=a', /cannot be understood/],
  ])('refuses %j, and says where it stands', (line, message) => {
    const parse = () => parseCriuConfig(`verbosity 4\n${line}\n`, 'x.conf');
    expect(parse).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect(parse).toThrow(message);
  });

  test('any value in quotes comes back as it was, with any space and comment around', () => {
    const space = fc.stringMatching(/^[ \t]{1,3}$/);
    // A backslash before the closing quote cannot be written.
    const value = fc.string().filter((text) => !/[\r\n]|\\$/.test(text));
    const comment = fc.constantFrom('', '#', ' # "x" \\ y');
    fc.assert(
      fc.property(value, space, comment, (text, gap, end) => {
        const quoted = `"${text.replaceAll('"', '\\"')}"`;
        const options = parseCriuConfig(`${gap}work-dir${gap}${quoted}${end}\n`, 'x.conf');
        expect(options).toEqual([{ name: 'work-dir', value: text, negated: false }]);
      }),
    );
  });

  test('any text is understood or refused', () => {
    const piece = fc.constantFrom('daemon', 'log-file', ' ', '=', '"', '\\', '#', '\n', 'no-', 'x');
    const text = fc.oneof(
      fc.string(),
      fc.array(piece).map((pieces) => pieces.join('')),
    );
    fc.assert(
      fc.property(text, (given) => {
        try {
          for (const { name } of parseCriuConfig(given, 'x.conf')) expect(name).not.toBe('');
        } catch (error) {
          expect(error).toBeInstanceOf(ThawError);
          expect((error as ThawError).where).toMatch(/^x\.conf, line \d+$/);
        }
      }),
    );
  });
});

describe('readConfiguredOptions', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'thaw-config-'));
    mkdirSync(join(directory, '.criu'));
    file('system.conf', 'log-file system\nverbosity=1');
    file('.criu/default.conf', 'log-file user');
    file('environment.conf', 'log-file environment');
    file('named.conf', 'log-file named');
    file('more.conf', 'pidfile more\naction-script one');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const at = (name: string) => join(directory, name);
  const file = (name: string, text: string) => writeFileSync(at(name), text);
  const read = (args: string[], CRIU_CONFIG_FILE?: string) =>
    readConfiguredOptions(args, { HOME: directory, CRIU_CONFIG_FILE }, at('system.conf'));
  const flags = (args: string[], environment?: string) =>
    parseLazyPagesFlags(args, read(args, environment));

  // Each row as CRIU 4.1.1 does it.
  test.each([
    [[], undefined, 'user', 1],
    [[], 'environment.conf', 'environment', 1],
    [['--no-default-config'], 'environment.conf', 'environment', 2],
    [['--no-default-config'], undefined, undefined, 2],
    [['--config', 'named.conf'], 'environment.conf', 'named', 2],
    [['--config', 'named.conf'], 'verbose.conf', 'named', 4],
    [['--config', 'more.conf', '--config', 'named.conf'], undefined, 'named', 2],
    [['-o', 'mine', '--config', 'named.conf'], undefined, 'mine', 2],
  ])('of %j and CRIU_CONFIG_FILE=%s the later counts', (args, environment, logFile, verbosity) => {
    file('verbose.conf', 'verbosity 4');
    const given = args.map((arg) => (arg.endsWith('.conf') ? at(arg) : arg));
    const found = flags(given, environment === undefined ? undefined : at(environment));
    expect(found).toMatchObject({ logFile, verbosity });
  });

  test('several files say different things together', () => {
    const found = flags(['--action-script', 'two'], at('more.conf'));
    expect(found).toMatchObject({ logFile: 'user', pidFile: 'more', verbosity: 1 });
    expect(found.actionScripts).toEqual(['two', 'one']);
  });

  test('the command line takes back what a file said', () => {
    file('named.conf', 'daemon\npersist');
    const found = flags(['--config', at('named.conf'), '--no-daemon']);
    expect(found).toMatchObject({ daemon: false, persist: true });
  });

  test('only default files may be missing', () => {
    rmSync(at('system.conf'));
    rmSync(at('.criu'), { recursive: true });
    expect(read([])).toEqual([]);
    for (const attempt of [() => read([], at('none')), () => read(['--config', at('none')])]) {
      expect(attempt).toThrow(
        /a configuration file cannot be read: found ENOENT \(.*none\)\. It was named/,
      );
    }
    expect(() => read(['--config', directory])).toThrow(/EISDIR/);
  });
});
