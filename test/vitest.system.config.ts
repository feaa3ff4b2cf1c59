import { defineConfig } from 'vitest/config';
import unit from './vitest.config.js';

/** The tests that start a process a case, or fill disks: too slow for the newcomer's loop. */
export default defineConfig({
  ...unit,
  test: {
    ...unit.test,
    env: {},
    include: ['test/system/**/*.test.ts'],
    exclude: [],
  },
});
