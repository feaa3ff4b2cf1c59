/**
 * What the command line of `thaw lazy-pages` asks for: of CRIU's options, those that have an effect.
 */

import { ThawError } from '../errors.js';
import type { PageServerOptions } from '../lazy-pages/page-server-client.js';
import { ON_ERROR, type OnError } from '../servicer/pager-protocol.js';
import { type GivenOption, parseCriuOptions } from './criu-options.js';
import { type FillOptions, parseFillFlags } from './fill-flags.js';
import { parsePageServerFlags } from './page-server-flags.js';
import { isSet, lastOption, parseServiceFlags, type ServiceFlags } from './service-flags.js';

/** What `thaw lazy-pages` shall do. */
export interface LazyPagesFlags extends ServiceFlags {
  /** Whether to free what has been restored, in the images. */
  readonly autoDedup: boolean;
  /** What becomes of a task of which pages cannot be produced. */
  readonly onError: OnError;
  /** What the pager brings in, and how fast. */
  readonly fillOptions: FillOptions;
  /** The page server that pages come from; undefined: from the images. */
  readonly pageServer: PageServerOptions | undefined;
}

/**
 * Reads the arguments behind `lazy-pages`, after the options `configured` in files.
 *
 * @throws ThawError INVALID_ARGUMENT
 */
export function parseLazyPagesFlags(
  args: readonly string[],
  configured: readonly GivenOption[] = [],
): LazyPagesFlags {
  const { options: given, words } = parseCriuOptions(args);
  const options = [...configured, ...given];
  const service = parseServiceFlags(options, words);
  const last = (name: string): GivenOption | undefined => lastOption(options, name);
  return {
    ...service,
    autoDedup: isSet(options, 'auto-dedup'),
    onError: toOnError(last('on-error')?.value),
    fillOptions: parseFillFlags(last),
    pageServer: parsePageServerFlags(last, service.persist),
  };
}

function toOnError(text = 'poison'): OnError {
  const known = ON_ERROR.find((policy) => policy === text);
  if (known !== undefined) return known;
  throw new ThawError('INVALID_ARGUMENT', {
    what: '--on-error is not one of the policies',
    expected: ON_ERROR.join(', '),
    found: text,
  });
}
