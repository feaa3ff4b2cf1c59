/** The built package as `npm install --ignore-scripts` leaves it: nothing native is there. */
import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeTempDirectory } from '../support/image-builder.js';
import { type CommandResult, RunningCommand } from '../support/run-thaw.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const IMAGE = 'fixtures/pattern';
const copy = makeTempDirectory();

beforeAll(() => {
  for (const part of ['dist', 'package.json']) {
    cpSync(join(ROOT, part), join(copy.path, part), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy.path, 'node_modules'));
});
afterAll(() => copy.remove());

function runCopy(...args: string[]): Promise<CommandResult> {
  return new RunningCommand(args, join(copy.path, 'dist/cli/main.js')).done;
}

it.each([
  '--help',
  '--version',
  'restore --help',
  'lazy-pages --help',
  'page-server --version',
  `inspect ${IMAGE}`,
  `verify ${IMAGE}`,
])('thaw %s works', async (line) => {
  const { status, stdout, stderr } = await runCopy(...line.split(' '));
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).not.toBe('');
});

it.each(['nonsense', 'restore', `restore ${IMAGE} --fill nonsense`])(
  'thaw %s is wrong usage',
  async (line) => {
    const { status, stdout, stderr } = await runCopy(...line.split(' '));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^error: /);
  },
);

it('thaw check finds what is missing, and does not guess at the rest', async () => {
  const { status, stdout, stderr } = await runCopy('check', '--json');
  expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
  const { ok, findings } = JSON.parse(stdout);
  expect(ok).toBe(false);
  const missing = findings.filter((finding: { need: string; ok: boolean }) => {
    return finding.need === 'required' && !finding.ok;
  });
  expect(missing).toMatchObject([
    {
      name: 'thaw.node',
      found: expect.stringContaining('Cannot find module'),
      advice: expect.stringContaining('npm rebuild'),
    },
    { name: 'thaw-pager' },
    { name: 'thaw-host' },
  ]);
  expect(findings.map(({ name }: { name: string }) => name)).toContain('kernel');
  expect(stdout).not.toContain('not offered');
});

it('thaw check tells it to people as well', async () => {
  const { status, stdout, stderr } = await runCopy('check');
  expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
  expect(stdout).toMatch(/^MISSING {2}thaw\.node: /m);
  expect(stdout).toMatch(/^ {11}- installed with --ignore-scripts: run `npm rebuild/m);
  expect(stdout).toMatch(/\nthaw restore does not work here\n$/);
});

it.each([
  `restore ${IMAGE}`,
  `restore ${IMAGE} --restorer criu`,
  `lazy-pages -D ${IMAGE} -W ${copy.path}`,
  `lazy-pages -D ${IMAGE} -W ${copy.path} --daemon`,
])('thaw %s says what is missing, without a stack', async (line) => {
  const { status, stdout, stderr } = await runCopy(...line.split(' '));
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toMatch(/^(?:thaw|\([\d.]+\) Error): NATIVE_MISSING: /);
  expect(stderr.match(/NATIVE_MISSING/g)).toHaveLength(1);
  expect(stderr).not.toMatch(/^ +at /m);
});

it.each(['host', 'criu'])('thaw restore --json --restorer %s is an object', async (restorer) => {
  const args = ['restore', IMAGE, '--json', '--restorer', restorer];
  const { status, stdout, stderr } = await runCopy(...args);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^thaw: NATIVE_MISSING: /);
  const { tasks, errors } = JSON.parse(stdout);
  expect({ tasks, errors }).toMatchObject({ tasks: [], errors: [{ code: 'NATIVE_MISSING' }] });
});

it('the library reads images and serves them, and fails where it needs the addon', async () => {
  const program = join(copy.path, 'program.mjs');
  writeFileSync(
    program,
    `import { Checkpoint, CriuPageServer, Mapping, restore } from './dist/index.js';
    const checkpoint = await Checkpoint.open('${IMAGE}');
    const server = new CriuPageServer(checkpoint);
    await server.listen({ address: '127.0.0.1', port: 0 });
    await server.close();
    const tell = ({ name, code }) => console.log(name, code);
    await restore(checkpoint).catch(tell);
    await checkpoint.close();
    try { Mapping.anonymous(4096); } catch (error) { tell(error); }`,
  );
  const { status, stdout, stderr } = await new RunningCommand([], program).done;
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toBe('ThawError NATIVE_MISSING\n'.repeat(2));
});
