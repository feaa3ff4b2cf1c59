/**
 * What both ends of a page server's TLS connection need: certificates and a key, as CRIU's options
 * name them.
 */
import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { ThawError } from './errors.js';

/** Where CRIU looks for what no option names. */
const DEFAULT = {
  caCertificate: '/etc/pki/CA/cacert.pem',
  revocations: '/etc/pki/CA/cacrl.pem',
  certificate: '/etc/pki/criu/cert.pem',
  key: '/etc/pki/criu/private/key.pem',
} as const;

/** Paths of PEM files; undefined: CRIU's own, under /etc/pki. */
export interface TlsFiles {
  /** Certificates of the authorities to trust; undefined: those that Node knows as well. */
  readonly caCertificate?: string | undefined;
  /** Certificates that the authorities have revoked; CRIU's own may be missing. */
  readonly revocations?: string | undefined;
  /** Our certificate: both ends show one. */
  readonly certificate?: string | undefined;
  /** Its key. */
  readonly key?: string | undefined;
  /** Whether the peer's certificate has to name the address that we use for it. */
  readonly verifyName: boolean;
}

/** The content of those files, in the terms of node:tls. */
export interface TlsCredentials {
  readonly ca: (string | Buffer)[];
  readonly crl?: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly verifyName: boolean;
}

/**
 * Reads the files.
 *
 * @throws IO_FAILED for a file that cannot be read, unless it is one of CRIU's own that may be missing.
 */
export function loadTlsCredentials(files: TlsFiles): TlsCredentials {
  const ca = readIfGiven('--tls-cacert', files.caCertificate, DEFAULT.caCertificate);
  const crl = readIfGiven('--tls-cacrl', files.revocations, DEFAULT.revocations);
  return {
    ca: files.caCertificate === undefined ? [...rootCertificates, ...(ca ? [ca] : [])] : [ca ?? ''],
    ...(crl === undefined ? {} : { crl }),
    cert: read('--tls-cert', files.certificate ?? DEFAULT.certificate),
    key: read('--tls-key', files.key ?? DEFAULT.key),
    verifyName: files.verifyName,
  };
}

/** A file that must be there where an option names it. */
function readIfGiven(option: string, path: string | undefined, own: string): Buffer | undefined {
  if (path !== undefined) return read(option, path);
  try {
    return readFileSync(own);
  } catch {
    return undefined;
  }
}

function read(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ThawError('IO_FAILED', {
      what: 'a file that TLS needs cannot be read',
      expected: 'a PEM file',
      found: (cause as NodeJS.ErrnoException).code ?? String(cause),
      where: path,
      hint: `Name another one with ${option}`,
      cause,
    });
  }
}
