/** Where pages come from, as CRIU's options say it. */
import { ThawError } from '../errors.js';
import type { PageServerOptions } from '../lazy-pages/page-server-client.js';
import type { GivenOption } from './criu-options.js';
import { toFd } from './fd-option.js';

const PORT_MAX = 65_535;
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
  const header = parseHeader(last('ps-header')?.value);
  if (socketFd === undefined) {
    return { address: address ?? DEFAULT_ADDRESS, port: parsePort(port), ...header };
  }
  if (address !== undefined || port !== undefined) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: '--ps-socket is a connection already',
      expected: 'neither --address nor --port beside it',
    });
  }
  if (persist) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: '--ps-socket serves one restore, --persist any number',
      hint: 'Name the server with --address and --port: each restore gets its own connection',
    });
  }
  return { address: DEFAULT_ADDRESS, port: 0, socketFd, ...header };
}

function parsePort(text: string | undefined): number {
  const port = text !== undefined && /^\d+$/.test(text) ? Number(text) : 0;
  if (port > 0 && port <= PORT_MAX) return port;
  throw new ThawError('INVALID_ARGUMENT', {
    what: '--page-server needs the port of the server',
    expected: `--port with a number from 1 to ${PORT_MAX}`,
    found: text ?? 'none',
  });
}

function parseHeader(text: string | undefined): Pick<PageServerOptions, 'headerBytes'> {
  if (text === undefined || text === 'auto') return {};
  if (text === '24') return { headerBytes: 24 };
  if (text === '32') return { headerBytes: 32 };
  throw new ThawError('INVALID_ARGUMENT', {
    what: '--ps-header names no layout of headers',
    expected: '24, 32 or auto',
    found: text,
  });
}
