import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runThaw } from '../support/run-thaw.js';

const COMMANDS = [
  ...['restore', 'inspect', 'verify', 'pack', 'unpack', 'lazy-pages', 'page-server', 'check'],
];

it('is a program of its own once it is built', () => {
  const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  expect(execFileSync(program, ['--help'], { encoding: 'utf8' })).toContain('Usage: thaw ');
});

it('names every command', async () => {
  const { status, stdout } = await runThaw('--help');
  expect(status).toBe(0);
  const [, list = ''] = stdout.split('Commands:\n');
  const named = list.match(/^ {2}\S+/gm)?.map((name) => name.trim());
  expect(named).toEqual([...COMMANDS, 'help']);
});

it.each(['', ...COMMANDS])('thaw %s --help fits a terminal of 80 columns', async (command) => {
  const { status, stdout, stderr } = await runThaw(...`${command} --help`.trim().split(' '));
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toContain(`Usage: thaw ${command}`);
  expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
});
