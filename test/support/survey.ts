/** What a target found that was told to `survey` its memory (test/targets/target.c). */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DumpedTarget } from './criu.js';
import { until } from './process-facts.js';

const DEADLINE_MS = 30_000;

async function readSaid({ exchange }: Pick<DumpedTarget, 'exchange'>, name: string) {
  const path = join(exchange, `${name}-0`);
  await until(path, () => existsSync(path), DEADLINE_MS);
  const text = readFileSync(path, 'latin1');
  rmSync(path);
  return text;
}

/** Waits until the target is ready for the order `look`: the address of the memory that it will read. */
export async function awaitPlace(target: Pick<DumpedTarget, 'exchange'>): Promise<bigint> {
  return BigInt(await readSaid(target, 'main'));
}

/** The runs of pages, first and last, whose touch was SIGBUS; the others had the right content. */
export async function readSurvey(
  target: Pick<DumpedTarget, 'exchange'>,
): Promise<[first: number, last: number][]> {
  const words = (await readSaid(target, 'survey')).split(' ').filter((word) => word !== '');
  return words.map((word) => {
    const [first = -1, last = -1] = word.split('-').map(Number);
    return [first, last];
  });
}
