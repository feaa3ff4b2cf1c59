/**
 * What the command line of `thaw page-server` asks for: of CRIU's options, those that have an effect.
 */
import { ThawError } from '../errors.js';
import type { HeaderLayout } from '../page-server/wire.js';
import type { TlsFiles } from '../tls-credentials.js';
import { toHeaderLayout, toPort } from './connection-options.js';
import { type GivenOption, parseCriuOptions } from './criu-options.js';
import { toFd } from './fd-option.js';
import { isSet, lastOption, parseServiceFlags, type ServiceFlags } from './service-flags.js';
import { parseTlsOptions } from './tls-options.js';

/** What `thaw page-server` shall do. */
export interface PageServerFlags extends ServiceFlags {
  /** Undefined: every address of the machine. */
  readonly address: string | undefined;
  /** 0: a free one. */
  readonly port: number;
  /** A connected socket to serve, instead of an address and a port. */
  readonly socketFd: number | undefined;
  /** Undefined: each client's first request tells. */
  readonly headerLayout: HeaderLayout | undefined;
  /** Undefined: plain connections. */
  readonly tls: TlsFiles | undefined;
}

/**
 * Reads the arguments behind `page-server`, after the options `configured` in files.
 *
 * @throws ThawError INVALID_ARGUMENT
 */
export function parsePageServerArguments(
  args: readonly string[],
  configured: readonly GivenOption[] = [],
): PageServerFlags {
  const { options: given, words } = parseCriuOptions(args);
  const options = [...configured, ...given];
  const service = parseServiceFlags(options, words);
  // One server, one image: the last -D counts, as CRIU has it.
  const flags = { ...service, imageDirectories: service.imageDirectories.slice(-1) };
  if (!flags.help && !flags.version && !isSet(options, 'lazy-pages')) throw notLazy();
  const socketFd = toFd('ps-socket', lastOption(options, 'ps-socket')?.value);
  return {
    ...flags,
    socketFd,
    tls: parseTlsOptions((name) => lastOption(options, name)),
    headerLayout: toHeaderLayout(lastOption(options, 'ps-header')?.value),
    ...(socketFd === undefined ? listenAddress(options) : noAddress(options, flags)),
  };
}

type Place = Pick<PageServerFlags, 'address' | 'port'>;

/** Without --port it is a free one, as CRIU has it; the log tells which. */
function listenAddress(options: readonly GivenOption[]): Place {
  const port = toPort(lastOption(options, 'port')?.value ?? '0', 0);
  return { address: lastOption(options, 'address')?.value, port };
}

/** CRIU keeps the address beside a socket, as a name that certificates are checked against. */
function noAddress(options: readonly GivenOption[], { persist, daemon }: ServiceFlags): Place {
  if (lastOption(options, 'port') !== undefined) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: '--ps-socket is a connection already',
      expected: 'no --port beside it',
    });
  }
  if (persist || daemon) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: `--ps-socket has one client, in the foreground`,
      expected: 'neither --persist nor --daemon beside it',
    });
  }
  return { address: lastOption(options, 'address')?.value, port: 0 };
}

function notLazy(): ThawError {
  return new ThawError('INVALID_ARGUMENT', {
    what: 'this page server hands pages out, and stores none',
    expected: '--lazy-pages',
    hint: 'With it, the image in -D is served to lazy clients. To store a dump, use criu page-server',
  });
}
