import { existsSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Where tests put images. On a disk, thousands of small files a minute take half of their time. */
function temporaryDirectory(): string {
  const memory = '/dev/shm';
  if (!existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize > 1 << 30 ? memory : tmpdir();
}

export default defineConfig({
  root,
  resolve: {
    // Examples import the package by its name, as its users do.
    alias: {
      'thaw-restore': fileURLToPath(new URL('../src/index.ts', import.meta.url)),
    },
  },
  test: {
    include: ['test/**/*.test.ts'],
    // They need more time, or CRIU: vitest.system.config.ts, vitest.criu.config.ts.
    exclude: ['test/system/**', 'test/lazy-pages/**'],
    env: { TMPDIR: temporaryDirectory() },
    pool: 'forks',
    // Two processes for all files: one for each would take a quarter of the time to load modules.
    isolate: false,
    // The default leaves a core idle, on two cores half of them.
    maxWorkers: 2,
    setupFiles: [fileURLToPath(new URL('property-limits.ts', import.meta.url))],
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
