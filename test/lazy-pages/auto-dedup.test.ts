/** `thaw lazy-pages --auto-dedup`: the disk gets back what has been restored, and nothing else. */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, linkSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { Checkpoint } from '../../src/image/checkpoint.js';
import type { LiveTask } from '../../src/image/task.js';
import { freeServedPages } from '../../src/lazy-pages/auto-dedup.js';
import { serveAsMarked, toServedImage } from '../../src/lazy-pages/served-image.js';
import { planRestore } from '../../src/plan/plan-restore.js';
import { EXTENT_KIND } from '../../src/plan/restore-plan.js';
import {
  type DumpedTarget,
  dumpTarget,
  endAll,
  endStarted,
  endTasks,
  giveOrder,
  makeDirectory,
  resetExchange,
  restoreWithCriu,
  results,
  type Started,
  startThaw,
} from '../support/criu.js';
import { until, within } from '../support/process-facts.js';

const TASKS = 2;
const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url));

let target: DumpedTarget;
let image: string;
let work: string;

beforeAll(async () => {
  target = await dumpTarget(TASKS);
});
beforeEach(() => {
  work = makeDirectory();
  image = join(makeDirectory(), 'image');
  cpSync(target.image, image, { recursive: true });
});
afterEach(() => {
  endStarted();
  resetExchange(target);
});
afterAll(endAll);

const log = (): string => readFileSync(join(work, 'lazy.log'), 'utf8');
const pagesImages = (): string[] => readdirSync(image).filter((name) => /^pages-\d/.test(name));
const diskBytes = (): number =>
  pagesImages().reduce((sum, name) => sum + statSync(join(image, name)).blocks * 512, 0);
const digest = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex');
const contents = (): string[] => pagesImages().map((name) => digest(join(image, name)));
const sizes = (): number[] => pagesImages().map((name) => statSync(join(image, name)).size);

function raise(): never {
  throw new Error('not there');
}

/** The bytes of an extent; none of a hole. */
async function readStored(
  checkpoint: Checkpoint,
  task: LiveTask,
  vaddr: bigint,
  pageCount: number,
  kind: number | undefined,
): Promise<Buffer> {
  if (kind === EXTENT_KIND.hole) return Buffer.alloc(0);
  return Buffer.from(await checkpoint.readPages(task, vaddr, pageCount));
}

async function serve(...options: string[]): Promise<Started> {
  const place = ['-D', image, '-W', work, '-o', 'lazy.log', '-v3', '--no-default-config'];
  const daemon = startThaw(['lazy-pages', ...place, '--auto-dedup', ...options]);
  await until('the socket', () => existsSync(join(work, 'lazy-pages.socket')));
  return daemon;
}

async function restoreAndVerify(scenario: string): Promise<Started> {
  const restored = restoreWithCriu(image, { lazy: true, workDirectory: work });
  giveOrder(target, scenario);
  for (const result of await results(target, TASKS)) expect(result).toMatch(/^ok \d+$/);
  return restored;
}

test('frees the lazy pages after the restore, and the tasks have them', async () => {
  const before = diskBytes();
  const sizesBefore = sizes();
  const daemon = await serve();
  const restored = await restoreAndVerify('random');
  expect(await within(daemon.ended, 30_000)).toBe(0);
  expect(diskBytes()).toBeLessThan(before / 10);
  expect(sizes()).toEqual(sizesBefore);
  expect(log()).toMatch(/pages-\d\.img: [\d.]+ MiB freed/);
  await endTasks(target.pids, restored);
});

test('with --daemon too: the process of the pidfile frees them', async () => {
  const before = diskBytes();
  const starter = await serve('--daemon', '--pidfile', 'lazy.pid');
  expect(await within(starter.ended, 20_000)).toBe(0);
  const pid = Number(readFileSync(join(work, 'lazy.pid'), 'latin1'));
  const restored = await restoreAndVerify('sequential');
  await until('the end of the daemon', () => !existsSync(`/proc/${pid}`), 30_000);
  expect(diskBytes()).toBeLessThan(before / 10);
  await endTasks(target.pids, restored);
});

test('leaves a file alone that has another name', async () => {
  for (const name of pagesImages()) linkSync(join(image, name), join(work, name));
  const before = contents();
  const daemon = await serve();
  const restored = await restoreAndVerify('random');
  expect(await within(daemon.ended, 30_000)).toBe(0);
  expect(contents()).toEqual(before);
  expect(log()).toContain('stays as it is: it has other names');
  await endTasks(target.pids, restored);
});

test('leaves the file of a task alone that did not get all of its pages', async () => {
  await using checkpoint = await Checkpoint.open(image);
  const before = contents();
  const outcomes = freeServedPages(serveAsMarked(checkpoint), new Set(target.pids.slice(0, 1)));
  const kept = `task ${target.pids[1]} did not get all of its pages`;
  expect(outcomes.filter((outcome) => outcome.kept === undefined)).toHaveLength(1);
  expect(outcomes.find((outcome) => outcome.kept !== undefined)).toMatchObject({ kept });
  expect(contents().filter((bytes) => before.includes(bytes)).length).toBe(before.length - 1);
});

test('frees no page of a parent, and exactly the lazy ones of the dump itself', async () => {
  const chain = makeDirectory();
  cpSync(join(FIXTURES, 'pattern-parent-chain'), chain, { recursive: true });
  const layers = readdirSync(chain).filter((name) => name !== 'top');
  const parents = () =>
    layers.flatMap((layer) =>
      readdirSync(join(chain, layer))
        .filter((name) => name.endsWith('.img'))
        .map((name) => digest(join(chain, layer, name))),
    );
  const before = parents();
  await using checkpoint = await Checkpoint.open(join(chain, 'top'));
  const task = checkpoint.tasks[0] as LiveTask;
  const plan = planRestore(checkpoint);
  const { vaddr, pageCount, kind, source } = plan.tasks[0]?.extents ?? raise();
  const original = await Promise.all(
    [...vaddr].map((start, row) =>
      readStored(checkpoint, task, start, pageCount[row] ?? 0, kind[row]),
    ),
  );
  const [outcome] = freeServedPages(toServedImage(checkpoint, plan), new Set([task.pid]));
  expect(outcome?.kept).toBeUndefined();
  expect(parents()).toEqual(before);
  for (const [row, start] of vaddr.entries()) {
    const now = await readStored(checkpoint, task, start, pageCount[row] ?? 0, kind[row]);
    const path = plan.sources[source[row] ?? 0]?.path ?? '';
    const freed = kind[row] === EXTENT_KIND.data && path === outcome?.path;
    expect(now.equals(freed ? Buffer.alloc(now.length) : (original[row] ?? raise()))).toBe(true);
  }
});

test('leaves an image alone that serves on', async () => {
  const before = contents();
  const daemon = await serve('--persist');
  const restored = await restoreAndVerify('random');
  await endTasks(target.pids, restored);
  daemon.child.kill('SIGTERM');
  expect(await within(daemon.ended, 10_000)).toBe(143);
  expect(contents()).toEqual(before);
  expect(log()).toContain('--auto-dedup has no effect with --persist');
});
