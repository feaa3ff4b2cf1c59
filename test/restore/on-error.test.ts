/** What becomes of a host of which pages cannot be produced, by policy. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ThawError } from '../../src/errors.js';
import { packImage } from '../../src/pack/pack-image.js';
import { until, within } from '../support/process-facts.js';
import {
  fixturePath,
  readExpected,
  removeTemporary,
  temporaryDirectory,
  touchablePagesOf,
} from '../support/restore-fixtures.js';
import {
  begin,
  endTargets,
  noteChildren,
  startPager,
  taskOf,
  touchPages,
} from '../support/restore-targets.js';

beforeEach(noteChildren);
afterEach(endTargets);
afterEach(removeTemporary);

const SEQUENTIAL = { kind: 'sequential' } as const;
const [FAMILY_ROOT, ...FAMILY] = readExpected('family').tasks;

/** A packed image of which some of the payload, all of it lazy, was overwritten. */
async function damagedImage(fixture: string, pages: string): Promise<string> {
  const directory = join(temporaryDirectory(), 'packed');
  await packImage(fixturePath(fixture), directory, { checksums: true, jobs: 1 });
  const path = join(directory, pages);
  const bytes = readFileSync(path);
  const middle = bytes.length >> 1;
  const part = bytes.subarray(middle, middle + (bytes.length >> 3));
  part.set(part.map((byte) => byte ^ 1));
  writeFileSync(path, bytes);
  return directory;
}

function stateOf(pid: number): string {
  return /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1] ?? '?';
}

async function rejection(promise: Promise<unknown>): Promise<ThawError> {
  return within(promise.then(() => undefined).catch((error) => error));
}

describe('stop', () => {
  it('stops the host that would fail, which nobody waits for; the others go on', async () => {
    const directory = await damagedImage('family', 'pages-2.img');
    const restoration = await begin(directory, { fill: false, onError: 'stop' });
    const hosts = restoration.tasks.map(({ host }) => host.pid);
    const error = await rejection(restoration.touch(SEQUENTIAL));
    expect(error.code).toBe('TASK_STOPPED');
    await until('it stops', () => hosts.some((pid) => stateOf(pid) === 'T'));
    const stopped = hosts.filter((pid) => stateOf(pid) === 'T');
    expect(stopped).toHaveLength(1);
    expect(error.where).toContain(`host ${stopped[0]} of task `);
    expect(error.message).toContain('another checksum');
    expect((await rejection(restoration.verify())).code).toBe('TASK_STOPPED');
    for (const expected of [FAMILY_ROOT, ...FAMILY]) {
      if (expected === undefined) continue;
      const restored = taskOf(restoration, expected);
      if (stopped.includes(restored.host.pid)) continue;
      const pages = touchablePagesOf(expected);
      const found = await within(touchPages(restored, pages));
      expect(found).toEqual(pages.map((vaddr) => expected.stored.get(vaddr)));
    }
  });

  it('stops for what the fill finds, and all that is right comes in nevertheless', async () => {
    const directory = await damagedImage('pattern', 'pages-2.img');
    const restoration = await begin(directory, { fill: true, onError: 'stop' });
    await within(restoration.resident);
    const [{ host }] = restoration.tasks as [(typeof restoration.tasks)[0]];
    await until('it stops', () => stateOf(host.pid) === 'T');
    expect(restoration.pageErrors.length).toBeGreaterThan(0);
    for (const error of restoration.pageErrors) expect(error.hint).toContain('was stopped');
  });
});

it('kill: the host is gone, and the reason was told before', async () => {
  const directory = await damagedImage('pattern', 'pages-2.img');
  const restoration = await begin(directory, { fill: false, onError: 'kill' });
  const error = await rejection(restoration.touch(SEQUENTIAL));
  expect(error.code).toBe('HOST_LOST');
  expect(error.message).toMatch(/was killed, since pages of it cannot be produced .*checksum/s);
  expect(await rejection(restoration.resident)).toEqual(error);
  expect(restoration.pageErrors[0]?.code).toBe('CHECKSUM_MISMATCH');
  expect(restoration.pageErrors[0]?.hint).toContain('was killed');
});

it('is refused where there is no such policy', async () => {
  const pager = await startPager();
  const onError = 'ignore' as 'kill';
  const error = await rejection(begin('pattern', { pager, onError }));
  expect(error.code).toBe('INVALID_ARGUMENT');
  expect(error.expected).toBe('poison, stop, kill');
});
