/** Certificates for TLS tests, made by openssl(1): an authority, and who it vouches for. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TlsFiles } from '../../src/tls-credentials.js';
import { makeDirectory } from './criu.js';

/** An authority with its files in `directory`. */
export class Authority {
  readonly #directory: string;
  /** Its own certificate. */
  readonly path: string;

  constructor(
    directory: string,
    private readonly name = 'authority',
  ) {
    this.#directory = directory;
    this.path = join(directory, `${name}.pem`);
    this.#openssl(
      ...['req', '-x509', '-subj', `/CN=${name}`, '-days', '2', ...newKey(this.#file('key'))],
      ...['-out', this.path],
    );
  }

  /** Makes a certificate for `subject`, which names `names` (as `DNS:localhost`, `IP:127.0.0.1`). */
  certify(subject: string, names: readonly string[], verifyName = true): Required<TlsFiles> {
    const [key, request, certificate, extensions] = ['key', 'csr', 'pem', 'ext'].map((kind) =>
      join(this.#directory, `${this.name}-${subject}.${kind}`),
    ) as [string, string, string, string];
    writeFileSync(extensions, `subjectAltName=${names.join(',')}\n`);
    this.#openssl('req', '-subj', `/CN=${subject}`, ...newKey(key), '-out', request);
    this.#openssl(
      ...['x509', '-req', '-in', request, '-CA', this.path, '-CAkey', this.#file('key')],
      ...['-CAcreateserial', '-days', '2', '-extfile', extensions, '-out', certificate],
    );
    return { caCertificate: this.path, revocations: undefined, certificate, key, verifyName };
  }

  /** Revokes certificates: the list of them, as a file. */
  revoke(...certificates: readonly string[]): string {
    const config = this.#file('cnf');
    const [index, list] = [this.#file('index'), this.#file('crl')];
    writeFileSync(index, '');
    writeFileSync(
      config,
      `[ca]\ndefault_ca=here\n[here]\ndatabase=${index}\ndefault_md=sha256\n` +
        `default_crl_days=2\ncertificate=${this.path}\nprivate_key=${this.#file('key')}\n`,
    );
    for (const certificate of certificates) {
      this.#openssl('ca', '-config', config, '-revoke', certificate);
    }
    this.#openssl('ca', '-config', config, '-gencrl', '-out', list);
    return list;
  }

  #file(kind: string): string {
    return join(this.#directory, `${this.name}.${kind}`);
  }

  #openssl(...args: readonly string[]): void {
    execFileSync('openssl', args, { timeout: 10_000, stdio: 'ignore' });
  }
}

function newKey(path: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', path];
}

/** Options for one side of a TLS connection on this machine, with an authority of its own. */
export function tlsOptions(): string[] {
  const names = ['DNS:localhost', 'IP:127.0.0.1'];
  return tlsOptionsOf(new Authority(makeDirectory()).certify('localhost', names));
}

/** The options of CRIU, and of ours, for these files. */
export function tlsOptionsOf({ caCertificate, certificate, key }: Required<TlsFiles>): string[] {
  return [
    '--tls',
    ...['--tls-cacert', String(caCertificate)],
    ...['--tls-cert', String(certificate), '--tls-key', String(key)],
  ];
}
