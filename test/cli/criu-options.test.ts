/** CRIU's command line, as getopt_long takes it apart. */
import { describe, expect, test } from 'vitest';
import { parseCriuOptions } from '../../src/cli/criu-options.js';
import { parseLazyPagesFlags } from '../../src/cli/lazy-pages-flags.js';

const parse = (text: string) => parseCriuOptions(text.split(' ').filter(Boolean));

describe('parseCriuOptions', () => {
  test.each([
    ['-D dir', 'images-dir', 'dir'],
    ['-Ddir', 'images-dir', 'dir'],
    ['--images-dir dir', 'images-dir', 'dir'],
    ['--images-dir=dir', 'images-dir', 'dir'],
    ['--images d', 'images-dir', 'd'],
    ['-v4', 'verbosity', '4'],
    ['-vvvv', 'verbosity', 'vvv'],
    ['-v', 'verbosity', undefined],
    ['--manage-cgroups', 'manage-cgroups', undefined],
    ['--manage-cgroups=ignore', 'manage-cgroups', 'ignore'],
    ['-dv4', 'daemon', undefined],
  ])('takes %s', (text, name, value) => {
    expect(parse(text).options[0]).toEqual({ name, value, negated: false });
  });

  test('negates what has no value', () => {
    expect(parse('--no-daemon').options).toEqual([
      { name: 'daemon', value: undefined, negated: true },
    ]);
    expect(parse('--no-default-config').options[0]).toMatchObject({ negated: false });
  });

  test('finds words anywhere, and behind --', () => {
    expect(parse('one -d two -- -v').words).toEqual(['one', 'two', '-v']);
  });

  test.each(['--nonsense', '-q', '-D', '--tcp', '--daemon=1'])('refuses %s', (text) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
});

describe('parseLazyPagesFlags', () => {
  const flags = (text: string) => parseLazyPagesFlags(text.split(' ').filter(Boolean));

  test('takes the call of CRIU’s own tests', () => {
    const given = flags('--no-default-config -o lazy-pages.log -D /dump -v4 --status-fd 5');
    expect(given).toMatchObject({
      imageDirectories: ['/dump'],
      logFile: 'lazy-pages.log',
      verbosity: 4,
      statusFd: 5,
      daemon: false,
    });
  });

  test('ignores what has no effect here', () => {
    expect(flags('-D /dump --tcp-established --shell-job -t 5 --track-mem')).toEqual(
      flags('-D /dump'),
    );
  });

  test.each([
    ['', 2],
    ['-v', 1],
    ['-vvv', 3],
    ['-v0', 0],
    ['--verbosity=9', 4],
  ])('reads the verbosity of "%s"', (text, verbosity) => {
    expect(flags(text).verbosity).toBe(verbosity);
  });

  test('takes one policy for pages that cannot be produced', () => {
    expect(flags('-D /dump').onError).toBe('poison');
    expect(flags('-D /dump --on-error stop').onError).toBe('stop');
    expect(flags('-D /dump --on-error=kill').onError).toBe('kill');
    expect(() => flags('-D /dump --on-error ignore')).toThrow(/expected poison, stop, kill/);
  });

  test('reads what to fill, and how fast', () => {
    expect(flags('').fillOptions).toEqual({ fill: true });
    expect(flags('--fill-rate 100M --fill-threads=3 --window 65536 --fill on').fillOptions).toEqual(
      { fill: true, fillRate: 104_857_600, fillThreads: 3, windowBytes: 65_536 },
    );
    expect(flags('--fill off --window 64KiB').fillOptions).toEqual({
      fill: false,
      windowBytes: 65_536,
    });
  });

  test.each([
    ['--fill maybe', /--fill is .*expected on or off, found maybe/],
    ['--fill-rate 0', /--fill-rate is .*found 0/],
    ['--fill-rate 1.5M', /found 1.5M/],
    ['--fill-threads 5', /--fill-threads is .*expected 1 to 4, found 5/],
    ['--window 68K', /--window is .*4096 to 65536 bytes.*found 68K/],
    ['--fill off --fill-threads 2', /--fill-threads has no effect with --fill off/],
  ])('refuses %s', (text, message) => {
    expect(() => flags(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect(() => flags(text)).toThrow(message);
  });

  test('takes the last -D, or with --persist all of them', () => {
    expect(flags('-D /one -D /two').imageDirectories).toEqual(['/two']);
    expect(flags('--persist -D /one -D /two').imageDirectories).toEqual(['/one', '/two']);
    expect(() => flags('--persist -D /one -D /two -W /work')).toThrow(/work directory of several/);
  });

  test.each(['--page-server', '--stream', 'word', '-vx'])('refuses %s', (text) => {
    expect(() => flags(text)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
});
