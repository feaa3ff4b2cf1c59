/**
 * Events of a userfaultfd, and their decoding.
 */
import type { RawMessages, UffdHandle } from '../native.js';
import { FlagSet } from './flag-set.js';
import { PagefaultFlag, type PagefaultFlags } from './flags.js';

/** A thread of the target touched memory and waits until the page is resolved and woken. */
export interface PagefaultEvent {
  readonly type: 'pagefault';
  /** The page's address, or the exact one with EXACT_ADDRESS. */
  readonly vaddr: bigint;
  /** It was a write. */
  readonly write: boolean;
  /** The page is there but write-protected. */
  readonly writeProtected: boolean;
  /** The page is in the page cache but not mapped: resolve it by `continue`. */
  readonly minor: boolean;
  /** The thread's id, where the feature THREAD_ID is on. */
  readonly threadId: number | undefined;
  /** All flags, those unknown here as well. */
  readonly flags: PagefaultFlags;
}

/** The target forked. */
export interface ForkEvent<Child> {
  readonly type: 'fork';
  /** Serves the child's memory. Owned by who read the event: close it once the child is served. */
  readonly child: Child;
}

/** The target moved memory by mremap(2). */
export interface RemapEvent {
  readonly type: 'remap';
  readonly from: bigint;
  readonly to: bigint;
  readonly byteLength: number;
}

/** The target discarded the pages from `start` to `end` (exclusive); the range stays registered. */
export interface RemoveEvent {
  readonly type: 'remove';
  readonly start: bigint;
  readonly end: bigint;
}

/** The target unmapped the range from `start` to `end` (exclusive). */
export interface UnmapEvent {
  readonly type: 'unmap';
  readonly start: bigint;
  readonly end: bigint;
}

/** An event that this library does not know: a newer kernel's. */
export interface UnknownEvent {
  readonly type: 'unknown';
  /** The kernel's number of it. */
  readonly event: number;
  /** Its 24 bytes as three words. */
  readonly words: readonly [bigint, bigint, bigint];
}

/** Every event but a fork, whose content depends on who owns the child's descriptor. */
export type PlainEvent = PagefaultEvent | RemapEvent | RemoveEvent | UnmapEvent | UnknownEvent;

/** Bytes of a message (`struct uffd_msg`). */
export const MESSAGE_BYTES = 32;

const EVENT_PAGEFAULT = 0x12;
const EVENT_FORK = 0x13;
const EVENT_REMAP = 0x14;
const EVENT_REMOVE = 0x15;
const EVENT_UNMAP = 0x16;

/** Decodes messages in their order; `adopt` makes the owner of each forked child's descriptor. */
export function decodeMessages<Child>(
  raw: RawMessages,
  adopt: (handle: UffdHandle) => Child,
): (PlainEvent | ForkEvent<Child>)[] {
  const { messages } = raw;
  const view = new DataView(messages.buffer, messages.byteOffset, messages.byteLength);
  const children = raw.children.values();
  const events: (PlainEvent | ForkEvent<Child>)[] = [];
  for (let at = 0; at < messages.byteLength; at += MESSAGE_BYTES) {
    const handle = view.getUint8(at) === EVENT_FORK ? children.next().value : undefined;
    events.push(
      handle === undefined ? decodeMessage(view, at) : { type: 'fork', child: adopt(handle) },
    );
  }
  return events;
}

/** Decodes the message at byte `at`. A fork without a descriptor counts as unknown. */
function decodeMessage(view: DataView, at: number): PlainEvent {
  const event = view.getUint8(at);
  const words: [bigint, bigint, bigint] = [
    view.getBigUint64(at + 8, true),
    view.getBigUint64(at + 16, true),
    view.getBigUint64(at + 24, true),
  ];
  const [first, second, third] = words;
  switch (event) {
    case EVENT_PAGEFAULT:
      return pagefault(first, second, view.getUint32(at + 24, true));
    case EVENT_REMAP:
      return { type: 'remap', from: first, to: second, byteLength: Number(third) };
    case EVENT_REMOVE:
      return { type: 'remove', start: first, end: second };
    case EVENT_UNMAP:
      return { type: 'unmap', start: first, end: second };
    default:
      return { type: 'unknown', event, words };
  }
}

function pagefault(bits: bigint, vaddr: bigint, threadId: number): PagefaultEvent {
  const flags = new FlagSet(PagefaultFlag, bits);
  return {
    type: 'pagefault',
    vaddr,
    write: flags.has(PagefaultFlag.WRITE),
    writeProtected: flags.has(PagefaultFlag.WP),
    minor: flags.has(PagefaultFlag.MINOR),
    threadId: threadId === 0 ? undefined : threadId,
    flags,
  };
}
