import { defineConfig } from 'vitest/config';
import unit from './vitest.config.js';

/** The tests that need CRIU, one file after another: they restore tasks with the pids they had. */
export default defineConfig({
  ...unit,
  test: {
    ...unit.test,
    env: {},
    include: ['test/lazy-pages/**/*.test.ts'],
    exclude: [],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
