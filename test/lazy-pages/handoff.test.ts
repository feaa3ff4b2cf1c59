/**
 * Once CRIU has connected, its tasks need the command that the user started no more: the pager takes
 * them over, serves them and brings in what they do not touch.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  type DumpedTarget,
  dumpTarget,
  endAll,
  endStarted,
  giveOrder,
  resetExchange,
} from '../support/criu.js';
import { until } from '../support/process-facts.js';
import { COMMANDS, complaints, TaskRestore } from '../support/task-restores.js';

const TASKS = 3;

afterAll(endAll);

describe.each([
  ['with rseq, whose tasks do not run before CRIU ends', []],
  // As those of musl, or of glibc before 2.35: they run as soon as CRIU has sent their uffds.
  ['without rseq', ['env', 'GLIBC_TUNABLES=glibc.pthread.rseq=0']],
])('an image %s', (_, prefix) => {
  let target: DumpedTarget;
  let run: TaskRestore;

  beforeAll(async () => {
    target = await dumpTarget(TASKS, prefix);
  });
  afterEach(() => {
    endStarted();
    resetExchange(target);
  });

  /** Stops the command when CRIU begins to announce tasks. */
  async function stopCommand(name: (typeof COMMANDS)[number]): Promise<void> {
    giveOrder(target, 'random');
    run = await TaskRestore.start(name, target.image, ['--fill-rate', '64M']);
    await run.handedOver();
    process.kill(run.node, 'SIGSTOP');
  }

  test.each(COMMANDS)('is restored while %s is stopped', async (name) => {
    await stopCommand(name);
    expect(await complaints(target)).toEqual([]);
    await until('all pages', () => !run.isMissing, 20_000); // not only those that were touched
    process.kill(run.node, 'SIGCONT');
    expect(await run.finish(target)).toEqual([]);
  });

  test.each(COMMANDS)('is restored, although %s is killed', async (name) => {
    await stopCommand(name);
    process.kill(run.node, 'SIGKILL');
    expect(await complaints(target)).toEqual([]);
    await until('the end of the pager', () => run.pager.ended, 20_000);
    expect(await run.finish(target)).toEqual([]);
  });
});
