/** What a checkpoint consists of: tasks, and memory objects that several of them may share. */
import type { LayeredPagemap } from './layered-pagemap.js';
import type { TaskIdentity } from './pstree.js';
import type { Vma } from './vma.js';

/** A task that was running or stopped when it was dumped. */
export interface LiveTask extends TaskIdentity {
  readonly state: 'alive';
  /** Name of the task, as in /proc/PID/comm. */
  readonly comm: string;
  /** Its VMAs, in the order of the image: by address, guard areas last. */
  readonly vmas: readonly Vma[];
  /** Its stored pages. */
  readonly pagemap: LayeredPagemap;
}

/** A zombie: it has a place in the process tree, but neither threads nor memory. */
export interface DeadTask extends TaskIdentity {
  readonly state: 'dead';
  /** Name of the task, as in /proc/PID/comm. */
  readonly comm: string;
  readonly vmas: readonly [];
  readonly pagemap: undefined;
}

/** A task of a checkpoint. `state` tells whether it has memory. */
export type Task = LiveTask | DeadTask;

/** A memory object that tasks map shared: shared anonymous memory, a memfd, or SysV shared memory. */
export interface SharedObject {
  /** Number in the name of its pagemap file. */
  readonly shmid: number;
  /** Size in bytes. */
  readonly size: bigint;
  /** Name of the memfd; `undefined` if the object is none. */
  readonly name: string | undefined;
  /** Its stored pages; addresses are offsets in the object. */
  readonly pagemap: LayeredPagemap;
}

/** Whatever pages can be read of. */
export type PageOwner = LiveTask | SharedObject;

/** A run of stored pages with its bytes. */
export interface StoredRun {
  /** Address of the first page; for a shared object the offset in it. */
  readonly vaddr: bigint;
  /** Number of pages. */
  readonly pageCount: number;
  /** The bytes, `pageCount` pages. They belong to the caller. */
  readonly bytes: Uint8Array;
}
