/** Kills of a pager's processes, one at a time, in an order that a seed decides. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  findPagerProcess,
  killIfThere,
  pagerProcess,
  runningGroup,
  until,
} from './process-facts.js';
import type { SeededRandom } from './seeded-random.js';

export const ROLES = ['thaw-pager', 'thaw-keeper', 'thaw-standby'] as const;
export type Role = (typeof ROLES)[number];

/** After ten workers in a row that lived for less than a second, the keeper makes targets wait. */
export const KILLS_MAX = 8;

/** Half of the kills meet the process that serves. */
const VICTIMS: readonly Role[] = ['thaw-pager', 'thaw-pager', 'thaw-keeper', 'thaw-standby'];

/** Whether a pager has its three processes. */
function isWhole(pgid: number): boolean {
  const roles = runningGroup(pgid).map(({ comm }) => comm);
  return roles.length === ROLES.length && ROLES.every((role) => roles.includes(role));
}

/** Waits until a pager has its three processes. */
export async function wholeAgain(pgid: number): Promise<void> {
  await until('three processes', () => isWhole(pgid));
}

/** Kills one process of a pager, and waits until there is another. */
export async function replaceProcess(pgid: number, role: Role): Promise<void> {
  const victim = pagerProcess(pgid, role);
  process.kill(victim, 'SIGKILL');
  await until(`another ${role}`, () => ![victim, undefined].includes(findPagerProcess(pgid, role)));
  await wholeAgain(pgid);
}

/**
 * Kills processes of a pager at random moments while pages are missing, {@link KILLS_MAX} at most. When
 * none are missing any more, the pager may end. Resolves to the roles of the killed.
 */
export async function killAtRandom(
  pgid: number,
  random: SeededRandom,
  { killsMax, pauseMs, missing }: { killsMax: number; pauseMs: number; missing: () => boolean },
): Promise<Role[]> {
  const killed: Role[] = [];
  for (;;) {
    await until('three processes', () => isWhole(pgid) || !missing());
    if (killed.length === Math.min(killsMax, KILLS_MAX)) return killed;
    await sleep(random.below(pauseMs + 1));
    const role = random.pick(VICTIMS);
    const victim = findPagerProcess(pgid, role);
    if (!missing() || victim === undefined || !killIfThere(victim)) return killed;
    killed.push(role);
    await until(`the end of ${role} ${victim}`, () => findPagerProcess(pgid, role) !== victim);
  }
}
