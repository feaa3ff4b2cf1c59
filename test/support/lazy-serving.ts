/** Restores through our own lazy-pages server, inside the test's process: its figures are at hand. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { LazyPagesServer } from '../../src/lazy-pages/lazy-pages-server.js';
import type { RestoreSession } from '../../src/lazy-pages/restore-session.js';
import { serveAsMarked } from '../../src/lazy-pages/served-image.js';
import type { TargetFigures } from '../../src/servicer/figures.js';
import { Pager } from '../../src/servicer/pager.js';
import { type DumpedTarget, endTasks, errorsIn, restoreWithCriu, type Started } from './criu.js';
import { openDescriptors, until, within } from './process-facts.js';

const serving: LazyRestore[] = [];

/** A restore by CRIU of which we serve the lazy pages. */
export interface LazyRestore {
  readonly pager: Pager;
  readonly server: LazyPagesServer;
  readonly session: RestoreSession;
  readonly criu: Started;
  readonly target: DumpedTarget;
  readonly workDirectory: string;
}

/** Restores a dumped target up to the moment at which its tasks run. */
export async function restoreLazily(
  target: DumpedTarget,
  { fill }: { fill: boolean },
): Promise<LazyRestore> {
  const checkpoint = await Checkpoint.open(target.image);
  const image = serveAsMarked(checkpoint);
  await checkpoint.close();
  const workDirectory = mkdtempSync(join(target.exchange, 'work-'));
  const pager = await Pager.start();
  const server = LazyPagesServer.listen({ image, pager, workDirectory, fill });
  const begun = new Promise<RestoreSession>((resolve, reject) => {
    server.once('session', resolve);
    server.once('refused', reject);
  });
  const criu = restoreWithCriu(target.image, { lazy: true, workDirectory });
  const session = await within(begun, 20_000);
  const restore = { pager, server, session, criu, target, workDirectory };
  serving.push(restore);
  await within(session.restored, 20_000);
  return restore;
}

/** The figures of all tasks, forked children included, added up. */
export function sumOfFigures(session: RestoreSession, key: keyof TargetFigures): number {
  return session.tasks.reduce((sum, { target }) => sum + Number(target.figures()[key]), 0);
}

/** Ends the tasks, then the servers. Returns the errors of CRIU's log. */
export async function endRestore(restore: LazyRestore): Promise<string[]> {
  const { pager, server, criu, target, workDirectory } = restore;
  serving.splice(serving.indexOf(restore), 1);
  await endTasks(target.pids, criu);
  await server.close();
  await until('the pages images are closed', () => {
    return !openDescriptors(pager.pid).some((file) => /\/pages-\d+\.img/.test(file));
  });
  await pager.close();
  const errors = errorsIn(join(workDirectory, 'restore.log'));
  rmSync(workDirectory, { recursive: true });
  return errors;
}

/** For `afterEach`: what a failed test left. */
export async function endRestores(): Promise<void> {
  for (const restore of [...serving]) await endRestore(restore);
}
