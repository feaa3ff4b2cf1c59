import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import unit from './vitest.config.js';

/** The tests that start pagers in their own process, with the pager that scripts/asan-pager builds. */
export default defineConfig({
  ...unit,
  resolve: {
    alias: [
      {
        find: /^.*\/executables\.js$/,
        replacement: fileURLToPath(new URL('support/asan-executables.ts', import.meta.url)),
      },
    ],
  },
  test: {
    ...unit.test,
    include: [
      'test/restore/**/*.test.ts',
      'test/servicer/**/*.test.ts',
      'test/system/random-kills.test.ts',
    ],
    exclude: [],
  },
});
