/** Kills of a pager's processes, one at a time, in an order that a seed decides. */
import { setTimeout as sleep } from 'node:timers/promises';
import { groupOf, pagerProcess, until } from './process-facts.js';
import type { SeededRandom } from './seeded-random.js';

export const ROLES = ['thaw-pager', 'thaw-keeper', 'thaw-standby'] as const;
export type Role = (typeof ROLES)[number];

/** After ten workers in a row that lived for less than a second, the keeper makes targets wait. */
export const KILLS_MAX = 8;

/** Half of the kills meet the process that serves. */
const VICTIMS: readonly Role[] = ['thaw-pager', 'thaw-pager', 'thaw-keeper', 'thaw-standby'];

/** Waits until a pager has its three processes. */
export async function wholeAgain(pgid: number): Promise<void> {
  const whole = (): boolean => ROLES.every((role) => pagerProcess(pgid, role) > 0);
  await until('three processes', () => whole() && groupOf(pgid).length === ROLES.length);
}

/** Kills one process of a pager, and waits until there is another. */
export async function replaceProcess(pgid: number, role: Role): Promise<void> {
  const victim = pagerProcess(pgid, role);
  process.kill(victim, 'SIGKILL');
  await until(`another ${role}`, () => ![victim, -1].includes(pagerProcess(pgid, role)));
  await wholeAgain(pgid);
}

/**
 * Kills processes of a pager at random moments while `wanted` holds, {@link KILLS_MAX} at most.
 * Resolves to the roles of the killed.
 */
export async function killAtRandom(
  pgid: number,
  random: SeededRandom,
  { killsMax, pauseMs, wanted }: { killsMax: number; pauseMs: number; wanted: () => boolean },
): Promise<Role[]> {
  const killed: Role[] = [];
  await wholeAgain(pgid);
  while (killed.length < Math.min(killsMax, KILLS_MAX)) {
    await sleep(random.below(pauseMs + 1));
    if (!wanted()) break;
    const role = random.pick(VICTIMS);
    await replaceProcess(pgid, role);
    killed.push(role);
  }
  return killed;
}
