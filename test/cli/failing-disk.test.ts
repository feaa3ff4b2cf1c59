/** What `thaw restore` does and says when the disk of the image errors. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { until } from '../support/process-facts.js';
import { RunningCommand } from '../support/run-thaw.js';

const SOURCE = fileURLToPath(new URL('../targets/failing-disk.c', import.meta.url));
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'thaw-disk-'));
  const library = join(directory, 'failing-disk.so');
  execFileSync('gcc', ['-O1', '-shared', '-fPIC', '-o', library, SOURCE]);
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Runs the command with a disk that errors for as long as the file `failing` is there. */
function runOnFailingDisk(...args: string[]): { command: RunningCommand; failing: string } {
  const failing = join(directory, 'failing');
  writeFileSync(failing, '');
  process.env.LD_PRELOAD = join(directory, 'failing-disk.so');
  process.env.THAW_TEST_FAILING_DISK = failing;
  try {
    return { command: new RunningCommand(args), failing };
  } finally {
    delete process.env.LD_PRELOAD;
    delete process.env.THAW_TEST_FAILING_DISK;
  }
}

it.each([
  ['pattern', []],
  ['pattern-lz4-region', ['--fill', 'off', '--access', 'random']],
])('restore of %s waits for a disk that errors for a while, and says so', async (name, options) => {
  const image = `fixtures/${name}`;
  const { command, failing } = runOnFailingDisk('restore', image, '--verify', '--json', ...options);
  await until('it says so', () => command.stderr.includes('it is tried again'), 10_000);
  expect(command.stderr).toMatch(/^thaw: EIO when reading .*pages-2\.img, byte \d+\): it is tried/);
  rmSync(failing);
  const { status, stdout } = await command.done;
  expect(status).toBe(0);
  expect(JSON.parse(stdout).tasks[0]).toMatchObject({ verified: 381, mismatched: 0 });
});

it('restore gives up on a disk that is gone, within seconds, with every page told', async () => {
  const { command } = runOnFailingDisk('restore', 'fixtures/pattern', '--json');
  const { status, stdout, stderr } = await command.done;
  expect(status).toBe(1);
  expect(stderr).toMatch(/thaw: PAGE_FAILED: .* cannot be produced: found EIO when reading/);
  const { tasks, errors } = JSON.parse(stdout);
  expect(tasks[0].resident).toBe(tasks[0].eager);
  expect(errors.length).toBeGreaterThan(0);
});
