/**
 * The way to a page server that has the lazy pages of an image: a connected socket for the pager.
 */
import { lookup } from 'node:dns/promises';
import { errnoCode, ThawError } from '../errors.js';
import { native } from '../native.js';
import { CLOSE_COMMAND } from '../servicer/remote-source.js';
import { loadTlsCredentials, type TlsFiles } from '../tls-credentials.js';
import { openTlsTunnel } from './tls-tunnel.js';

/** Longest wait for one address of a server to take the connection, in milliseconds. */
const CONNECT_MS_MAX = 10_000;
/** Longest wait for a name to be resolved, in milliseconds. */
const RESOLVE_MS_MAX = 10_000;
/** Longest TLS handshake, in milliseconds. */
const HANDSHAKE_MS_MAX = 10_000;

/** Where a page server is, and how it speaks. */
export interface PageServerOptions {
  /** Name or numeric address. */
  readonly address: string;
  readonly port: number;
  /**
   * A connected socket instead of address and port, for one restore. It stays the caller's, unless TLS
   * is spoken over it.
   */
  readonly socketFd?: number;
  /** Bytes of its headers: 24 before CRIU 4.2, 32 since; undefined: as the image tells. */
  readonly headerBytes?: 24 | 32;
  /** Certificates and key, where the server speaks TLS. */
  readonly tls?: TlsFiles | undefined;
}

/** A connection. Owns its descriptor until {@link PageServerConnection.release}. */
export interface PageServerConnection {
  readonly fd: number;
  readonly closeCommand: number;
  /** What to call the server in messages. */
  readonly label: string;
  /** Closes what is ours of it, once the pager has its duplicate. */
  release(): void;
  /** Resolves once nothing of it is left to do for this process. */
  readonly ended: Promise<void>;
}

/**
 * Connects to the server: to each of its addresses in turn, until one takes the connection.
 *
 * @param deadlineMs when to give up, on the clock of performance.now().
 * @default deadlineMs none: each step has a limit of its own
 * @throws SOURCE_UNREACHABLE, with what each address said.
 */
export async function connectPageServer(
  options: PageServerOptions,
  deadlineMs = Number.POSITIVE_INFINITY,
): Promise<PageServerConnection> {
  const { tls, address } = options;
  const connection = await connectPlainly(options, deadlineMs);
  if (tls === undefined) return connection;
  const tunnel = await openTlsTunnel(
    connection.fd,
    address,
    loadTlsCredentials(tls),
    limitBy(deadlineMs, HANDSHAKE_MS_MAX),
  );
  return { ...connection, ...tunnel, release: () => native.closeFd(tunnel.fd) };
}

/** The milliseconds until `deadlineMs`, at most `msMax`; at least one, so that each thing is tried. */
function limitBy(deadlineMs: number, msMax: number): number {
  return Math.ceil(Math.max(1, Math.min(msMax, deadlineMs - performance.now())));
}

async function connectPlainly(
  options: PageServerOptions,
  deadlineMs: number,
): Promise<PageServerConnection> {
  const { socketFd, port } = options;
  const ended = Promise.resolve();
  if (socketFd !== undefined) {
    const label = `page server at descriptor ${socketFd}`;
    return { fd: socketFd, closeCommand: CLOSE_COMMAND.handed, label, ended, release: () => {} };
  }
  const failures: string[] = [];
  for (const address of await resolve(options, limitBy(deadlineMs, RESOLVE_MS_MAX))) {
    const fd = await native.connectTcp(address, port, limitBy(deadlineMs, CONNECT_MS_MAX));
    if (fd >= 0) {
      const label = `page server ${formatAddress(address, port)}`;
      const release = (): void => native.closeFd(fd);
      return { fd, closeCommand: CLOSE_COMMAND.own, label, ended, release };
    }
    failures.push(`${errnoCode(-fd) ?? `errno ${-fd}`} at ${formatAddress(address, port)}`);
  }
  throw unreachable(options, failures.join(', '));
}

async function resolve(options: PageServerOptions, limitMs: number): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), limitMs);
  });
  try {
    const found = await Promise.race([lookup(options.address, { all: true }), late]);
    return found.map(({ address }) => address);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
    throw unreachable(options, `${reason} when resolving the name`, cause);
  } finally {
    clearTimeout(timer);
  }
}

function formatAddress(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function unreachable(
  { address, port }: PageServerOptions,
  found: string,
  cause?: unknown,
): ThawError {
  return new ThawError('SOURCE_UNREACHABLE', {
    what: 'the page server cannot be reached',
    expected: 'a server that listens',
    found,
    where: formatAddress(address, port),
    hint: 'Start `criu dump --lazy-pages` or a `page-server --lazy-pages` first; each serves one client',
    ...(cause === undefined ? {} : { cause }),
  });
}
