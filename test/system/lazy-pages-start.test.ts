/** How `thaw lazy-pages` starts: configuration files, action scripts, and what it says when it cannot. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { endAll, endStarted, makeDirectory, startThaw } from '../support/criu.js';
import { runningComm, until, within } from '../support/process-facts.js';
import { runThaw } from '../support/run-thaw.js';

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

/** Runs to the end, as root without any right of root's, so that modes of files count. */
function runWithoutRights(...args: string[]) {
  const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const command = ['--bounding-set=-all', '--inh-caps=-all', process.execPath, main, ...args];
  return spawnSync('setpriv', command, {
    encoding: 'utf8',
    timeout: 15_000,
    killSignal: 'SIGKILL',
  });
}

describe('says what is wrong and what to do', () => {
  const refused = async (code: string, words: RegExp, ...options: string[]) => {
    const daemon = startThaw([
      'lazy-pages',
      '--no-default-config',
      '-o',
      at('lazy.log'),
      ...options,
    ]);
    expect(await within(daemon.ended, 10_000)).toBe(1);
    expect(read('lazy.log')).toMatch(RegExp(`Error: ${code}: .*${words.source}`));
  };

  test('in a directory that is no image, is none, or is not there', async () => {
    const place = ['-W', work, '-D'];
    await refused('IMAGE_MISSING', /inventory.img\).*a complete CRIU image/, ...place, work);
    await refused('IMAGE_MISSING', /found something else/, ...place, at('lazy.log'));
    await refused('IMAGE_MISSING', /found nothing \(.*none\)/, ...place, at('none'));
    const noWork = ['-D', IMAGE, '-W', at('none')];
    await refused(
      'SOCKET_UNAVAILABLE',
      /ENOENT \(.*none\).*`criu restore` gets with -W/,
      ...noWork,
    );
  });

  test('when the socket’s name is taken by a file, or the work directory is read-only', async () => {
    writeFileSync(at(SOCKET), '');
    const place = ['-D', IMAGE, '-W', work];
    await refused(
      'SOCKET_UNAVAILABLE',
      /taken by something else.*another work directory/,
      ...place,
    );
    expect(read(SOCKET)).toBe('');
    rmSync(at(SOCKET));
    chmodSync(work, 0o555);
    const { status, stderr } = runWithoutRights('lazy-pages', '--no-default-config', ...place);
    expect(status).toBe(1);
    expect(stderr).toMatch(/SOCKET_UNAVAILABLE: .*EACCES .*The directory must be writable/);
  });

  test('when a file of the image is not for this user', () => {
    cpSync(IMAGE, at('image'), { recursive: true });
    chmodSync(at('image/pages-1.img'), 0);
    const place = ['--no-default-config', '-D', at('image'), '-W', work];
    const { status, stderr } = runWithoutRights('lazy-pages', ...place);
    expect(status).toBe(1);
    expect(stderr).toMatch(/IO_FAILED: .*EACCES \(.*pages-1.img\).*use sudo/);
  });

  test('when the socket is replaced or removed while nobody has come', async () => {
    const place = ['-D', IMAGE, '-W', work];
    for (const replace of [true, false]) {
      const daemon = lazyPages();
      await until(
        'the socket',
        () => existsSync(at(SOCKET)) && read('lazy.log').includes('waiting'),
      );
      const thief = createServer();
      if (replace) {
        // At once: between a removal and another's bind the daemon would see the removal.
        await new Promise<void>((done) => thief.listen(at('thief.socket'), done));
        renameSync(at('thief.socket'), at(SOCKET));
      } else {
        rmSync(at(SOCKET));
      }
      expect(await within(daemon.ended, 10_000)).toBe(1);
      const words = replace ? /replaced .*end one of the two/ : /removed .*Start the daemon again/;
      expect(read('lazy.log')).toMatch(words);
      expect(existsSync(at(SOCKET))).toBe(replace);
      if (!replace) continue;
      await refused('SOCKET_UNAVAILABLE', /another lazy-pages daemon listens.*End it/, ...place);
      await new Promise((done) => thief.close(done));
    }
  });

  test('but nothing when a killed daemon left its socket', async () => {
    const first = lazyPages();
    await until('the socket', () => existsSync(at(SOCKET)));
    first.child.kill('SIGKILL');
    await first.ended;
    expect(existsSync(at(SOCKET))).toBe(true);
    rmSync(at('lazy.log'), { force: true });
    const second = lazyPages();
    await until('the second', () => {
      return existsSync(at('lazy.log')) && read('lazy.log').includes('waiting for criu restore');
    });
    second.child.kill('SIGTERM');
    expect(await within(second.ended, 10_000)).toBe(143);
    expect(read('lazy.log')).not.toContain('Error');
  });

  test.each([
    [
      'too old',
      ['echo "Version: 3.15"', 'exit 1'],
      /CRIU 4\.0 or later, found CRIU 3\.15 \(.*old\)/,
    ],
    ['no CRIU', ['exit 0'], /CRIU 4\.0 or later, found no version \(.*--criu PATH/],
  ])('when the command of CRIU is %s', async (_, lines, words) => {
    const criu = at(script('old', ...lines));
    const { status, stderr } = await runThaw(
      'restore',
      IMAGE,
      '--restorer',
      'criu',
      '--criu',
      criu,
    );
    expect(status).toBe(1);
    expect(stderr).toMatch(words);
    expect(stderr).toMatch(/^thaw: CRIU_MISSING: /);
  });
});
