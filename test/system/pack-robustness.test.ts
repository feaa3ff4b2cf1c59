/** `thaw pack` and `thaw unpack` when something comes in between. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PAGE, writeImage } from '../support/image-builder.js';
import { fingerprint, readModel } from '../support/image-model.js';
import { until } from '../support/process-facts.js';
import { fixturePath, removeTemporary, temporaryDirectory } from '../support/restore-fixtures.js';
import { RunningCommand, runThaw } from '../support/run-thaw.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WAIT_MS_MAX = 10_000;

let directory: string;
const commands: RunningCommand[] = [];

beforeEach(() => {
  directory = temporaryDirectory();
});

afterEach(() => {
  for (const { child } of commands.splice(0)) child.kill('SIGKILL');
  removeTemporary();
});

/** An image of 32 GiB that takes no room, but seconds to read. */
function writeLongImage(): string {
  const image = join(directory, 'image');
  const start = 0x10_0000_0000n;
  const pageCount = 8 * 2 ** 20;
  writeImage(image, {
    tasks: [
      {
        pid: 1000,
        vmas: [{ start, end: start + BigInt(pageCount) * BigInt(PAGE) }],
        pagemap: {
          pagesId: 1,
          entries: [{ vaddr: start, pageCount, flags: 6 }],
          payload: new Uint8Array(0),
        },
      },
    ],
  });
  truncateSync(join(image, 'pages-1.img'), pageCount * PAGE);
  return image;
}

/** Begins to pack, and returns once pages are on their way. */
async function startPacking(...options: string[]): Promise<RunningCommand> {
  const command = new RunningCommand([
    'pack',
    writeLongImage(),
    join(directory, 'out'),
    ...options,
  ]);
  commands.push(command);
  const begun = (): boolean =>
    readdirSync(directory).some(
      (name) => name.startsWith('.out.thaw-') && existsSync(join(directory, name, 'pages-1.img')),
    );
  await until('pages of the output', begun, WAIT_MS_MAX);
  return command;
}

describe('a signal in the middle of packing', () => {
  it.each([
    ['SIGINT', '1', 130],
    ['SIGINT', '3', 130],
    ['SIGTERM', '2', 143],
  ] as const)('%s with %s jobs leaves nothing', async (signal, jobs, status) => {
    const command = await startPacking('--jobs', jobs);
    command.child.kill(signal);
    expect(await command.done).toMatchObject({ status, stdout: '' });
    expect(readdirSync(directory)).toEqual(['image']);
  });

  it('SIGKILL leaves no half image, and nothing in the way of the next try', async () => {
    const command = await startPacking('--jobs', '2');
    command.child.kill('SIGKILL');
    expect(await command.done).toMatchObject({ signal: 'SIGKILL' });
    const left = readdirSync(directory).filter((name) => name !== 'image');
    expect(left).toEqual([expect.stringMatching(/^\.out\.thaw-\w{6}$/)]);
    const out = join(directory, 'out');
    expect(await runThaw('pack', fixturePath('redis'), out)).toMatchObject({ status: 0 });
    expect(await runThaw('verify', out)).toMatchObject({ status: 0 });
    expect(readdirSync(directory).sort()).toEqual([...left, 'image', 'out']);
  });
});

/** Runs `script` with $thaw as the command where $disk is a tmpfs of its own, of `size`. */
function runOnOwnDisk(size: string, script: string) {
  const disk = join(directory, 'disk');
  mkdirSync(disk);
  const whole = `mount -t tmpfs -o size=${size} none "$disk" && ${script}`;
  // The mount is in a namespace of its own, and goes with its last process.
  return spawnSync('unshare', ['--mount', 'sh', '-c', whole], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, disk, thaw: `${process.execPath} dist/cli/main.js` },
    timeout: 15_000,
    killSignal: 'SIGKILL',
  });
}

describe('the place of the output', () => {
  it.each([
    ['pack', fixturePath('redis'), '512k'],
    ['unpack', fixturePath('pattern-lz4-page'), '1m'],
  ])('when it becomes full, %s fails and leaves nothing', (command, image, size) => {
    const script = `$thaw ${command} ${image} "$disk/out"; echo "status $?"; ls -A "$disk"`;
    const { stdout, stderr } = runOnOwnDisk(size, script);
    expect(stdout).toBe('status 1\n');
    expect(stderr).toMatch(/^thaw: IO_FAILED: .*ENOSPC.*\/disk\/\.out\.thaw-.*\n$/);
  });

  it('may be on another file system than the image', () => {
    const script = `$thaw pack ${fixturePath('family')} "$disk/out" && $thaw verify "$disk/out"`;
    const { status, stdout, stderr } = runOnOwnDisk('64m', script);
    expect(stderr).toBe('');
    expect(stdout).toContain('305 pages');
    expect(stdout).toContain('nothing wrong');
    expect(status).toBe(0);
  });

  it('has to be in a directory that exists', async () => {
    const parent = join(directory, 'none');
    const result = await runThaw('pack', fixturePath('redis'), join(parent, 'out'));
    expect(result.status).toBe(1);
    expect(result.stderr).toBe(
      'thaw: IO_FAILED: a file of the output cannot be written: ' +
        `found ENOENT: no such file or directory (${parent})\n`,
    );
    expect(existsSync(parent)).toBe(false);
  });
});

function filesOf(path: string): Map<string, string> {
  return new Map(
    readdirSync(path)
      .sort()
      .map((name) => [name, readFileSync(join(path, name)).toString('hex')]),
  );
}

describe('images that were compressed before', () => {
  it.each(['pattern-lz4-page', 'pattern-lz4-region'])(
    'unpack makes %s plain, whoever packed it',
    async (name) => {
      const out = join(directory, 'out');
      expect(await runThaw('unpack', fixturePath(name), out)).toMatchObject({ status: 0 });
      const restored = await runThaw('restore', out, '--verify', '--json');
      expect(JSON.parse(restored.stdout).tasks[0]).toMatchObject({ verified: 381, mismatched: 0 });
      const { stdout } = await runThaw('inspect', out, '--json');
      expect(JSON.parse(stdout).inventory).toMatchObject({ compress: 'off' });
      const plain = fingerprint(readModel(fixturePath('pattern'), '31001'));
      expect(fingerprint(readModel(out, '31001'))).toEqual(plain);
    },
  );

  it('pack in another form, and still unpack to the bytes of the first', async () => {
    const image = fixturePath('family');
    const [first = '', second = '', plain = ''] = ['a', 'b', 'c'].map((n) => join(directory, n));
    expect(await runThaw('pack', image, first)).toMatchObject({ status: 0 });
    expect(await runThaw('pack', first, second, '--region', '1M')).toMatchObject({ status: 0 });
    expect(await runThaw('unpack', second, plain)).toMatchObject({ status: 0 });
    expect(filesOf(plain)).toEqual(filesOf(image));
  });
});
