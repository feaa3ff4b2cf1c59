import { fstatSync, openSync, readlinkSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../src/address.js';
import { native } from '../../src/native.js';
import { RegisterMode, UffdFeature } from '../../src/uffd/flags.js';
import { Uffd } from '../../src/uffd/uffd.js';
import { UffdBuilder } from '../../src/uffd/uffd-builder.js';
import { closeLater, map, nextEvent, open, page, release, text } from './memory.js';

const ADDON = new URL('../../build/Release/thaw.node', import.meta.url).pathname;

afterEach(release);

function isUffd(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[userfaultfd]';
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 200 && !condition(); round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(condition()).toBe(true);
}

describe('descriptors', () => {
  it('are given up and adopted, and closed by dispose', () => {
    const fd = new UffdBuilder().requireFeatures(UffdFeature.POISON).create().intoFd();
    expect(isUffd(fd)).toBe(true);
    {
      using uffd = Uffd.fromFd(fd);
      expect(uffd.fd).toBe(fd);
      expect(uffd.openedBy).toBeUndefined();
      expect(uffd.features.names).toEqual(['POISON']);
    }
    expect(isUffd(fd)).toBe(false);
  });

  it('of other kinds are refused and stay the callers', () => {
    const fd = openSync('/dev/null', 'r');
    expect(() => Uffd.fromFd(fd)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', found: '/dev/null' }),
    );
    expect(fstatSync(fd).isCharacterDevice()).toBe(true);
    native.closeFd(fd);
    expect(() => Uffd.fromFd(fd)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('do not leak when the object is collected', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const fds = Array.from({ length: 20 }, () => new UffdBuilder().create().fd);
    await until(() => {
      gc();
      return !fds.some(isUffd);
    });
  });

  it('close while waiting threads are served: they read zeros', async () => {
    const uffd = open();
    const mapping = map(1);
    uffd.register(mapping.vaddr, PAGE_SIZE, RegisterMode.MISSING);
    const reading = mapping.read(0, 2);
    await nextEvent(uffd, 'pagefault');
    uffd.close();
    expect(text(await reading)).toBe('\0\0');
  });
});

describe('worker threads', () => {
  const code = `
    const { parentPort } = require('node:worker_threads');
    const native = require(${JSON.stringify(ADDON)});
    native.setErrorFactory((syscall, errno) => new Error(syscall + errno));
    const uffd = new native.UffdHandle(native.uffdOpen(0o2004001, false));
    uffd.api(0n);
    const mapping = new native.MappingHandle(0n, 8192, 3, -1);
    uffd.register(mapping.vaddr, 8192, 1n);
    mapping.read(0, 1).then(() => {});
    mapping.touch(4096, 1).then(() => {});
    new native.FdWatcher(uffd.fd, () => {
      if (uffd.read(16) !== null) parentPort.postMessage(uffd.fd);
    });`;

  it('end while their threads wait for pages, and leave no descriptor behind', async () => {
    for (const end of ['process.exit(3)', '']) {
      const worker = new Worker(`${code}\nparentPort.on('message', () => { ${end} });`, {
        eval: true,
      });
      const exited = new Promise((resolve) => worker.once('exit', resolve));
      const fd = await new Promise<number>((resolve) => worker.once('message', resolve));
      expect(isUffd(fd)).toBe(true);
      if (end === '') await worker.terminate();
      else worker.postMessage('end');
      await exited;
      await until(() => !isUffd(fd));
    }
  });

  it('serve memory of the main thread', async () => {
    const uffd = closeLater(new UffdBuilder().closeOnExec(true).nonBlocking(true).create());
    const mapping = map(1);
    uffd.register(mapping.vaddr, PAGE_SIZE, RegisterMode.MISSING);
    const worker = new Worker(
      `const { workerData, parentPort } = require('node:worker_threads');
       const native = require(${JSON.stringify(ADDON)});
       const uffd = new native.UffdHandle(workerData.fd);
       const watcher = new native.FdWatcher(uffd.fd, () => {
         if (uffd.read(1) === null) return;
         watcher.close();
         uffd.copy(workerData.vaddr, workerData.bytes, 4096, 0n);
         uffd.release();
       });`,
      { eval: true, workerData: { fd: uffd.fd, vaddr: mapping.vaddr, bytes: page('worker') } },
    );
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    expect(text(await mapping.read(0, 6))).toBe('worker');
    expect(await exited).toBe(0);
  });
});

describe('the end of the process', () => {
  it('is not held up by threads that wait for pages', async () => {
    const { spawnSync } = await import('node:child_process');
    const script = `
      const native = require(${JSON.stringify(ADDON)});
      native.setErrorFactory((syscall, errno) => new Error(syscall + errno));
      const uffd = new native.UffdHandle(native.uffdOpen(0o2004001, false));
      uffd.api(0n);
      const mapping = new native.MappingHandle(0n, 4096, 3, -1);
      uffd.register(mapping.vaddr, 4096, 1n);
      for (let i = 0; i < 20; i += 1) mapping.read(0, 1);
      mapping.unmap();
      setTimeout(() => process.exit(5), 50);`;
    const options = { timeout: 10_000, killSignal: 'SIGKILL' as const };
    expect(spawnSync(process.execPath, ['-e', script], options).status).toBe(5);
  });
});
