/**
 * The work of `thaw lazy-pages`, in the foreground or in the background: a pager, a socket for each
 * image, and a log of what happens.
 */
import { Checkpoint } from '../image/checkpoint.js';
import { collectServed, freeServedPages } from '../lazy-pages/auto-dedup.js';
import { LazyPagesServer } from '../lazy-pages/lazy-pages-server.js';
import type { RestoreSession, ServedTask } from '../lazy-pages/restore-session.js';
import { type ServedImage, serveAsMarked } from '../lazy-pages/served-image.js';
import { Pager } from '../servicer/pager.js';
import { loadTlsCredentials } from '../tls-credentials.js';
import { runReadyScripts } from './action-scripts.js';
import { EXIT } from './exit-status.js';
import { Interruption } from './interruption.js';
import type { LazyPagesFlags } from './lazy-pages-flags.js';
import { formatPagerReport, summarizePager } from './pager-report.js';
import type { ServiceParts } from './service-command.js';
import type { ServiceLog } from './service-log.js';
import { formatBytes, formatNumberOf, formatResume, formatStall } from './text.js';

/** A restore is started by somebody else, at any time: the wait has no limit, but is told of. */
const UNVISITED_MS = 60_000;

/**
 * Serves until all is resident, or with `persist` until SIGINT or SIGTERM. Whatever runs by then goes
 * on being served by the pager.
 *
 * @returns the exit status
 * @throws ThawError what opening an image or a socket throws, PAGER_*, SCRIPT_FAILED, and
 * RESTORE_FAILED and its like when the one restore fails
 */
export async function serveLazyPages(parts: ServiceParts<LazyPagesFlags>): Promise<number> {
  const interruption = new Interruption();
  // Neither a promise that pends nor a pager that works keeps Node alive.
  const alive = setInterval(() => {}, 2 ** 30);
  let pager: Pager | undefined;
  const servers: LazyPagesServer[] = [];
  try {
    pager = await Pager.start(parts.flags.fillOptions);
    await pager.outlive(parts.log.fd);
    for (const directory of parts.flags.imageDirectories) {
      servers.push(await openServer(parts, pager, directory));
    }
    const first = firstSession(servers, interruption.signal);
    const lost = firstLoss(pager, servers);
    await Promise.race([runReadyScripts(parts.flags, parts.log.fd, interruption.signal), lost]);
    if (interruption.signal.aborted) return interruption.exitStatus;
    parts.onReady(staysToTheEnd(parts) ? process.pid : pager.pid);
    const status = await Promise.race([serve(parts, first, interruption.signal), lost]);
    return interruption.signal.aborted ? interruption.exitStatus : status;
  } finally {
    await takeDown(servers, pager, parts.log);
    clearInterval(alive);
    interruption.stop();
  }
}

async function openServer(
  { flags, log }: ServiceParts<LazyPagesFlags>,
  pager: Pager,
  directory: string,
): Promise<LazyPagesServer> {
  const { persist, onError, pageServer, workDirectory = directory } = flags;
  const { fill, windowBytes } = flags.fillOptions;
  // Once now, so that a file that is missing is told before a restore waits.
  if (pageServer?.tls !== undefined) loadTlsCredentials(pageServer.tls);
  const remotePages = pageServer !== undefined;
  const checkpoint = await Checkpoint.open(directory, { remotePages });
  const image = serveAsMarked(checkpoint, { remotePages });
  await checkpoint.close();
  const server = LazyPagesServer.listen({
    image,
    pager,
    workDirectory,
    fill,
    windowBytes,
    onError,
    persist,
    pageServer,
  });
  log.info(`serving ${formatNumberOf(image.taskCount, 'task')} of ${directory}`);
  log.info(`waiting for criu restore --lazy-pages at ${server.socketPath}`);
  server.on('refused', (error) => log.error(error));
  server.on('displaced', (error) => server.sessions.size > 0 && log.error(error));
  server.on('session', (session) => logSession(log, session));
  if (flags.autoDedup) prepareDedup(flags, log, server, image);
  const timer = setTimeout(() => {
    log.warn(
      `no restore has come to ${server.socketPath} for ${UNVISITED_MS / 1000} s: ` +
        'criu restore needs --lazy-pages and the same -D and -W',
    );
  }, UNVISITED_MS);
  timer.unref();
  server.once('session', () => clearTimeout(timer));
  return server;
}

/** Frees the pages of the one restore once it is over; with several, each needs the whole image. */
function prepareDedup(
  { persist, pageServer }: LazyPagesFlags,
  log: ServiceLog,
  server: LazyPagesServer,
  image: ServedImage,
): void {
  if (persist || pageServer !== undefined) {
    const other = persist ? '--persist' : '--page-server';
    log.warn(`--auto-dedup has no effect with ${other}: the image stays as it is`);
    return;
  }
  server.once('session', (session) => {
    const served = collectServed(session);
    // This is told of the end before serve() is, which waits for the same promise.
    session.finished.then(
      () => {
        for (const { path, freedBytes, kept } of freeServedPages(image, served)) {
          if (kept === undefined) log.info(`${path}: ${formatBytes(freedBytes)} freed`);
          else log.warn(`${path} stays as it is: ${kept}`);
        }
      },
      () => {}, // without an end in order, the image stays as it is
    );
  });
}

/** Rejects when the service cannot go on: the pager is gone, or a socket that nobody has come to. */
function firstLoss(pager: Pager, servers: readonly LazyPagesServer[]): Promise<never> {
  return new Promise((_, reject) => {
    pager.once('lost', reject);
    for (const server of servers) {
      server.on('displaced', (error) => {
        if (server.sessions.size === 0) reject(error);
      });
    }
  });
}

/** The first session of any server, or undefined when `signal` comes first. */
function firstSession(
  servers: readonly LazyPagesServer[],
  signal: AbortSignal,
): Promise<RestoreSession | undefined> {
  return new Promise((resolve) => {
    for (const server of servers) server.once('session', resolve);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

/** Whether this process, not the pager alone, lives for as long as pages are served. */
function staysToTheEnd({ flags }: ServiceParts<LazyPagesFlags>): boolean {
  // A page server that is lost is this process's to deal with, and so are the images at the end.
  return flags.persist || flags.pageServer !== undefined || flags.autoDedup;
}

/** Resolves to the exit status: of one restore, whether all of its pages could be produced. */
async function serve(
  parts: ServiceParts<LazyPagesFlags>,
  first: Promise<RestoreSession | undefined>,
  signal: AbortSignal,
): Promise<number> {
  const interrupted = new Promise<number>((resolve) => {
    signal.addEventListener('abort', () => resolve(EXIT.ok), { once: true });
  });
  if (parts.flags.persist) return interrupted;
  const session = await first;
  if (session === undefined) return EXIT.ok;
  const early = parts.leaveEarly && !staysToTheEnd(parts);
  await Promise.race([early ? session.restored : session.finished, interrupted]);
  return session.pageErrorCount === 0 ? EXIT.ok : EXIT.failed;
}

/** Tasks that run are left to the pager; otherwise it ends. */
async function takeDown(
  servers: readonly LazyPagesServer[],
  pager: Pager | undefined,
  log: ServiceLog,
): Promise<void> {
  for (const server of servers) server.stopListening();
  const serving = servers.flatMap((server) => [...server.sessions]).filter((it) => it.running);
  const here = serving.filter((session) => session.throughUs);
  if (pager !== undefined && here.length > 0) {
    log.info('pages come over TLS through this process: it ends when all of them are in');
    await Promise.allSettled(here.map((session) => session.finished));
  }
  const running = serving.filter((session) => !here.includes(session));
  // The pager alone cannot connect again.
  await Promise.all(running.map((session) => session.sourceSettled));
  if (pager !== undefined && running.length > 0) {
    for (const { tasks } of running) for (const task of tasks) logLeft(log, task);
    log.info(`the pager, pid ${pager.pid}, goes on until every page is in`);
    await pager.leave();
  }
  await Promise.all(servers.map((server) => server.close()));
  await pager?.close();
}

function logSession(log: ServiceLog, session: RestoreSession): void {
  session.on('task', (task) => logTask(log, task));
  for (const task of session.tasks) logTask(log, task);
  session.on('pageError', (error) => log.error(error));
  session.on('stall', (where, reason) => log.warn(formatStall(where, reason)));
  session.on('resume', (where) => log.warn(formatResume(where)));
  if (session.source !== undefined) log.info(`connected to ${session.source.label}`);
  session.on('sourceEnd', (source, error) => {
    if (error !== undefined) log.error(error);
    log.info(`${source.label}: ${formatBytes(session.bytesReceived)} received, closed`);
  });
  session.on('taskEnd', (task, end) => {
    const figures = task.target.figures();
    const { demandPages, filledPages, dataPages } = figures;
    const why = end === 'gone' ? '; it has ended' : '';
    log.result(
      `${task.imagePid}: UFFD transferred pages: (${demandPages + filledPages}/${dataPages})${why}`,
    );
    for (const line of formatPagerReport(summarizePager([figures]))) {
      log.debug(`${task.imagePid}: ${line}`);
    }
  });
  session.restored.then(
    () => log.info(`${formatNumberOf(session.tasks.length, 'task')} restored`),
    (error) => log.error(error),
  );
}

function logTask(log: ServiceLog, { imagePid, forked, target }: ServedTask): void {
  log.info(`task ${imagePid}${forked ? ' has forked: its child' : ''} is target ${target.id}`);
}

function logLeft(log: ServiceLog, { imagePid, target }: ServedTask): void {
  log.info(`task ${imagePid}, target ${target.id}, is left to the pager`);
}
