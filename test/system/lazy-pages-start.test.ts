/** How `thaw lazy-pages` starts: configuration files, action scripts, and what it says when it cannot. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { endAll, endStarted, makeDirectory, startThaw } from '../support/criu.js';
import { runningComm, until, within } from '../support/process-facts.js';

const IMAGE = fileURLToPath(new URL('../../fixtures/redis', import.meta.url));
const SOCKET = 'lazy-pages.socket';

let work: string;
beforeEach(() => {
  work = makeDirectory();
});
afterEach(endStarted);
afterAll(endAll);

const at = (name: string): string => join(work, name);
const read = (name: string): string => readFileSync(at(name), 'utf8');

function lazyPages(...options: string[]) {
  const place = ['--no-default-config', '-D', IMAGE, '-W', work, '-o', 'lazy.log', '-v3'];
  return startThaw(['lazy-pages', ...place, ...options]);
}

function script(name: string, ...lines: string[]): string {
  writeFileSync(at(name), ['#!/bin/sh', ...lines, ''].join('\n'));
  chmodSync(at(name), 0o755);
  return name;
}

test('a configuration file says what the command line does not', async () => {
  const started = at('started');
  script('ready', `echo ready > ${started}`);
  writeFileSync(at('my.conf'), `# for tests\nimages-dir "${IMAGE}"\nlog-file other.log\n`);
  const args = ['lazy-pages', '--config', at('my.conf'), '-W', work, '--action-script', './ready'];
  const daemon = startThaw(args);
  await until('the script', () => existsSync(started));
  expect(existsSync(at('other.log'))).toBe(true);
  daemon.child.kill('SIGTERM');
  expect(await within(daemon.ended, 10_000)).toBe(143);
});

describe('action scripts', () => {
  test('run when the socket is there, the last named first, and their output is logged', async () => {
    const facts = 'echo "$1:$CRTOOLS_SCRIPT_ACTION:$CRTOOLS_IMAGE_DIR:$(pwd):$(ls -d *.socket)"';
    script('first', facts, 'echo first >> order');
    script('second', 'echo second >> order');
    const daemon = lazyPages('--action-script', './first', '--action-script', './second');
    await until('the script', () => existsSync(at('order')) && read('order').includes('first'));
    expect(read('order')).toBe('second\nfirst\n');
    expect(read('lazy.log')).toContain(`:status-ready:${IMAGE}:${work}:${SOCKET}\n`);
    daemon.child.kill('SIGTERM');
    expect(await within(daemon.ended, 10_000)).toBe(143);
  });

  test.each([
    ['one that fails', () => script('bad', 'exit 3'), 'found status 3 (./bad)'],
    ['one that is killed', () => script('bad', 'kill -9 $$'), 'found SIGKILL (./bad)'],
    ['one that is not there', () => 'bad', 'found ENOENT (./bad)'],
  ])('%s ends the daemon, and nothing is left', async (_, make, found) => {
    const name = make();
    const daemon = lazyPages('--action-script', `./${name}`);
    expect(await within(daemon.ended, 10_000)).toBe(1);
    expect(read('lazy.log')).toContain('Error: SCRIPT_FAILED: an action script failed');
    expect(read('lazy.log')).toContain(found);
    expect(existsSync(at(SOCKET))).toBe(false);
  });

  test('with --daemon a failure is the starter’s', async () => {
    script('bad', 'exit 3');
    const options = ['--daemon', '--pidfile', 'lazy.pid', '--action-script', './bad'];
    expect(await within(lazyPages(...options).ended, 10_000)).toBe(1);
    expect(existsSync(at(SOCKET))).toBe(false);
    expect(existsSync(at('lazy.pid'))).toBe(false);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s ends one that hangs, with its children',
    async (signal) => {
      script('hang', 'trap "" TERM', 'sleep 600 & echo $! > pids', 'echo $$ >> pids', 'wait');
      const daemon = lazyPages('--action-script', './hang');
      await until(
        'the script',
        () => existsSync(at('pids')) && read('pids').split('\n').length === 3,
      );
      daemon.child.kill(signal);
      expect(await within(daemon.ended, 10_000)).toBe(signal === 'SIGTERM' ? 143 : 130);
      for (const pid of read('pids').trim().split('\n').map(Number)) {
        await until(`the end of ${pid}`, () => runningComm(pid) === undefined);
      }
      expect(existsSync(at(SOCKET))).toBe(false);
    },
  );
});
