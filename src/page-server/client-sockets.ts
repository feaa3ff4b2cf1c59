/** Where the clients of a page server come from: plain connections, or those that TLS has vouched for. */
import { createServer as createPlainServer, type Server, type Socket } from 'node:net';
import {
  checkServerIdentity,
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import { ThawError } from '../errors.js';
import type { TlsCredentials } from '../tls-credentials.js';

/** Longest handshake. */
const HANDSHAKE_MS_MAX = 10_000;

/** Takes what comes of a connection. */
export interface ClientHandler {
  /** A client that may be served. */
  connected(socket: Socket): void;
  /** One that may not; its connection has ended. */
  refused(error: ThawError): void;
}

/** A listener for plain connections. */
export function createPlainListener({ connected }: ClientHandler): Server {
  return createPlainServer(connected);
}

/**
 * A listener for clients that show a certificate, which `credentials` trust and which names `name`.
 *
 * @param name undefined: whoever is trusted may come, as with `verifyName` off.
 * @throws INVALID_ARGUMENT when certificate, key and authorities cannot be used
 */
export function createTlsListener(
  credentials: TlsCredentials,
  name: string | undefined,
  { connected, refused }: ClientHandler,
): TlsServer {
  const { verifyName, ...files } = credentials;
  const server = openTlsServer(files);
  server.on('secureConnection', (socket) => {
    const problem = problemOf(socket, verifyName ? name : undefined);
    if (problem === undefined) return connected(socket);
    const peer = peerOf(socket);
    // What goes wrong while it ends is of no interest any more.
    socket.on('error', () => {}).destroy();
    refused(refusal(problem, peer));
  });
  server.on('tlsClientError', (error, socket) => {
    const peer = peerOf(socket);
    socket.destroy();
    refused(refusal(error.message, peer, error));
  });
  return server;
}

function openTlsServer(files: Omit<TlsCredentials, 'verifyName'>): TlsServer {
  try {
    return createTlsServer({
      ...files,
      requestCert: true,
      // Refused here instead, where the reason can be told.
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_MS_MAX,
    });
  } catch (cause) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'the TLS certificates and the key cannot be used',
      expected: 'PEM files, and the key that belongs to the certificate',
      found: (cause as Error).message,
      hint: 'They are named by --tls-cert, --tls-key, --tls-cacert and --tls-cacrl',
      cause,
    });
  }
}

/** Why a client may not be served. */
function problemOf(socket: TLSSocket, name: string | undefined): string | undefined {
  if (!socket.authorized) return String(socket.authorizationError);
  if (name === undefined) return undefined;
  return checkServerIdentity(name, socket.getPeerCertificate())?.message;
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return remoteAddress === undefined ? 'a client' : `${remoteAddress} port ${remotePort}`;
}

function refusal(found: string, where: string, cause?: Error): ThawError {
  return new ThawError('PEER_REFUSED', {
    what: 'the TLS session with a client does not come about',
    expected: 'a client whose certificate we trust, and that trusts ours',
    found,
    where,
    hint:
      'Both sides need --tls, a certificate (--tls-cert, --tls-key) and the authority of the other ' +
      '(--tls-cacert); its certificate has to name our --address, or --tls-no-cn-verify leaves ' +
      'names out of it',
    cause,
  });
}
