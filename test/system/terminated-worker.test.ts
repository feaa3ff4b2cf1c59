/** Workers that are terminated at the worst moment, many of them: each takes a time that no unit test has. */
import { spawnSync } from 'node:child_process';
import { afterEach, expect, it } from 'vitest';
import { builtModule, endScripts, Script } from '../support/process-script.js';
import { fixturePath } from '../support/restore-fixtures.js';

const ADDON = new URL('../../build/Release/thaw.node', import.meta.url).pathname;

it('a worker that is terminated while it loads the addon ends alone, not the process', {
  timeout: 60_000,
}, () => {
  const thread = `
      const { workerData } = require('node:worker_threads');
      Atomics.store(workerData, 0, 1);
      require(${JSON.stringify(ADDON)});`;
  const script = `
      const { Worker } = require('node:worker_threads');
      (async () => {
        for (let round = 0; round < 40; round++) {
          const begun = new Int32Array(new SharedArrayBuffer(4));
          const worker = new Worker(${JSON.stringify(thread)}, { eval: true, workerData: begun });
          while (Atomics.load(begun, 0) === 0) await new Promise((resolve) => setImmediate(resolve));
          const then = performance.now() + (round % 20) / 20;
          while (performance.now() < then);
          await worker.terminate();
        }
        process.exit(7);
      })();`;
  const options = { timeout: 50_000, killSignal: 'SIGKILL' as const, encoding: 'utf8' as const };
  const { status, stderr } = spawnSync(process.execPath, ['-e', script], options);
  expect(stderr).toBe('');
  expect(status).toBe(7);
});

afterEach(endScripts);

it('a worker that is terminated at any moment of a restore leaves neither processes nor descriptors', {
  timeout: 60_000,
}, async () => {
  const thread = `
      import { restore } from ${builtModule('restore/restore.js')};
      for (;;) {
        const restoration = await restore(${JSON.stringify(fixturePath('family'))});
        restoration.touch({ kind: 'random' }).catch(() => {});
        await restoration.close();
      }`;
  const script = new Script(`
      import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
      import { Worker } from 'node:worker_threads';
      const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      const children = () => readdirSync('/proc').filter((pid) => {
        try {
          const stat = readFileSync('/proc/' + pid + '/stat', 'latin1');
          return stat.split(') ').at(-1).split(' ')[1] === String(process.pid);
        } catch {
          return false;
        }
      });
      const ours = () => readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          const name = readlinkSync('/proc/self/fd/' + fd);
          return /socket|thaw-|pidfd|userfaultfd/.test(name) ? [name] : [];
        } catch {
          return [];
        }
      });
      const before = ours().length;
      for (let round = 0; round < 15; round++) {
        const worker = new Worker(${JSON.stringify(thread)}, { eval: true });
        await sleep(150 + Math.random() * 300);
        await worker.terminate();
        for (let i = 0; i < 1000 && children().length > 0; i++) await sleep(5);
        if (children().length > 0) throw new Error('left: ' + children());
      }
      console.log(JSON.stringify(ours().slice(before)));`);
  expect(await script.next(50_000)).toEqual([]);
});
