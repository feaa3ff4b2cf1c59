/**
 * The messages between the control plane and the pager: one packet each, little-endian.
 *
 * Peer: native/pager/control_messages.h.
 */
import { ThawError } from '../errors.js';

export const PROTOCOL_VERSION = 6;

/** Operations of a request. */
export const REQUEST = {
  addSource: 1,
  addTarget: 2,
  fill: 3,
  prefetch: 4,
  dropTarget: 5,
  dropSource: 6,
  rangesReady: 7,
  outlive: 8,
  settle: 9,
  addRemoteSource: 10,
  replaceSource: 11,
  abandonSource: 12,
  closeSource: 13,
  handoff: 14,
  dropHandoff: 15,
  leave: 16,
} as const;

export const TARGET_HAS_PIDFD = 1;
export const TARGET_AWAITS_RANGES = 2;
export const TARGET_EXPECTED = 4;
export const HANDOFF_FILL = 1;
export const REMOTE_WIDE_HEADER = 1;
export const SOURCE_MAP_AHEAD = 1;

/** What the pager does about a target with pages that cannot be produced, by number. */
export const ON_ERROR: readonly OnError[] = ['poison', 'stop', 'kill'];
const TARGET_ON_ERROR_SHIFT = 8;

/**
 * What becomes of a target with pages that cannot be produced. They are poisoned: a touch of them is
 * SIGBUS, and everything else goes on. `stop` stops the process as well (SIGSTOP), `kill` kills it.
 */
export type OnError = 'poison' | 'stop' | 'kill';

/** The flags of a request that say so. */
export function onErrorFlags(onError: OnError): number {
  const number = ON_ERROR.indexOf(onError);
  if (number >= 0) return number << TARGET_ON_ERROR_SHIFT;
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'what is to be done about pages that cannot be produced is not known',
    expected: ON_ERROR.join(', '),
    found: String(onError),
  });
}

/** What was done about pages that cannot be produced, by number. Peer: native/core/error_policy.h. */
const ERROR_ACTIONS: readonly PageAction[] = [
  'none',
  'poisoned',
  'stopped',
  'killed',
  'held',
  'retrying',
  'resumed',
  'childPoisoned',
  'childHeld',
];

/**
 * What was done: `poisoned`, a touch is SIGBUS; `stopped` or `killed`, the process was sent that
 * signal; `held`, on a kernel that cannot poison whoever touches them waits for ever; `none`, nothing
 * is registered at their addresses.
 */
export type ErrorAction = 'none' | 'poisoned' | 'stopped' | 'killed' | 'held';

/**
 * The same, of the target or of a child that it forked and that cannot be served, and whether a read is
 * being tried again, or no read is any more.
 */
export type PageAction = ErrorAction | 'childPoisoned' | 'childHeld' | 'retrying' | 'resumed';

/** The action that an event names. */
export function toPageAction(number: bigint): PageAction {
  return ERROR_ACTIONS[Number(number)] ?? 'none';
}

/** What a packet from the pager is. */
export const PACKET = { hello: 1, answer: 2, event: 3 } as const;

/** What an event tells. */
export const EVENT = {
  resident: 1,
  gone: 2,
  forked: 3,
  pageError: 4,
  prefetchDone: 5,
  settled: 6,
  sourceLost: 7,
  sourceClosed: 8,
  tookOver: 9,
  handedOver: 10,
  handoffEnd: 11,
} as const;

/** How a handoff ended, by number. Peer: HandoffEnd in native/core/pager_event.h. */
export const HANDOFF_ENDS = [
  'restored',
  'hungUp',
  'halfMessage',
  'strayFds',
  'notOneFd',
  'stranger',
  'tooEarly',
  'silent',
  'notUffd',
  'noDescriptors',
  'notServed',
  'sourceLost',
] as const;

/** Why a request was refused, by number. */
export const REFUSALS: readonly string[] = [
  'not refused',
  'the request is malformed',
  'the descriptor is not a userfaultfd',
  'a pages image of the plan was not announced',
  'the pager does not know this target',
  'the target is there already',
  'the plan contradicts itself or its pages images',
  'the pages image cannot be opened or mapped',
  'the pager has no room for another target',
  'the pager failed',
  'it has no descriptor left',
  'too many restores are under way',
];

/** Which check of a plan failed, by number. Peer: Plan::Error in native/core/plan.h. */
export const PLAN_ERRORS: readonly string[] = [
  'none',
  'it is not sealed',
  'it is cut off',
  'its magic is wrong',
  'its columns do not fit',
  'a region is out of bounds',
  'an extent is out of bounds',
  'an LZ4 block is out of bounds',
  'an extent lies outside its pages image',
  'it cannot be mapped',
  'a checksum is out of bounds',
];

const REQUEST_BYTES = 40;
export const PACKET_BYTES = 72;

export interface PagerRequest {
  readonly op: number;
  readonly flags?: number;
  readonly requestId: number;
  readonly target: number;
  readonly a?: bigint;
  readonly b?: bigint;
  /** What stands behind the numbers: source ids as a plan counts them, or target ids. */
  readonly ids?: readonly number[];
}

export interface PagerPacket {
  readonly kind: number;
  readonly eventKind: number;
  readonly requestId: number;
  readonly refusal: number;
  readonly errno: number;
  readonly target: number;
  readonly a: bigint;
  readonly b: bigint;
  readonly c: bigint;
  readonly d: bigint;
  readonly e: bigint;
}

export function encodeRequest(request: PagerRequest): Uint8Array {
  const ids = request.ids ?? [];
  const bytes = new Uint8Array(REQUEST_BYTES + ids.length * 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request.op, true);
  view.setUint32(4, request.flags ?? 0, true);
  view.setBigUint64(8, BigInt(request.requestId), true);
  view.setBigUint64(16, BigInt(request.target), true);
  view.setBigUint64(24, request.a ?? 0n, true);
  view.setBigUint64(32, request.b ?? 0n, true);
  for (const [i, id] of ids.entries()) view.setUint32(REQUEST_BYTES + i * 4, id, true);
  return bytes;
}

export function decodePacket(bytes: Uint8Array): PagerPacket {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    kind: view.getUint32(0, true),
    eventKind: view.getUint32(4, true),
    requestId: Number(view.getBigUint64(8, true)),
    refusal: view.getUint32(16, true),
    errno: view.getInt32(20, true),
    target: Number(view.getBigUint64(24, true)),
    a: view.getBigUint64(32, true),
    b: view.getBigUint64(40, true),
    c: view.getBigUint64(48, true),
    d: view.getBigUint64(56, true),
    e: view.getBigUint64(64, true),
  };
}
