/** Workers that are terminated at the worst moment, many of them: each takes a time that no unit test has. */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

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
