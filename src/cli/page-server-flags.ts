/** Where pages come from, as CRIU's options say it. */
import { ThawError } from '../errors.js';
import type { PageServerOptions } from '../lazy-pages/page-server-client.js';
import { toHeaderLayout, toPort } from './connection-options.js';
import type { GivenOption } from './criu-options.js';
import { toFd } from './fd-option.js';
import { parseTlsOptions } from './tls-options.js';

const DEFAULT_ADDRESS = 'localhost';

/**
 * The page server that the options name; undefined where they name none.
 *
 * @param last finds the last option of a name.
 * @throws ThawError INVALID_ARGUMENT
 */
export function parsePageServerFlags(
  last: (name: string) => GivenOption | undefined,
  persist: boolean,
): PageServerOptions | undefined {
  const socketFd = toFd('ps-socket', last('ps-socket')?.value);
  if (last('page-server')?.negated !== false && socketFd === undefined) return undefined;
  const address = last('address')?.value;
  const port = last('port')?.value;
  const tls = parseTlsOptions(last);
  const headerBytes = toHeaderLayout(last('ps-header')?.value);
  const header = headerBytes === undefined ? {} : { headerBytes };
  if (socketFd === undefined) {
    return { address: address ?? DEFAULT_ADDRESS, port: toPort(port, 1), ...header, tls };
  }
  // CRIU keeps the address beside a socket, as the name that the server's certificate has.
  if (port !== undefined) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: '--ps-socket is a connection already',
      expected: 'no --port beside it',
    });
  }
  if (persist) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: '--ps-socket serves one restore, --persist any number',
      hint: 'Name the server with --address and --port: each restore gets its own connection',
    });
  }
  return { address: address ?? DEFAULT_ADDRESS, port: 0, socketFd, ...header, tls };
}
