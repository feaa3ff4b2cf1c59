import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { killProcessTree } from '../../src/lazy-pages/process-tree.js';
import { childrenOf, groupOf, until, within } from '../support/process-facts.js';

let root: ChildProcess;

/** Starts a script as the leader of a process group of its own. */
function startGroup(script: string): number {
  root = spawn('bash', ['-c', script], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  if (root.pid === undefined) throw new Error('bash did not start');
  return root.pid;
}

afterEach(() => {
  for (const pid of groupOf(root.pid ?? -1)) process.kill(pid, 'SIGKILL');
});

describe('a process tree is killed', () => {
  test('with the children that it starts meanwhile', async () => {
    for (let round = 0; round < 20; round += 1) {
      const pid = startGroup('while :; do (sleep 60 & sleep 60) & done');
      await until('children', () => childrenOf(pid).length > 3);
      await within(killProcessTree(pid));
      expect(groupOf(pid)).toEqual([]);
    }
  });

  test('and has let go of its memory then', async () => {
    const child = 'import time; b = b"x" * 500_000_000; print("ready", flush=True); time.sleep(60)';
    const pid = startGroup(`python3 -c '${child}' & wait`);
    await within(once(root.stdout ?? root, 'data'));
    await within(killProcessTree(pid));
    expect(groupOf(pid)).toEqual([]);
  });

  test('when it has ended by itself', async () => {
    const pid = startGroup('true');
    await within(once(root, 'exit'));
    await within(killProcessTree(pid));
  });
});
