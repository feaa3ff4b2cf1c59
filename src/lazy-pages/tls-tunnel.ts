/**
 * TLS for a pager that knows plain streams only: this process keeps the session with the page server,
 * and hands bytes to and fro between it and a socket pair, one end of which is the pager's.
 */
import { Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { checkServerIdentity, connect, type TLSSocket } from 'node:tls';
import { ThawError } from '../errors.js';
import { native } from '../native.js';
import type { TlsCredentials } from '../tls-credentials.js';

/** Longest wait for the server's end of the session, in milliseconds. */
const GOODBYE_MS_MAX = 5_000;

/** A session that is open. */
export interface TlsTunnel {
  /** The pager's end; the caller owns it. */
  readonly fd: number;
  /** Resolves once the session is over on both sides, or was cut off. */
  readonly ended: Promise<void>;
}

/**
 * Opens a TLS session over the connected socket `fd`, which is taken over.
 *
 * @param name what the server's certificate has to name.
 * @param limitMs longest handshake, in milliseconds.
 * @throws SOURCE_UNREACHABLE when the session does not come about; where it says what went wrong.
 */
export async function openTlsTunnel(
  fd: number,
  name: string,
  credentials: TlsCredentials,
  limitMs: number,
): Promise<TlsTunnel> {
  const { verifyName, ...files } = credentials;
  const session = connect({
    socket: new Socket({ fd, readable: true, writable: true }),
    ...files,
    checkServerIdentity: (_, certificate) =>
      verifyName ? checkServerIdentity(name, certificate) : undefined,
  });
  try {
    await shakeHands(session, limitMs);
  } catch (cause) {
    session.destroy();
    throw new ThawError('SOURCE_UNREACHABLE', {
      what: 'the TLS session with the page server does not come about',
      expected: 'a server whose certificate we trust, and that trusts ours',
      found: (cause as Error).message,
      where: name,
      hint:
        'Both sides need --tls, a certificate (--tls-cert, --tls-key) and the authority of the other ' +
        '(--tls-cacert); --tls-no-cn-verify leaves names out of it',
      cause,
    });
  }
  const [near, far] = native.socketpair(true);
  return {
    fd: far,
    ended: pump(session, new Socket({ fd: near, readable: true, writable: true })),
  };
}

function shakeHands(session: TLSSocket, limitMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const limit = `no handshake within ${limitMs} ms`;
    const timer = setTimeout(() => reject(new Error(limit)), limitMs);
    session.once('secureConnect', () => {
      clearTimeout(timer);
      resolve();
    });
    session.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    session.once('close', () => {
      clearTimeout(timer);
      reject(new Error('the server hung up'));
    });
  });
}

/** Both ways at once, each as fast as its slower end; the end of one is the end of the other. */
function pump(session: TLSSocket, pager: Socket): Promise<void> {
  return new Promise((resolve) => {
    session.once('close', () => {
      pager.destroy();
      resolve();
    });
    // What goes wrong ends both; the pager tells of it, and the control plane decides.
    pipeline(session, pager, () => {});
    pipeline(pager, session, () => {
      setTimeout(() => session.destroy(), GOODBYE_MS_MAX).unref();
    });
  });
}
