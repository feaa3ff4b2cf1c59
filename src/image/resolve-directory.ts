/** Directories that callers name. */
import { resolve } from 'node:path';
import { ThawError } from '../errors.js';

/**
 * Absolute path of a directory. An empty one, such as a variable that was never set, is not the
 * current directory.
 *
 * @throws ThawError INVALID_ARGUMENT
 */
export function resolveDirectory(directory: string): string {
  if (typeof directory === 'string' && directory !== '') return resolve(directory);
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'no directory was named',
    expected: 'a path; . is the current directory',
    found: directory === '' ? 'an empty path' : String(directory),
  });
}
