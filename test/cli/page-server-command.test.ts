/** `thaw page-server` as a user runs it, with a client of the tests' own. */
import { describe, expect, test } from 'vitest';
import { parsePageServerArguments } from '../../src/cli/page-server-arguments.js';

const parse = (text: string) => parsePageServerArguments(text.split(' ').filter(Boolean));

describe('parsePageServerArguments', () => {
  test('takes what CRIU takes', () => {
    expect(
      parse('--lazy-pages -D /one -D /two --address ::1 --port 77 -v4 --status-fd 5 --tcp-close'),
    ).toMatchObject({
      imageDirectories: ['/two'],
      address: '::1',
      port: 77,
      socketFd: undefined,
      headerLayout: undefined,
      verbosity: 4,
      statusFd: 5,
      persist: false,
    });
  });

  test('listens everywhere, at a free port, when nothing is said', () => {
    expect(parse('--lazy-pages --persist')).toMatchObject({ address: undefined, port: 0 });
  });

  test.each([
    ['--ps-header auto', undefined],
    ['--ps-header 24', 24],
    ['--ps-header=32', 32],
  ])('%s', (text, headerLayout) => {
    expect(parse(`--lazy-pages ${text}`).headerLayout).toBe(headerLayout);
  });

  test.each([
    ['-D /dump --port 1', /stores none: expected --lazy-pages.*criu page-server/],
    ['--lazy-pages --port 65536', /0 to 65535, found 65536/],
    ['--lazy-pages --port x', /found x/],
    ['--lazy-pages --ps-header 16', /expected 24, 32 or auto, found 16/],
    ['--lazy-pages --ps-socket 5 --port 3', /connection already/],
    ['--lazy-pages --ps-socket 5 --persist', /one client/],
    ['--lazy-pages --ps-socket five', /not a descriptor/],
    ['--lazy-pages word', /word/],
  ])('refuses %s', (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});
