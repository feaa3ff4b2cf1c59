/**
 * Restores an image lazily, touches a tenth of its pages, and tells what came when.
 *
 *     npx tsx examples/restore.ts fixtures/redis
 */
import { parseAccess, restore, ThawError } from 'thaw-restore';

const [image = 'fixtures/redis'] = process.argv.slice(2);
try {
  await using restoration = await restore(image);
  console.log(`ready after ${restoration.readyMs.toFixed(1)} ms`);

  // From inside each target: these are page faults of another process.
  const touched = await restoration.touch(parseAccess('10%'), { seed: 7 });
  for (const [i, { task, host }] of restoration.tasks.entries()) {
    console.log(`${task.comm} (host ${host.pid}) touched ${touched[i]?.touched} pages`);
  }

  console.log(`resident after ${(await restoration.resident).toFixed(1)} ms`);
  for (const figures of restoration.figures()) {
    console.log(`${figures?.demandPages} pages on demand, ${figures?.filledPages} by the fill`);
  }
} catch (error) {
  if (!(error instanceof ThawError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
