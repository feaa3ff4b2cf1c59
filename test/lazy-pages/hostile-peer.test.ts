/** Peers that are no `criu restore`: each is refused with a reason, and the server goes on. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { LazyPagesServer } from '../../src/lazy-pages/lazy-pages-server.js';
import { serveAsMarked } from '../../src/lazy-pages/served-image.js';
import { Pager } from '../../src/servicer/pager.js';
import { endAll, makeDirectory } from '../support/criu.js';
import { openDescriptors, within } from '../support/process-facts.js';
import { fixturePath } from '../support/restore-fixtures.js';

let pager: Pager;
let server: LazyPagesServer;
let pid: number;

beforeEach(async () => {
  await using checkpoint = await Checkpoint.open(fixturePath('pattern'));
  const image = serveAsMarked(checkpoint);
  pid = [...image.plans.keys()][0] ?? 0;
  pager = await Pager.start();
  server = LazyPagesServer.listen({ image, pager, workDirectory: makeDirectory(), persist: true });
});
afterEach(async () => {
  await server.close();
  await pager.close();
  endAll();
});

/** What the server says when a peer runs `script`, which has the connected socket `s`. */
async function refusalOf(script: string): Promise<ThawError> {
  const refused = new Promise<ThawError>((resolve) => {
    server.once('refused', (error) => resolve(error as ThawError));
  });
  const setUp = `import socket, struct, os
s = socket.socket(socket.AF_UNIX)
s.connect(${JSON.stringify(server.socketPath)})
word = lambda value: struct.pack('=i', value)
`;
  execFileSync('python3', ['-c', setUp + script], { timeout: 10_000 });
  const error = await within(refused, 5_000);
  expect(server.sessions.size).toBe(0);
  expect(existsSync(server.socketPath)).toBe(true);
  return error;
}

describe('is refused', () => {
  test('a pipe for a userfaultfd', async () => {
    const error = await refusalOf(
      `s.send(word(${pid})); socket.send_fds(s, [b'\\0'], [os.pipe()[0]])`,
    );
    expect(error.code).toBe('PAGER_REFUSED');
    expect(error.message).toContain('not a userfaultfd');
  });

  test('two descriptors for one task, and none', async () => {
    const two = await refusalOf(`s.send(word(${pid})); socket.send_fds(s, [b'\\0'], os.pipe())`);
    expect(two).toMatchObject({
      code: 'HANDOFF_MALFORMED',
      found: `2 descriptors for task ${pid}`,
    });
    const none = await refusalOf(`s.send(word(${pid})); s.send(b'\\0')`);
    expect(none).toMatchObject({
      code: 'HANDOFF_MALFORMED',
      found: `0 descriptors for task ${pid}`,
    });
  });

  test('a descriptor with the pid, instead of behind it', async () => {
    const error = await refusalOf(`socket.send_fds(s, [word(${pid})], [0])`);
    expect(error.code).toBe('HANDOFF_MALFORMED');
  });

  test('half a message', async () => {
    expect(await refusalOf(`s.send(b'\\1\\2')`)).toMatchObject({ code: 'HANDOFF_MALFORMED' });
    expect(await refusalOf(`s.send(word(${pid}))`)).toMatchObject({ code: 'HANDOFF_MALFORMED' });
  });

  test('a task that the image does not have, has not so, or pid 0', async () => {
    for (const value of [pid + 1, -pid, 0]) {
      const error = await refusalOf(
        `s.send(word(${value}))\ntry: socket.send_fds(s, [b'\\0'], [0])\nexcept OSError: pass`,
      );
      expect(error.code).toBe('HANDOFF_MALFORMED');
    }
  });

  test('the word that all is restored, before it is', async () => {
    const error = await refusalOf(`s.send(word(0x52535446))`);
    expect(error.message).toContain('before all of its tasks were there');
  });

  test('who hangs up without a word', async () => {
    expect(await refusalOf('s.close()')).toMatchObject({ code: 'RESTORE_FAILED' });
  });
});

test('leaves no descriptor behind', async () => {
  await refusalOf('s.close()');
  const before = openDescriptors().length;
  for (let round = 0; round < 20; round++) {
    await refusalOf(`s.send(word(${pid})); socket.send_fds(s, [b'\\0'], os.pipe())`);
  }
  expect(openDescriptors()).toHaveLength(before);
});
