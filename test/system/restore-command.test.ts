/** `thaw restore` where its surroundings change: signals, killed processes, missing rights, output. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { childrenOf, runningComm, until } from '../support/process-facts.js';
import { RunningCommand } from '../support/run-thaw.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const commands: RunningCommand[] = [];

afterEach(() => {
  for (const { child } of commands.splice(0)) child.kill('SIGKILL');
});

function start(...args: string[]): RunningCommand {
  const command = new RunningCommand(args);
  commands.push(command);
  return command;
}

async function expectGone(pids: readonly number[]): Promise<void> {
  const left = (): number[] => pids.filter((pid) => runningComm(pid)?.startsWith('thaw-'));
  await until('the end of what the command started', () => left().length === 0);
}

describe('thaw restore and signals', () => {
  it.each([
    ['all of its pager', 'thaw-keeper', 'PAGER_LOST'],
    ['its host', 'thaw-host', 'HOST_LOST'],
  ])('--keep ends with 1 when %s is killed', async (_, name, code) => {
    const command = start('restore', 'fixtures/redis', '--keep');
    await command.printed('keeping');
    const children = childrenOf(command.pid);
    const victim = children.find((pid) => runningComm(pid) === name) as number;
    // The pager's processes are a group; a host is one of its own.
    process.kill(name === 'thaw-host' ? victim : -victim, 'SIGKILL');
    const { status, stderr } = await command.done;
    expect(stderr).toMatch(new RegExp(`^thaw: ${code}: `));
    expect(status).toBe(1);
    await expectGone(children);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('--keep stands until %s', async (signal) => {
    const command = start('restore', 'fixtures/family', '--keep');
    await command.printed('keeping');
    const children = childrenOf(command.pid);
    expect(children.map(runningComm).sort()).toEqual([
      ...['thaw-host', 'thaw-host', 'thaw-host', 'thaw-keeper'],
    ]);
    command.child.kill(signal);
    expect(await command.done).toMatchObject({ status: 0, stderr: '' });
    await expectGone(children);
  });

  it('SIGINT in the middle of touching leaves nothing', async () => {
    const command = start(
      ...['restore', 'fixtures/redis', '--fill', 'off', '--access', 'random', '--keep'],
    );
    await until('a host', () => childrenOf(command.pid).length === 2);
    const children = childrenOf(command.pid);
    command.child.kill('SIGINT');
    const { status } = await command.done;
    expect([0, 130]).toContain(status);
    await expectGone(children);
  });

  it('SIGKILL of the command leaves nothing', async () => {
    const command = start('restore', 'fixtures/family', '--keep');
    await command.printed('keeping');
    const children = childrenOf(command.pid);
    command.child.kill('SIGKILL');
    await expectGone(children);
  });
});

describe('thaw restore and its output', () => {
  const shell = (command: string) =>
    spawnSync('bash', ['-c', `set -o pipefail; ${command}`], {
      cwd: ROOT,
      encoding: 'utf8',
      timeout: 15_000,
      killSignal: 'SIGKILL',
    });

  it('fails for a bad page though nobody reads on', () => {
    const { status, stderr } = shell(
      'node dist/cli/main.js restore fixtures/malformed/lz4-corrupt --verify | true',
    );
    expect(status).toBe(1);
    expect(stderr).toContain('thaw: PAGE_FAILED');
  });

  it('succeeds for a good image though nobody reads on', () => {
    expect(shell('node dist/cli/main.js restore fixtures/redis --verify | true').status).toBe(0);
  });

  it('says in one line that the output cannot be written', () => {
    const { status, stderr } = shell('node dist/cli/main.js restore fixtures/redis > /dev/full');
    expect(status).toBe(1);
    expect(stderr).toBe('thaw: IO_FAILED: the output cannot be written: found ENOSPC\n');
  });
});

describe('thaw without rights', () => {
  it('says what to do where a right is missing', () => {
    const { stdout, status } = runWithoutRights('check');
    expect(status).toBe(0); // user-mode-only still works
    expect(stdout).toMatch(/absent {3}CAP_SYS_PTRACE: absent\n {11}\S/);
    expect(stdout).toMatch(/absent {3}userfaultfd for all faults: .*EPERM/);
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('restores with a user-mode-only userfaultfd, and says what that costs', () => {
    const { stdout, stderr, status } = runWithoutRights(
      ...['restore', 'fixtures/pattern', '--verify', '--fill', 'off', '--access', 'random'],
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toContain('system calls that meet a missing page fail with EFAULT');
    expect(stdout).toContain('verified  402 of 402 pages (1.57 MiB), 0 mismatched');
  });
});

/**
 * The command without capabilities and without /dev/userfaultfd. It keeps the user's id, so that it
 * can read the project wherever that lies.
 */
function runWithoutRights(...args: string[]) {
  const script =
    'mount --bind /dev/null /dev/userfaultfd && ' +
    'exec setpriv --bounding-set=-all --inh-caps=-all "$@"';
  return spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', script, 'sh', process.execPath, 'dist/cli/main.js', ...args],
    {
      cwd: ROOT,
      encoding: 'utf8',
      timeout: 15_000,
      killSignal: 'SIGKILL',
      env: { ...process.env, CI: 'true' },
    },
  );
}
