/**
 * What the command line of `thaw lazy-pages` asks for: of CRIU's options, those that have an effect.
 */
import type { PageServerOptions } from '../lazy-pages/page-server-client.js';
import { type GivenOption, parseCriuOptions } from './criu-options.js';
import { parsePageServerFlags } from './page-server-flags.js';
import { isSet, lastOption, parseServiceFlags, type ServiceFlags } from './service-flags.js';

/** What `thaw lazy-pages` shall do. */
export interface LazyPagesFlags extends ServiceFlags {
  /** Whether to free what has been restored, in the images. */
  readonly autoDedup: boolean;
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
    pageServer: parsePageServerFlags(last, service.persist),
  };
}
