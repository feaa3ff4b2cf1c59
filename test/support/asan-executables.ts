/** In the place of src/executables.ts for scripts/asan-pager: the pager has sanitizers. */
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = new URL('../../', import.meta.url);

export function executablePath(name: 'thaw-pager' | 'thaw-host'): string {
  if (name === 'thaw-host') return fileURLToPath(new URL('build/Release/thaw-host', ROOT));
  // The script looks whether it was asked for at all.
  closeSync(openSync(new URL('build/asan/used', ROOT), 'a'));
  return fileURLToPath(new URL('build/asan/Release/thaw-pager', ROOT));
}
