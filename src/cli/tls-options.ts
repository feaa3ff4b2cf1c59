/** TLS between a page server and its client, as CRIU's options say it; both commands take them. */
import { resolve } from 'node:path';
import type { TlsFiles } from '../tls-credentials.js';
import type { GivenOption } from './criu-options.js';

/**
 * The files that the options name; undefined where they do not ask for TLS.
 *
 * @param last finds the last option of a name.
 */
export function parseTlsOptions(
  last: (name: string) => GivenOption | undefined,
): TlsFiles | undefined {
  const isSet = (name: string): boolean => last(name)?.negated === false;
  if (!isSet('tls')) return undefined;
  const path = (name: string): string | undefined => {
    const value = last(name)?.value;
    return value === undefined ? undefined : resolve(value);
  };
  return {
    caCertificate: path('tls-cacert'),
    revocations: path('tls-cacrl'),
    certificate: path('tls-cert'),
    key: path('tls-key'),
    verifyName: !isSet('tls-no-cn-verify'),
  };
}
