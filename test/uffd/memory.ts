/** Memory and userfaultfds for tests, all released after each. */
import { readFileSync } from 'node:fs';
import { PAGE_SIZE } from '../../src/address.js';
import { RegisterMode } from '../../src/uffd/flags.js';
import { Mapping } from '../../src/uffd/mapping.js';
import type { Uffd, UffdEvent } from '../../src/uffd/uffd.js';
import { UffdBuilder } from '../../src/uffd/uffd-builder.js';
import { until } from '../support/process-facts.js';

const opened: Uffd[] = [];
const mapped: Mapping[] = [];

/** Closes what a test opened: waiting threads go on and read zeros. For `afterEach`. */
export async function release(): Promise<void> {
  for (const uffd of opened.splice(0)) uffd.close();
  await Promise.all(mapped.splice(0).map((mapping) => mapping.unmap().catch(() => undefined)));
}

/** A uffd as page servers use it: non-blocking, close-on-exec. */
export function open(features = 0n, userModeOnly = true): Uffd {
  const builder = new UffdBuilder().closeOnExec(true).nonBlocking(true).userModeOnly(userModeOnly);
  const uffd = builder.requireFeatures(features).create();
  opened.push(uffd);
  return uffd;
}

/** Has `uffd` closed after the test. */
export function closeLater(uffd: Uffd): Uffd {
  opened.push(uffd);
  return uffd;
}

export function map(pages: number, kind: 'anonymous' | 'shared' = 'anonymous'): Mapping {
  const mapping = Mapping[kind](pages * PAGE_SIZE);
  mapped.push(mapping);
  return mapping;
}

export interface RegisteredOptions {
  readonly pages: number;
  readonly kind?: 'anonymous' | 'shared';
  readonly modes?: bigint;
  readonly features?: bigint;
}

/** A mapping of `pages` pages, registered with a uffd of its own. */
export function registered(options: RegisteredOptions): { uffd: Uffd; mapping: Mapping } {
  const uffd = open(options.features);
  const mapping = map(options.pages, options.kind);
  uffd.register(mapping.vaddr, mapping.byteLength, options.modes ?? RegisterMode.MISSING);
  return { uffd, mapping };
}

/** The next event, which must be of `type`. Fails after five seconds. */
export async function nextEvent<Type extends UffdEvent['type']>(
  uffd: Uffd,
  type: Type,
): Promise<Extract<UffdEvent, { type: Type }>> {
  const { ready } = await uffd.poll({ timeoutMs: 5_000 });
  if (ready === 0) throw new Error(`no ${type} event came`);
  const event = uffd.readEvent();
  if (event?.type !== type) throw new Error(`expected ${type}, got ${event?.type ?? 'none'}`);
  return event as Extract<UffdEvent, { type: Type }>;
}

/** Waits until `count` threads wait for pages of `uffd`. */
export async function waitingThreads(uffd: Uffd, count: number): Promise<void> {
  const total = (): number => {
    const info = readFileSync(`/proc/self/fdinfo/${uffd.fd}`, 'utf8');
    return Number(/^total:\t(\d+)$/m.exec(info)?.[1]);
  };
  await until(`${count} waiting threads`, () => total() === count);
}

/** A page that begins with `text`, else zeros; more pages where asked for. */
export function page(text: string, pages = 1): Uint8Array {
  const bytes = new Uint8Array(pages * PAGE_SIZE);
  bytes.set(Buffer.from(text));
  return bytes;
}

/** Bytes as text. */
export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
