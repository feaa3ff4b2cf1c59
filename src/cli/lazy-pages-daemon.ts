/**
 * The background process of `thaw lazy-pages --daemon`. It ends as soon as the pager can go on alone.
 */
import { ThawError } from '../errors.js';
import { EXIT } from './exit-status.js';
import type { LazyPagesFlags } from './lazy-pages-flags.js';
import { LazyPagesLog } from './lazy-pages-log.js';
import { serveLazyPages } from './lazy-pages-service.js';

/** What it says to the process that started it: who serves, or why nobody does. */
export type DaemonMessage = { readonly pid: number } | { readonly failure: string };

/** Tells the starter, which may have gone by now. */
function tell(message: DaemonMessage): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

async function run(flags: LazyPagesFlags): Promise<number> {
  const log = LazyPagesLog.open(flags);
  try {
    return await serveLazyPages({
      flags,
      log,
      leaveEarly: true,
      onReady: (pid) => tell({ pid }),
    });
  } catch (error) {
    log.error(error);
    throw error;
  } finally {
    log.close();
  }
}

try {
  process.exitCode = await run(JSON.parse(process.argv[2] ?? '{}') as LazyPagesFlags);
} catch (error) {
  process.exitCode = EXIT.failed;
  tell({ failure: error instanceof ThawError ? `${error.code}: ${error.message}` : String(error) });
}
if (process.connected) process.disconnect();
