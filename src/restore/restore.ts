/**
 * The coordinator: from an image to hosts that run and a pager that serves them.
 */
import { ThawError } from '../errors.js';
import { Checkpoint } from '../image/checkpoint.js';
import type { LiveTask } from '../image/task.js';
import { native } from '../native.js';
import { planRestore } from '../plan/plan-restore.js';
import type { RestorePlan, TaskPlan } from '../plan/restore-plan.js';
import { type PagerOptions, windowOf } from '../servicer/fill-options.js';
import { Pager } from '../servicer/pager.js';
import type { OnError } from '../servicer/pager-protocol.js';
import { HostProcess } from './host-process.js';
import { MappedObjects } from './mapped-objects.js';
import { closeHostStart, prepareHost } from './prepare-host.js';
import { Restoration, type RestoredTask, type StallListeners } from './restoration.js';
import { throwIfAborted } from './touch-batches.js';
import { probeUffdAccess, type UffdAccess } from './uffd-access.js';

/**
 * Options of {@link restore}; `fillThreads` and `fillRate` are those of its own pager.
 *
 * @example
 * const gently: RestoreOptions = { fillRate: 100 * 2 ** 20, fillThreads: 1 };
 * const groups: RestoreOptions = { fill: false, windowBytes: 16_384 };
 */
export interface RestoreOptions extends PagerOptions, StallListeners {
  /**
   * Whether the pager brings in behind the program what it has not touched. Off, the pages that are
   * touched come in, and no more than `windowBytes` with each.
   * @default true
   */
  readonly fill?: boolean;
  /**
   * Most bytes installed for one fault where the program shows a pattern, from 4096 (exactly what is
   * touched) to 64 KiB.
   * @default 64 KiB, or 4096 with the fill off
   */
  readonly windowBytes?: number | undefined;
  /**
   * A pager that serves other restores too; it stays the caller's, and has fill options of its own.
   * @default a pager of this restore's own
   */
  readonly pager?: Pager;
  /**
   * What becomes of a host of which pages cannot be produced.
   * @default 'poison'
   */
  readonly onError?: OnError;
  /** Stops the restore while it is being set up. */
  readonly signal?: AbortSignal;
}

interface Setup {
  readonly checkpoint: Checkpoint;
  readonly plan: RestorePlan;
  readonly pager: Pager;
  readonly objects: MappedObjects;
  readonly uffdAccess: UffdAccess;
  readonly fill: boolean;
  readonly windowBytes: number;
  readonly onError: OnError;
}

/**
 * Restores every live task of an image into a host process: its regions stand at their addresses, and
 * each page comes when it is touched.
 *
 * Resolves when every target could run (`readyMs`). Whatever it started is gone when it rejects.
 *
 * @param image an image directory, or an open checkpoint (which stays the caller's)
 * @throws image codes for a bad image; UFFD_UNAVAILABLE; HOST_FAILED or HOST_LOST; PAGER_* codes;
 * NOTHING_TO_RESTORE for an image without live tasks; NATIVE_MISSING; INVALID_ARGUMENT; ABORTED.
 * @example
 * await using restoration = await restore('/images/redis');
 * console.log(restoration.readyMs, await restoration.resident);
 */
export async function restore(
  image: string | Checkpoint,
  options: RestoreOptions = {},
): Promise<Restoration> {
  const startedMs = performance.now();
  checkImage(image);
  checkPagerOptions(options);
  const uffdAccess = probeUffdAccess();
  const ownsCheckpoint = typeof image === 'string';
  const undo: (() => unknown)[] = [];
  // The pager's process starts while the image is read.
  const starting = options.pager === undefined ? Pager.start(options) : undefined;
  starting?.catch(() => {}); // told where it is waited for
  const stopPager = (pager: Pager): Promise<void> => pager.close();
  undo.push(() => starting?.then(stopPager, () => {}));
  try {
    const checkpoint = ownsCheckpoint ? await Checkpoint.open(image) : image;
    if (ownsCheckpoint) undo.push(() => checkpoint.close());
    const live = liveTasks(checkpoint);
    const plan = planRestore(checkpoint);
    const objects = await MappedObjects.open(checkpoint);
    undo.push(() => objects.close());
    const pager = options.pager ?? (await (starting as Promise<Pager>));
    const { fill = true, onError = 'poison' } = options;
    const windowBytes = windowOf(fill, options.windowBytes);
    const parts = { checkpoint, plan, pager, objects, uffdAccess };
    const setup: Setup = { ...parts, fill, windowBytes, onError };
    const tasks: RestoredTask[] = [];
    for (const [i, task] of live.entries()) {
      throwIfAborted(options.signal);
      const restored = await restoreTask(setup, task, plan.tasks[i] as TaskPlan, undo);
      tasks.push(restored);
    }
    const restoration = new Restoration({
      ...setup,
      ownsPager: options.pager === undefined,
      ownsCheckpoint,
      tasks,
      startedMs,
      onStall: options.onStall,
      onResume: options.onResume,
    });
    // From here on it owns all of that.
    undo.splice(0, undo.length, () => restoration.close());
    if (fill) await restoration.fill();
    throwIfAborted(options.signal);
    return restoration;
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw error;
  }
}

/** What the types say, for callers that have none. */
function checkImage(image: unknown): void {
  if ((typeof image === 'string' && image !== '') || image instanceof Checkpoint) return;
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'there is nothing to restore',
    expected: 'the path of an image directory, or a Checkpoint',
    found: image === '' ? 'an empty path' : typeof image,
  });
}

/** A pager that runs already has the options that it was started with. */
function checkPagerOptions({ pager, fillThreads, fillRate }: RestoreOptions): void {
  if (pager === undefined || (fillThreads === undefined && fillRate === undefined)) return;
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'fillThreads and fillRate are options of a pager, and this one runs already',
    hint: 'Give them to Pager.start()',
  });
}

function liveTasks(checkpoint: Checkpoint): LiveTask[] {
  const live = checkpoint.tasks.filter((task): task is LiveTask => task.state === 'alive');
  if (live.length > 0) return live;
  throw new ThawError('NOTHING_TO_RESTORE', {
    what: 'the image has no live task',
    expected: 'at least one',
    found: `${checkpoint.tasks.length} tasks, all dead`,
    where: checkpoint.directory,
  });
}

async function restoreTask(
  { checkpoint, plan, pager, objects, uffdAccess, windowBytes, onError }: Setup,
  task: LiveTask,
  taskPlan: TaskPlan,
  undo: (() => unknown)[],
): Promise<RestoredTask> {
  const userModeOnly = uffdAccess === 'userModeOnly';
  const start = await prepareHost(checkpoint, task, taskPlan, objects, userModeOnly);
  let started: Awaited<ReturnType<typeof HostProcess.start>>;
  try {
    started = await HostProcess.start(task.pid, start);
  } finally {
    closeHostStart(start);
  }
  const { host, ready } = started;
  undo.push(() => host.kill());
  const { uffd, refusedHints, block } = ready;
  const restored = { task, plan: taskPlan, host, hostBlock: block, refusedHints };
  if (uffd === undefined) return { ...restored, target: undefined };
  try {
    const target = await pager.add({
      uffd,
      plan: taskPlan,
      sources: plan.sources,
      pidfd: host.pidfd,
      windowBytes,
      onError,
    });
    return { ...restored, target };
  } finally {
    // The pager has its own copy, and the host keeps one.
    native.closeFd(uffd);
  }
}
