/**
 * A restore under way: hosts that stand, a pager that serves them, and both clocks.
 */
import { ThawError } from '../errors.js';
import type { Checkpoint } from '../image/checkpoint.js';
import type { LiveTask } from '../image/task.js';
import type { RestorePlan, TaskPlan } from '../plan/restore-plan.js';
import { createDeferred } from '../servicer/deferred.js';
import type { TargetFigures } from '../servicer/figures.js';
import type { Pager } from '../servicer/pager.js';
import type { OnError } from '../servicer/pager-protocol.js';
import type { PagerTarget } from '../servicer/pager-target.js';
import { type Access, checkAccess, pagesToTouch, SEED_MAX } from './access.js';
import type { AddressRange } from './gaps.js';
import { HOST_THREADS_MAX, type HostProcess, TOUCH_WITHOUT_CRC } from './host-process.js';
import type { MappedObjects } from './mapped-objects.js';
import { joinLatencies, succeeded, touchInBatches } from './touch-batches.js';
import type { UffdAccess } from './uffd-access.js';
import { type VerifyCounts, verifyShared, verifyTask } from './verify.js';

/** One live task that has been restored into a host. */
export interface RestoredTask {
  /** The task in the image. */
  readonly task: LiveTask;
  readonly plan: TaskPlan;
  /** The process that stands in for it. */
  readonly host: HostProcess;
  /** The host's own memory, in a gap between the task's regions. */
  readonly hostBlock: AddressRange;
  /** Its side of the pager; undefined when nothing of it is lazy. */
  readonly target: PagerTarget | undefined;
  /** madvise calls that this kernel refused. */
  readonly refusedHints: number;
}

/** Who is told when the pages image cannot be read for a while. */
export interface StallListeners {
  /**
   * A read failed for a reason that may pass, and is tried again for up to five seconds; whoever
   * needs the pages waits. `where` is the pages image and the byte.
   */
  readonly onStall?: ((where: string, reason: string) => void) | undefined;
  /** No read is tried again any more. */
  readonly onResume?: ((where: string) => void) | undefined;
}

/** What a {@link Restoration} is made of. */
export interface RestorationParts extends StallListeners {
  readonly checkpoint: Checkpoint;
  readonly plan: RestorePlan;
  readonly pager: Pager;
  /** Whether the pager ends with this restoration. */
  readonly ownsPager: boolean;
  /** Whether the checkpoint is closed with this restoration. */
  readonly ownsCheckpoint: boolean;
  readonly objects: MappedObjects;
  readonly tasks: readonly RestoredTask[];
  readonly uffdAccess: UffdAccess;
  readonly onError: OnError;
  readonly startedMs: number;
}

/** What was touched in one task. */
export interface TouchSummary {
  /** Pages touched. */
  readonly touched: number;
  /** Pages whose touch failed (poisoned). */
  readonly failed: number;
  /** First-touch latencies in nanoseconds, as the host saw them. */
  readonly latencyNs: Uint32Array;
}

/** Verification of a whole restoration. */
export interface VerifyResult {
  /** In the order of {@link Restoration.tasks}. */
  readonly tasks: readonly VerifyCounts[];
  readonly shared: readonly ({ readonly shmid: number; readonly pages: number } & VerifyCounts)[];
}

/**
 * A restore under way. Made by `restore()`.
 *
 * Owns the hosts: `close()` ends them, and so does the end of this process. Belongs to one thread.
 */
export class Restoration implements AsyncDisposable {
  readonly checkpoint: Checkpoint;
  readonly plan: RestorePlan;
  readonly tasks: readonly RestoredTask[];
  /** `userModeOnly`: the kernel's own accesses to missing pages fail with EFAULT. */
  readonly uffdAccess: UffdAccess;
  /** Milliseconds from the call of `restore()` until every target could run. */
  readonly readyMs: number;
  /** Files that are not what was dumped: their regions have anonymous memory instead. */
  readonly replacedFiles: readonly string[];
  /** Failures of single pages, in order of happening. */
  readonly pageErrors: ThawError[] = [];
  /**
   * Resolves to the milliseconds from the call of `restore()` until every stored page was in. Rejects
   * with HOST_LOST, PAGER_LOST, or ABORTED after {@link close}. Pending for as long as pages are
   * missing: with the fill off, until they have been touched.
   */
  readonly resident: Promise<number>;
  readonly #parts: RestorationParts;
  /** Rejects when pages are missing and nobody brings them any more, or a host is stopped. */
  readonly #lost: Promise<never>;
  /** Hosts that were killed because of bad pages. */
  readonly #killed = new Map<RestoredTask, ThawError>();
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(parts: RestorationParts) {
    this.#parts = parts;
    this.checkpoint = parts.checkpoint;
    this.plan = parts.plan;
    this.tasks = parts.tasks;
    this.uffdAccess = parts.uffdAccess;
    this.replacedFiles = parts.objects.replaced;
    this.readyMs = performance.now() - parts.startedMs;
    const stopped = createDeferred<never>();
    for (const restored of parts.tasks) {
      const { target } = restored;
      target?.on('stall', (where, reason) => parts.onStall?.(where, reason));
      target?.on('resume', (where) => parts.onResume?.(where));
      target?.on('pageError', (error, action) => {
        this.pageErrors.push(error);
        if (action === 'stopped') stopped.reject(stoppedError(restored, error));
        if (action === 'killed') this.#killed.set(restored, killedError(restored, error));
      });
    }
    this.resident = this.#explain(this.#watchResident());
    this.resident.catch(() => {});
    this.#lost = new Promise((_, reject) => {
      for (const { target } of parts.tasks) target?.finished.catch(reject);
      stopped.promise.catch(reject);
    });
    this.#lost.catch(() => {});
  }

  /** The pager's figures, in the order of {@link tasks}; undefined where nothing is lazy. */
  figures(): (TargetFigures | undefined)[] {
    return this.tasks.map(({ target }) => target?.figures());
  }

  /** Starts the background fill of every task. */
  async fill(): Promise<void> {
    await Promise.all(this.tasks.map(({ target }) => target?.fill()));
  }

  /**
   * Touches pages inside every host, as `access` says; tasks at the same time, each with `threads`
   * threads. Resolves when all are touched, in the order of {@link tasks}.
   *
   * @throws HOST_LOST; TASK_STOPPED; PAGER_LOST while pages are missing; ABORTED between batches, or
   * once closed; INVALID_ARGUMENT for an access that is none, a seed or a number of threads out of
   * range.
   */
  async touch(
    access: Access,
    {
      seed = 1,
      threads = 1,
      signal,
    }: { seed?: number; threads?: number; signal?: AbortSignal } = {},
  ): Promise<TouchSummary[]> {
    this.#checkOpen();
    checkAccess(access);
    checkTouch(seed, threads);
    return this.#whileServed(
      this.tasks.map(async ({ task, plan, host, target }) => {
        const words = pagesToTouch(task, plan, access, seed).map(
          (word) => word | TOUCH_WITHOUT_CRC,
        );
        const latencies: Uint32Array[] = [];
        for await (const batch of touchInBatches(host, words, { threads, signal })) {
          latencies.push(succeeded(batch.latencyNs));
        }
        const latencyNs = joinLatencies(latencies);
        const failed = words.length - latencyNs.length;
        await target?.settle();
        return { touched: words.length, failed, latencyNs };
      }),
    );
  }

  /**
   * Compares every stored page and every hole inside the hosts with what the image reader decodes.
   * Brings in what is missing.
   *
   * @throws HOST_LOST; TASK_STOPPED; PAGER_LOST while pages are missing; ABORTED between batches, or
   * once closed.
   */
  async verify(signal?: AbortSignal): Promise<VerifyResult> {
    this.#checkOpen();
    const [result] = await this.#whileServed([this.#verify(signal)]);
    return result as VerifyResult;
  }

  /**
   * Never resolves. Rejects with HOST_LOST or PAGER_LOST when a host ends, or the pager, also where
   * its owner closes it while pages are missing. Stays pending after {@link close}, which is no loss.
   */
  async loss(): Promise<never> {
    const { pager } = this.#parts;
    const lost = createDeferred<never>();
    for (const { host, target } of this.tasks) {
      void host.exited.then(() => lost.reject(host.failure));
      target?.finished.catch(lost.reject);
    }
    pager.once('lost', lost.reject);
    try {
      return await this.#explain(lost.promise);
    } catch (error) {
      if (this.#closing !== undefined) return await new Promise(() => {});
      throw error;
    } finally {
      pager.off('lost', lost.reject);
    }
  }

  /** Ends the hosts, then the pager if it is this restoration's own. Harmless when repeated. */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #verify(signal?: AbortSignal): Promise<VerifyResult> {
    const tasks: VerifyCounts[] = [];
    for (const { task, plan, host, target } of this.tasks) {
      tasks.push(await verifyTask(this.checkpoint, task, plan, host, target, signal));
      await target?.settle();
    }
    const shared = [];
    for (const { shmid, pages } of this.plan.shared) {
      const object = this.checkpoint.sharedObjects.find((candidate) => candidate.shmid === shmid);
      if (object === undefined) continue;
      const counts = await verifyShared(this.checkpoint, object, this.tasks, signal);
      shared.push({
        shmid,
        pages,
        verified: counts.verified,
        holes: counts.holes,
        mismatched: counts.mismatched,
        errors: counts.errors,
      });
    }
    return { tasks, shared };
  }

  #checkOpen(): void {
    if (this.#closing === undefined) return;
    throw new ThawError('ABORTED', { what: 'the restoration was closed' });
  }

  /** `work`, which rejects with the reason where a host or the pager was ended on purpose. */
  async #explain<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.#checkOpen();
      const { code, where } = error instanceof ThawError ? error : {};
      const mayBeKilled = code === 'HOST_LOST' && this.#parts.onError === 'kill';
      const host = this.tasks.find((restored) => mayBeKilled && nameOf(restored) === where);
      if (host === undefined) throw error;
      // The pages that it was killed for may still be on their way to be told.
      await host.target?.settle().catch(() => {});
      throw this.#killed.get(host) ?? error;
    }
  }

  async #end(): Promise<void> {
    await Promise.all(this.tasks.map(({ host }) => host.kill()));
    if (this.#parts.ownsPager) await this.#parts.pager.close();
    else await Promise.all(this.tasks.map(({ target }) => target?.drop()));
    this.#parts.objects.close();
    if (this.#parts.ownsCheckpoint) await this.checkpoint.close();
  }

  /** A host that waits for a page waits for ever once there is no pager: then this rejects. */
  #whileServed<T>(work: readonly Promise<T>[]): Promise<T[]> {
    return this.#explain(Promise.race([Promise.all(work), this.#lost]));
  }

  async #watchResident(): Promise<number> {
    await Promise.all(
      this.tasks.map(async (restored) => {
        const end = await restored.target?.finished;
        if (end === 'gone' || end === 'dropped') {
          throw new ThawError('HOST_LOST', {
            what: 'a host process ended before all of its pages were in',
            where: nameOf(restored),
          });
        }
      }),
    );
    return performance.now() - this.#parts.startedMs;
  }
}

/** What errors call a host. */
function nameOf({ task, host }: RestoredTask): string {
  return `host ${host.pid} of task ${task.pid}`;
}

function stoppedError(restored: RestoredTask, cause: ThawError): ThawError {
  return new ThawError('TASK_STOPPED', {
    what: 'a host was stopped, since pages of it cannot be produced',
    where: nameOf(restored),
    hint: `It can be looked at, and does nothing any more: ${cause.message}`,
    cause,
  });
}

function killedError(restored: RestoredTask, cause: ThawError): ThawError {
  return new ThawError('HOST_LOST', {
    what: 'a host was killed, since pages of it cannot be produced',
    where: nameOf(restored),
    hint: `That is what onError 'kill' is for: ${cause.message}`,
    cause,
  });
}

function checkTouch(seed: number, threads: number): void {
  const inRange = (value: number, min: number, max: number): boolean =>
    Number.isInteger(value) && value >= min && value <= max;
  if (inRange(seed, 0, SEED_MAX) && inRange(threads, 1, HOST_THREADS_MAX)) return;
  throw new ThawError('INVALID_ARGUMENT', {
    what: 'the touch is out of range',
    expected: `a seed from 0 to ${SEED_MAX} and 1 to ${HOST_THREADS_MAX} threads`,
    found: `seed ${seed}, ${threads} threads`,
  });
}
