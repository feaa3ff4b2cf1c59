/** The options by which `thaw lazy-pages` is told where pages come from. */
import { expect, test } from 'vitest';
import { parseLazyPagesFlags } from '../../src/cli/lazy-pages-flags.js';

const parse = (text: string) => parseLazyPagesFlags(text.split(' ')).pageServer;

test.each([
  ['-v4', undefined],
  ['--port 9 --address there', undefined],
  ['--page-server --no-page-server --port 9', undefined],
  ['--page-server --port 9', { address: 'localhost', port: 9 }],
  ['--page-server --address there --port 9', { address: 'there', port: 9 }],
  ['--page-server --port 9 --ps-header 32', { headerBytes: 32 }],
  ['--page-server --ps-socket 7', { socketFd: 7 }],
  ['--page-server --port 9 --tls --tls-cert /c', { tls: { certificate: '/c', verifyName: true } }],
  ['--page-server --port 9 --tls --tls-no-cn-verify', { tls: { verifyName: false } }],
  ['--page-server --port 9 --tls-cert /c', { tls: undefined }],
])('%s', (text, expected) => {
  if (expected === undefined) expect(parse(text)).toBeUndefined();
  else expect(parse(text)).toMatchObject(expected);
});

test('--ps-header auto leaves it to the image', () => {
  expect(parse('--page-server --port 9 --ps-header auto')).toEqual({
    address: 'localhost',
    port: 9,
  });
});

test.each([
  ['--page-server', /no --port/],
  ['--page-server --port 0', /1 to 65535, found 0/],
  ['--page-server --port 9 --ps-header 25', /24, 32 or auto, found 25/],
  ['--page-server --ps-socket x', /--ps-socket is not a descriptor.*found x/],
  ['--ps-socket 7 --port 9', /connection already/],
  ['--ps-socket 7 --persist', /serves one restore/],
])('%s is refused', (text, message) => {
  expect(() => parse(text)).toThrow(message);
});
