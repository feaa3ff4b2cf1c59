/**
 * Where the native executables lie, from src/ and dist/ alike.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ThawError } from './errors.js';

/** The path of a native executable of this package. */
export function executablePath(name: 'thaw-pager' | 'thaw-host'): string {
  const path = fileURLToPath(new URL(`../build/Release/${name}`, import.meta.url));
  if (!existsSync(path)) {
    throw new ThawError('NATIVE_MISSING', {
      what: `the executable ${name} is missing`,
      expected: path,
      hint: 'Build it: `npm rebuild thaw-restore`, or `npm run build:native` in a clone',
    });
  }
  return path;
}
