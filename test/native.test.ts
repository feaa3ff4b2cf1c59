import { spawn } from 'node:child_process';
import { fstatSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { type FdWatcher, native } from '../src/native.js';
import { until } from './support/process-facts.js';

const ADDON = new URL('../build/Release/thaw.node', import.meta.url).pathname;

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

describe('sendMessage and receiveMessage', () => {
  it('carry bytes and descriptors, and tell an empty socket from a hang-up', () => {
    const [here, there] = native.socketpair();
    expect(native.receiveMessage(there, 100)).toBeNull();
    const memfd = native.createSealedMemfd('message', [Buffer.from('a'), Buffer.from('bc')]);
    expect(native.sendMessage(here, Buffer.from('hello'), [memfd, memfd])).toBe(true);
    const message = native.receiveMessage(there, 100);
    if (message === null || message === 'end') throw new Error('no message');
    expect(Buffer.from(message.bytes).toString()).toBe('hello');
    expect(message.fds).toHaveLength(2);
    const received = Buffer.alloc(4);
    expect(readSync(message.fds[0] ?? -1, received, 0, 4, 0)).toBe(3);
    expect(received.toString('latin1', 0, 3)).toBe('abc');
    native.closeFd(here);
    expect(native.receiveMessage(there, 100)).toBe('end');
    expect(() => native.sendMessage(there, Buffer.from('x'), [])).toThrow(
      expect.objectContaining({ code: 'EPIPE', syscall: 'sendmsg', errno: constants.errno.EPIPE }),
    );
    for (const fd of [there, memfd, ...message.fds]) native.closeFd(fd);
  });

  it('answer false when the socket is full', () => {
    const [here, there] = native.socketpair();
    const bytes = new Uint8Array(60_000);
    let sent = 0;
    while (native.sendMessage(here, bytes, [])) sent += 1;
    expect(sent).toBeGreaterThan(0);
    for (const fd of [here, there]) native.closeFd(fd);
  });

  it('refuse a message that is cut, and close what came with it', () => {
    const [here, there] = native.socketpair();
    const memfd = native.createMemfd('cut', 4096);
    native.sendMessage(here, Buffer.from('too long'), [memfd]);
    const next = native.createMemfd('probe', 0);
    native.closeFd(next);
    expect(() => native.receiveMessage(there, 3)).toThrow(
      expect.objectContaining({ code: 'EMSGSIZE' }),
    );
    expect(isOpen(next)).toBe(false);
    for (const fd of [here, there, memfd]) native.closeFd(fd);
  });

  it('check their arguments', () => {
    expect(() => native.sendMessage(-1, new Uint8Array(1), [])).toThrow(TypeError);
    expect(() => native.sendMessage(0, new Uint8Array(0), [])).toThrow(RangeError);
    expect(() => native.sendMessage(0, new Uint8Array(1), new Array(254).fill(0))).toThrow(
      RangeError,
    );
    expect(() => native.receiveMessage(0, 1.5)).toThrow(TypeError);
  });
});

describe('memfds', () => {
  it('are sealed, or of the size asked for', () => {
    const sealed = native.createSealedMemfd('sealed', [Buffer.from('abc')]);
    expect(() => writeSync(sealed, 'x', 0)).toThrow(/EPERM/);
    expect(fstatSync(sealed).size).toBe(3);
    const plain = native.createMemfd('plain', 12_345);
    expect(fstatSync(plain).size).toBe(12_345);
    native.closeFd(sealed);
    native.closeFd(plain);
    expect(() => native.closeFd(plain)).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });
});

describe('pidfds', () => {
  it('signal a process and tell of its end', async () => {
    const child = spawn('sleep', ['100'], { stdio: 'ignore' });
    const pidfd = native.pidfdOpen(child.pid ?? -1);
    expect(native.pidfdSendSignal(pidfd, 0)).toBe(true);
    const ended = new Promise<number>((resolve) => {
      const watcher: FdWatcher = new native.FdWatcher(pidfd, (errno) => {
        watcher.close();
        resolve(errno);
      });
    });
    expect(native.pidfdSendSignal(pidfd, constants.signals.SIGKILL)).toBe(true);
    expect(await ended).toBe(0);
    await new Promise((resolve) => child.once('exit', resolve));
    expect(native.pidfdSendSignal(pidfd, 0)).toBe(false);
    native.closeFd(pidfd);
  });
});

describe('FdWatcher', () => {
  it('calls until it is closed, also from its own callback', async () => {
    const [here, there] = native.socketpair();
    let calls = 0;
    const watcher: FdWatcher = new native.FdWatcher(there, (errno) => {
      expect(errno).toBe(0);
      calls += 1;
      if (calls === 3) watcher.close();
    });
    native.sendMessage(here, Buffer.from('x'), []);
    await until('three calls', () => calls >= 3);
    await sleep(30);
    expect(calls).toBe(3);
    watcher.close();
    watcher.ref();
    native.closeFd(here);
    native.closeFd(there);
  });

  it('says so when a descriptor cannot be watched, or is watched already', () => {
    expect(() => new native.FdWatcher(9999, () => {})).toThrow(
      expect.objectContaining({ code: 'EBADF', syscall: 'epoll_ctl' }),
    );
    const [here, there] = native.socketpair();
    const watcher = new native.FdWatcher(there, () => {});
    expect(() => new native.FdWatcher(there, () => {})).toThrow(
      expect.objectContaining({ code: 'EEXIST' }),
    );
    watcher.close();
    new native.FdWatcher(there, () => {}).close();
    native.closeFd(here);
    native.closeFd(there);
  });

  it('lets go of its function and of itself once it is closed', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const owners = Array.from({ length: 20 }, () => {
      const [here, there] = native.socketpair();
      // As its owners use it: the function reaches the watcher.
      const owner: { watcher?: FdWatcher } = {};
      owner.watcher = new native.FdWatcher(there, () => owner.watcher?.close());
      owner.watcher.close();
      native.closeFd(here);
      native.closeFd(there);
      return new WeakRef(owner);
    });
    await until('the collection', () => {
      gc();
      return owners.every((owner) => owner.deref() === undefined);
    });
  });

  it('ends with its worker, whether open, ready or closing', async () => {
    const code = `
      const native = require(${JSON.stringify(ADDON)});
      native.setErrorFactory((syscall, errno) => new Error(syscall + errno));
      const [a, b] = native.socketpair();
      const [c, d] = native.socketpair();
      native.sendMessage(a, Buffer.from('x'), []);
      new native.FdWatcher(b, () => {});
      const closing = new native.FdWatcher(d, () => {});
      setTimeout(() => { closing.close(); process.exit(7); }, 20);`;
    for (let round = 0; round < 3; round += 1) {
      const worker = new Worker(code, { eval: true });
      expect(await new Promise((resolve) => worker.once('exit', resolve))).toBe(7);
    }
    const terminated = new Worker(code.replace('process.exit(7)', '0'), { eval: true });
    await sleep(60);
    await terminated.terminate();
  });
});
