/** Options that say how a page server and its client meet; both commands take them. */
import { ThawError } from '../errors.js';
import type { HeaderLayout } from '../page-server/wire.js';

const PORT_MAX = 65_535;

/**
 * The value of `--port`, at least `min`.
 *
 * @throws ThawError INVALID_ARGUMENT also where there is none
 */
export function toPort(text: string | undefined, min: number): number {
  const port = text !== undefined && /^\d+$/.test(text) ? Number(text) : -1;
  if (port >= min && port <= PORT_MAX) return port;
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'the port of the page server is missing, or is none',
    expected: `--port with a number from ${min} to ${PORT_MAX}`,
    found: text ?? 'no --port',
  });
}

/**
 * The value of `--ps-header`; undefined: it shows by itself.
 *
 * @throws ThawError INVALID_ARGUMENT
 */
export function toHeaderLayout(text: string | undefined): HeaderLayout | undefined {
  if (text === undefined || text === 'auto') return undefined;
  if (text === '24') return 24;
  if (text === '32') return 32;
  throw new ThawError('INVALID_ARGUMENT', {
    what: '--ps-header names no layout of headers',
    expected: '24, 32 or auto',
    found: text,
  });
}
