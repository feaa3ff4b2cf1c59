/** What `thaw restore` does and says when the disk of the image errors. */
import { afterAll, expect, it } from 'vitest';
import { FailingDisk, removeDisks } from '../support/failing-disk.js';
import { until } from '../support/process-facts.js';
import { RunningCommand } from '../support/run-thaw.js';

afterAll(removeDisks);

/** Runs the command with a disk that errors already. */
function runOnFailingDisk(...args: string[]): { command: RunningCommand; disk: FailingDisk } {
  const disk = new FailingDisk();
  disk.fail();
  return { command: disk.runOn(() => new RunningCommand(args)), disk };
}

it.each([
  ['pattern', []],
  ['pattern-lz4-region', ['--fill', 'off', '--access', 'random']],
])('restore of %s waits for a disk that errors for a while, and says so', async (name, options) => {
  const image = `fixtures/${name}`;
  const { command, disk } = runOnFailingDisk('restore', image, '--verify', '--json', ...options);
  await until('it says so', () => command.stderr.includes('it is tried again'), 10_000);
  expect(command.stderr).toMatch(/^thaw: EIO when reading .*pages-2\.img, byte \d+\): it is tried/);
  disk.heal();
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
