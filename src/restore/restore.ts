/**
 * The coordinator: from an image to hosts that run and a pager that serves them.
 */
import { PAGE_SIZE } from '../address.js';
import { ThawError } from '../errors.js';
import { Checkpoint } from '../image/checkpoint.js';
import type { LiveTask } from '../image/task.js';
import { native } from '../native.js';
import { planRestore } from '../plan/plan-restore.js';
import type { RestorePlan, TaskPlan } from '../plan/restore-plan.js';
import { Pager } from '../servicer/pager.js';
import type { OnError } from '../servicer/pager-protocol.js';
import { HostProcess } from './host-process.js';
import { MappedObjects } from './mapped-objects.js';
import { closeHostStart, prepareHost } from './prepare-host.js';
import { Restoration, type RestoredTask, type StallListeners } from './restoration.js';
import { throwIfAborted } from './touch-batches.js';
import { probeUffdAccess, type UffdAccess } from './uffd-access.js';

/** Options of {@link restore}. */
export interface RestoreOptions extends StallListeners {
  /**
   * Whether the pager brings in behind the program what it has not touched. Off, exactly the pages
   * that are touched come in.
   * @default true
   */
  readonly fill?: boolean;
  /**
   * A pager that serves other restores too; it stays the caller's.
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
 * NOTHING_TO_RESTORE for an image without live tasks; ABORTED.
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
  const uffdAccess = probeUffdAccess();
  const ownsCheckpoint = typeof image === 'string';
  const undo: (() => unknown)[] = [];
  // The pager's process starts while the image is read.
  const starting = options.pager === undefined ? Pager.start() : undefined;
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
    const setup: Setup = { checkpoint, plan, pager, objects, uffdAccess, fill, onError };
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
  { checkpoint, plan, pager, objects, uffdAccess, fill, onError }: Setup,
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
      ...(fill ? {} : { windowBytes: PAGE_SIZE }),
      onError,
    });
    return { ...restored, target };
  } finally {
    // The pager has its own copy, and the host keeps one.
    native.closeFd(uffd);
  }
}
