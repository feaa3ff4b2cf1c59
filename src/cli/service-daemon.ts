/**
 * The background process of `thaw lazy-pages --daemon` and `thaw page-server --daemon`.
 */
import { ThawError } from '../errors.js';
import { EXIT } from './exit-status.js';
import { serveLazyPages } from './lazy-pages-service.js';
import { servePageServer } from './page-server-service.js';
import type { DaemonMessage, Serve } from './service-command.js';
import type { ServiceFlags } from './service-flags.js';
import { ServiceLog } from './service-log.js';

/** What runs in the background, by its command. */
const SERVICES: Readonly<Record<string, Serve<never>>> = {
  'lazy-pages': serveLazyPages,
  'page-server': servePageServer,
};

/** Tells the starter, which may have gone by now. */
function tell(message: DaemonMessage): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

async function run(command: string, flags: ServiceFlags): Promise<number> {
  const log = ServiceLog.open(flags);
  try {
    const serve = SERVICES[command] as Serve<ServiceFlags>;
    return await serve({ flags, log, leaveEarly: true, onReady: (pid) => tell({ pid }) });
  } catch (error) {
    log.error(error);
    throw error;
  } finally {
    log.close();
  }
}

try {
  const [command = '', flags = '{}'] = process.argv.slice(2);
  process.exitCode = await run(command, JSON.parse(flags) as ServiceFlags);
} catch (error) {
  process.exitCode = EXIT.failed;
  tell({ failure: error instanceof ThawError ? `${error.code}: ${error.message}` : String(error) });
}
if (process.connected) process.disconnect();
