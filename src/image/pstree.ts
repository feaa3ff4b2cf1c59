/** `pstree.img` and `core-<pid>.img`: which tasks there are, and in what state. */
import { join } from 'node:path';
import { ThawError } from '../errors.js';
import { thaw } from '../proto/messages.js';
import { decodeRecord, formatPlace, MAGIC, type RecordPlace, readRecords } from './record-file.js';

/** The only machine that is served: x86-64 (`mtype` 1). */
const MACHINE_X86_64 = 1;

/** Names of the other machines that CRIU writes, for messages. */
const MACHINE_NAMES: ReadonlyMap<number, string> = new Map([
  [2, 'arm'],
  [3, 'aarch64'],
  [4, 'ppc64'],
  [5, 's390'],
  [6, 'mips'],
  [7, 'loongarch64'],
  [8, 'riscv64'],
]);

/** `task_state` of tasks that have memory: running, stopped. */
const STATES_ALIVE: readonly number[] = [1, 3];
/** `task_state` of tasks that have none: dead, zombie. */
const STATES_DEAD: readonly number[] = [2, 6];

/** A task by the order and the identities that `pstree.img` gives. */
export interface TaskIdentity {
  readonly pid: number;
  readonly ppid: number;
  readonly pgid: number;
  readonly sid: number;
  readonly threads: readonly number[];
}

/** What `core-<pid>.img` says of a task. */
export interface TaskCore {
  readonly state: 'alive' | 'dead';
  readonly comm: string;
}

/**
 * Reads `pstree.img` of `directory`.
 *
 * @throws ThawError PSTREE_INVALID if it is empty or names a pid twice, and those of a record file.
 */
export async function readPstree(directory: string): Promise<TaskIdentity[]> {
  const path = join(directory, 'pstree.img');
  const tasks = new Map<number, TaskIdentity>();
  await readRecords(path, MAGIC.pstree, (bytes, place) => {
    const { pid, ppid, pgid, sid, threads } = decodeRecord(thaw.PstreeEntry, bytes, place);
    if (pid === 0 || tasks.has(pid)) {
      throw new ThawError('PSTREE_INVALID', {
        what: 'a task of the process tree has no pid of its own',
        found: `pid ${pid}`,
        where: formatPlace(place),
      });
    }
    tasks.set(pid, { pid, ppid, pgid, sid, threads });
  });
  if (tasks.size === 0) {
    throw new ThawError('PSTREE_INVALID', { what: 'the process tree has no task', where: path });
  }
  return [...tasks.values()];
}

/**
 * Reads `core-<pid>.img` of `directory`.
 *
 * @throws ThawError MACHINE_UNSUPPORTED, PSTREE_INVALID if the task is in no known state,
 *   PROTO_MALFORMED if the file does not describe a task, and those of a record file.
 */
export async function readCore(directory: string, pid: number): Promise<TaskCore> {
  const path = join(directory, `core-${pid}.img`);
  let core: TaskCore | undefined;
  await readRecords(path, MAGIC.core, (bytes, place) => {
    core ??= checkCore(decodeRecord(thaw.Core, bytes, place), place);
  });
  if (core === undefined) {
    throw new ThawError('PROTO_MALFORMED', { what: 'the core image has no record', where: path });
  }
  return core;
}

function checkCore(message: thaw.Core, place: RecordPlace): TaskCore {
  const where = formatPlace(place);
  if (message.mtype !== MACHINE_X86_64) {
    throw new ThawError('MACHINE_UNSUPPORTED', {
      what: 'the image is of another machine',
      expected: 'x86-64',
      found: MACHINE_NAMES.get(message.mtype) ?? `machine type ${message.mtype}`,
      where,
    });
  }
  if (!message.tc) {
    throw new ThawError('PROTO_MALFORMED', {
      what: 'the core image describes no task',
      expected: 'field tc (3)',
      where,
    });
  }
  const { task_state: state, comm } = message.tc;
  if (STATES_ALIVE.includes(state)) return { state: 'alive', comm };
  if (STATES_DEAD.includes(state)) return { state: 'dead', comm };
  throw new ThawError('PSTREE_INVALID', {
    what: 'a task is in an unknown state',
    expected: 'task_state 1 (alive), 2 (dead), 3 (stopped) or 6 (zombie)',
    found: String(state),
    where,
  });
}
