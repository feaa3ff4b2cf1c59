import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('..', import.meta.url));

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
    pool: 'forks',
    // The default leaves a core idle, on two cores half of them.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
