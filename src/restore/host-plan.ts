/**
 * What a host process is told to map: the bytes of its plan.
 *
 * Reader: native/host/host_plan.h, whose layout this is (little-endian).
 */
import { type AddressRange, GAPS_MAX } from './gaps.js';

const MAGIC = 0x3154534f48574854n;

const HEADER_BYTES = 48 + GAPS_MAX * 8;
const REGION_BYTES = 48;
const GUARD_BYTES = 16;
const EAGER_BYTES = 24;
const FLAG_USER_MODE_ONLY = 1;
const REGION_LAZY = 1;
const REGION_EAGER = 2;

/** What a host keeps for its code, stacks and tables. Peer: kBlockFixedBytes in native/host/block.h. */
const BLOCK_FIXED_BYTES = 4 * 1024 * 1024;
const PAGE = 4096;

/** One mapping of a host. */
export interface HostRegion extends AddressRange {
  /** PROT_* bits when everything is in place. */
  readonly prot: number;
  /** MAP_* bits, without those that fix the address. */
  readonly mapFlags: number;
  /** Descriptor of the object in the host, or -1. */
  readonly objectFd: number;
  readonly objectOffset: bigint;
  /** Bit n: madvise(n). */
  readonly advice: bigint;
  /** Registered with the host's uffd. */
  readonly lazy: boolean;
  /** Has eager runs. */
  readonly eager: boolean;
}

/** Bytes that are in place before the host is ready. */
export interface EagerRun {
  readonly vaddr: bigint;
  readonly byteLength: number;
  /** Byte offset in the eager memfd. */
  readonly offset: number;
}

/** A whole host plan. */
export interface HostPlan {
  readonly regions: readonly HostRegion[];
  readonly guards: readonly AddressRange[];
  readonly eagerRuns: readonly EagerRun[];
  /** Whether its uffd serves faults of user mode only. */
  readonly userModeOnly: boolean;
}

function planBytes(plan: HostPlan): number {
  return (
    HEADER_BYTES +
    plan.regions.length * REGION_BYTES +
    plan.guards.length * GUARD_BYTES +
    plan.eagerRuns.length * EAGER_BYTES
  );
}

/** Bytes of the gap that a host with this plan needs. */
export function hostBlockBytes(plan: HostPlan): number {
  return BLOCK_FIXED_BYTES + Math.ceil(planBytes(plan) / PAGE) * PAGE;
}

/** Encodes a plan for a host that `parentPid` starts and that may put itself at one of `gaps`. */
export function encodeHostPlan(
  plan: HostPlan,
  parentPid: number,
  gaps: readonly bigint[],
): Uint8Array {
  const byteLength = planBytes(plan);
  const bytes = new Uint8Array(byteLength);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, MAGIC, true);
  view.setBigUint64(8, BigInt(byteLength), true);
  view.setBigUint64(16, BigInt(hostBlockBytes(plan)), true);
  view.setUint32(24, parentPid, true);
  view.setUint32(28, plan.userModeOnly ? FLAG_USER_MODE_ONLY : 0, true);
  view.setUint32(32, gaps.length, true);
  view.setUint32(36, plan.regions.length, true);
  view.setUint32(40, plan.guards.length, true);
  view.setUint32(44, plan.eagerRuns.length, true);
  for (const [i, gap] of gaps.entries()) view.setBigUint64(48 + i * 8, gap, true);
  let at = HEADER_BYTES;
  for (const region of plan.regions) {
    view.setBigUint64(at, region.start, true);
    view.setBigUint64(at + 8, region.end, true);
    view.setBigUint64(at + 16, region.objectOffset, true);
    view.setBigUint64(at + 24, region.advice, true);
    view.setUint32(at + 32, region.prot, true);
    view.setUint32(at + 36, region.mapFlags, true);
    view.setInt32(at + 40, region.objectFd, true);
    const flags = (region.lazy ? REGION_LAZY : 0) | (region.eager ? REGION_EAGER : 0);
    view.setUint32(at + 44, flags, true);
    at += REGION_BYTES;
  }
  for (const guard of plan.guards) {
    view.setBigUint64(at, guard.start, true);
    view.setBigUint64(at + 8, guard.end, true);
    at += GUARD_BYTES;
  }
  for (const run of plan.eagerRuns) {
    view.setBigUint64(at, run.vaddr, true);
    view.setBigUint64(at + 8, BigInt(run.byteLength), true);
    view.setBigUint64(at + 16, BigInt(run.offset), true);
    at += EAGER_BYTES;
  }
  return bytes;
}
