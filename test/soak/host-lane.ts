/** One restore of a fixture into hosts: whole, killed in the middle, or given up. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ThawError } from '../../src/errors.js';
import type { Restoration } from '../../src/restore/restoration.js';
import { restore } from '../../src/restore/restore.js';
import { Pager } from '../../src/servicer/pager.js';
import { killAtRandom } from '../support/pager-kills.js';
import { within } from '../support/process-facts.js';
import { FORMS, touchInAnyOrder } from '../support/random-touches.js';
import { fixturePath } from '../support/restore-fixtures.js';
import type { SeededRandom } from '../support/seeded-random.js';
import type { Tally } from './tally.js';

/** What happens to the hosts. */
const ENDS = ['whole', 'whole', 'whole', 'whole', 'host killed', 'given up'] as const;

/** A restore with a pager that others use, too, and that stays. */
export async function restoreIntoHosts(
  random: SeededRandom,
  tally: Tally,
  pager: Pager,
): Promise<void> {
  const fixture = random.pick(FORMS);
  const fill = random.below(2) === 0;
  const windowBytes = random.pick([4096, 16_384, 65_536]);
  const restoration = await within(restore(fixturePath(fixture), { pager, fill, windowBytes }));
  try {
    const end = random.pick(ENDS);
    if (end === 'whole') await expectWhole(restoration, fixture, random, tally);
    else if (end === 'given up') await sleep(random.below(30));
    else await loseHost(restoration, fixture, random, tally);
    for (const figures of restoration.figures()) tally.faults += figures?.faults ?? 0;
    tally.hostRestores++;
  } finally {
    await within(restoration.close());
  }
}

/** The same with a pager of its own, whose processes are killed meanwhile. */
export async function restoreUnderFire(random: SeededRandom, tally: Tally): Promise<void> {
  const pager = await Pager.start(random.below(2) === 0 ? { fillRate: 4 * 2 ** 20 } : {});
  let over = false;
  const killing = killAtRandom(pager.pid, random.split(), {
    killsMax: random.below(9),
    pauseMs: 20,
    missing: () => !over,
  });
  try {
    await restoreIntoHosts(random, tally, pager);
  } finally {
    over = true;
    tally.countKills(await killing);
    tally.takeovers += pager.takeovers;
    await within(pager.close());
  }
}

async function expectWhole(
  restoration: Restoration,
  fixture: string,
  random: SeededRandom,
  tally: Tally,
): Promise<void> {
  const wrong = await touchInAnyOrder(restoration, fixture, random, tally);
  if (wrong.length > 0) throw new Error(`${fixture}: wrong pages: ${wrong.join('; ')}`);
  await restoration.fill();
  await within(restoration.resident);
  const [error] = restoration.pageErrors;
  if (error !== undefined) throw error;
}

async function loseHost(
  restoration: Restoration,
  fixture: string,
  random: SeededRandom,
  tally: Tally,
): Promise<void> {
  const touching = touchInAnyOrder(restoration, fixture, random.split(), tally);
  const outcome = touching.catch((error) => error);
  await sleep(random.below(60));
  process.kill(random.pick(restoration.tasks).host.pid, 'SIGKILL');
  tally.countKills(['host']);
  const said = await within(outcome);
  const isLoss = said instanceof ThawError && said.code === 'HOST_LOST';
  // All may have been touched before.
  const isRight = Array.isArray(said) && said.length === 0;
  if (!isLoss && !isRight)
    throw new Error(`${fixture} with a killed host: ${said}`, { cause: said });
}
