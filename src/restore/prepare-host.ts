/**
 * From a task of a checkpoint to everything that its host process starts with.
 */
import { PAGE_SIZE, USER_SPACE_END } from '../address.js';
import { ThawError } from '../errors.js';
import type { Checkpoint } from '../image/checkpoint.js';
import type { LiveTask } from '../image/task.js';
import { MAP_FLAG, type Vma } from '../image/vma.js';
import { native } from '../native.js';
import { EXTENT_KIND, type TaskPlan } from '../plan/restore-plan.js';
import { writeAll } from './file-bytes.js';
import { type AddressRange, findGaps } from './gaps.js';
import {
  type EagerRun,
  encodeHostPlan,
  type HostPlan,
  type HostRegion,
  hostBlockBytes,
} from './host-plan.js';
import { FIRST_OBJECT_FD, type HostStart } from './host-process.js';
import type { MappedObjects } from './mapped-objects.js';

/** Pages read at once while eager pages are copied. */
const EAGER_CHUNK_PAGES = 256;
const MAP_SHARED = 1;

/** What a host starts with. The memfds are the caller's: {@link closeHostStart}. */
export async function prepareHost(
  checkpoint: Checkpoint,
  task: LiveTask,
  plan: TaskPlan,
  objects: MappedObjects,
  userModeOnly: boolean,
): Promise<HostStart> {
  const eagerFd = native.createMemfd('thaw-eager', plan.totals.eagerPages * PAGE_SIZE);
  try {
    const eagerRuns = await copyEagerPages(checkpoint, task, plan, eagerFd);
    const objectFds: number[] = [];
    const hostPlan: HostPlan = {
      regions: task.vmas
        .filter(isRegion)
        .map((vma) => toHostRegion(vma, objects, objectFds, eagerRuns)),
      guards: task.vmas.filter((vma) => vma.guard),
      eagerRuns,
      userModeOnly,
    };
    const planFd = native.createSealedMemfd('thaw-host-plan', [
      encodeHostPlan(hostPlan, process.pid, gapsFor(task, hostPlan)),
    ]);
    return { planFd, eagerFd, objectFds, blockBytes: hostBlockBytes(hostPlan) };
  } catch (error) {
    native.closeFd(eagerFd);
    throw error;
  }
}

/** Closes what {@link prepareHost} made; a running host has its own copies. */
export function closeHostStart(start: HostStart): void {
  native.closeFd(start.planFd);
  native.closeFd(start.eagerFd);
}

/** Whether a VMA becomes a region: guards lie inside others, vsyscall belongs to the kernel. */
export function isRegion(vma: Vma): boolean {
  return !vma.guard && vma.class !== 'vsyscall' && vma.end <= USER_SPACE_END;
}

function gapsFor(task: LiveTask, plan: HostPlan): bigint[] {
  const gaps = findGaps(plan.regions, BigInt(hostBlockBytes(plan)));
  if (gaps.length > 0) return gaps;
  throw new ThawError('HOST_START_FAILED', {
    what: 'the image leaves no room for a host process',
    expected: `a gap of ${hostBlockBytes(plan)} bytes between its regions`,
    where: `task ${task.pid}`,
    hint: 'Restore it with `--restorer criu`',
  });
}

function toHostRegion(
  vma: Vma,
  objects: MappedObjects,
  objectFds: number[],
  eagerRuns: readonly EagerRun[],
): HostRegion {
  const object = objects.descriptorOf(vma);
  let objectFd = -1;
  if (object !== undefined) {
    const known = objectFds.indexOf(object);
    objectFd = FIRST_OBJECT_FD + (known >= 0 ? known : objectFds.push(object) - 1);
  }
  return {
    start: vma.start,
    end: vma.end,
    prot: vma.prot,
    mapFlags: mapFlags(vma, object !== undefined),
    objectFd,
    objectOffset: object === undefined ? 0n : vma.pgoff,
    advice: vma.madv.reduce((bits, number) => bits | (1n << BigInt(number)), 0n),
    lazy: vma.canBeLazy,
    eager: eagerRuns.some((run) => run.vaddr >= vma.start && run.vaddr < vma.end),
  };
}

/**
 * Files are mapped private even where the task shared them: a host must never be able to change one.
 */
function mapFlags(vma: Vma, mapsObject: boolean): number {
  if (!mapsObject) return MAP_FLAG.private | MAP_FLAG.anonymous | (vma.flags & MAP_FLAG.growsDown);
  const shared = vma.shmid !== undefined && (vma.flags & MAP_SHARED) !== 0;
  return shared ? MAP_SHARED : MAP_FLAG.private;
}

async function copyEagerPages(
  checkpoint: Checkpoint,
  task: LiveTask,
  plan: TaskPlan,
  eagerFd: number,
): Promise<EagerRun[]> {
  const runs: EagerRun[] = [];
  let offset = 0;
  for (const { start, end } of eagerRanges(plan)) {
    for (let vaddr = start; vaddr < end; ) {
      const pageCount = Math.min(Number(end - vaddr) / PAGE_SIZE, EAGER_CHUNK_PAGES);
      const bytes = await checkpoint.readPages(task, vaddr, pageCount);
      writeAll(eagerFd, bytes, offset);
      runs.push({ vaddr, byteLength: bytes.length, offset });
      offset += bytes.length;
      vaddr += BigInt(bytes.length);
    }
  }
  return runs;
}

function* eagerRanges({ extents }: TaskPlan): Generator<AddressRange> {
  for (let i = 0; i < extents.kind.length; i++) {
    if (extents.kind[i] !== EXTENT_KIND.eager) continue;
    const start = extents.vaddr[i] as bigint;
    yield { start, end: start + BigInt((extents.pageCount[i] as number) * PAGE_SIZE) };
  }
}
