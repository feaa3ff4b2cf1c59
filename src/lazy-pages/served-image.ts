/** What of an image a daemon has to know to serve restores of it. */
import type { Checkpoint } from '../image/checkpoint.js';
import { planRestore } from '../plan/plan-restore.js';
import type { PagesSource, RestorePlan, TaskPlan } from '../plan/restore-plan.js';

/** How {@link serveAsMarked} serves. */
export interface ServeOptions {
  /** Whether a page server has the lazy pages of the image. */
  readonly remotePages: boolean;
}

/** An image to serve. Stays valid when its checkpoint is closed. */
export interface ServedImage {
  /** Its directory, for messages. */
  readonly directory: string;
  /** Tasks of the process tree, zombies included: as many are announced. */
  readonly taskCount: number;
  /** Plans of the live tasks, by their pids in the image. */
  readonly plans: ReadonlyMap<number, TaskPlan>;
  /** The pages images that the plans name. */
  readonly sources: readonly PagesSource[];
  /** Whether it was written by CRIU 4.2 or later, whose page server has longer headers. */
  readonly wideHeader: boolean;
}

/** `checkpoint` for restores that bring in eagerly whatever its entries do not mark as lazy. */
export function serveAsMarked(
  checkpoint: Checkpoint,
  { remotePages }: ServeOptions = { remotePages: false },
): ServedImage {
  return toServedImage(checkpoint, planRestore(checkpoint, { laziness: 'entry', remotePages }));
}

/** `checkpoint` with a plan of it. */
export function toServedImage(checkpoint: Checkpoint, plan: RestorePlan): ServedImage {
  return {
    directory: checkpoint.directory,
    taskCount: checkpoint.tasks.length,
    plans: new Map(plan.tasks.map((task) => [task.pid, task])),
    sources: plan.sources,
    wideHeader: checkpoint.tasks.some(({ pagemap }) => pagemap?.layers[0]?.wideCounts === true),
  };
}
