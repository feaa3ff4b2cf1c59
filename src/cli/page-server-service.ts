/**
 * What runs behind `thaw page-server`, in the foreground and in the background: one page server, and a
 * log of its clients.
 */
import { Socket } from 'node:net';
import { ThawError } from '../errors.js';
import { Checkpoint } from '../image/checkpoint.js';
import { CriuPageServer } from '../page-server/criu-page-server.js';
import type { PageSession } from '../page-server/page-session.js';
import { loadTlsCredentials } from '../tls-credentials.js';
import { runReadyScripts } from './action-scripts.js';
import { EXIT } from './exit-status.js';
import { Interruption } from './interruption.js';
import type { PageServerFlags } from './page-server-arguments.js';
import type { ServiceParts } from './service-command.js';
import { formatNumberOf, formatPages } from './text.js';

/**
 * Serves one client, or with `persist` any number until SIGINT or SIGTERM.
 *
 * @returns the exit status
 * @throws ThawError what opening the image throws, SOCKET_UNAVAILABLE, SCRIPT_FAILED, and why the one
 * session failed
 */
export async function servePageServer(parts: ServiceParts<PageServerFlags>): Promise<number> {
  const { flags, log } = parts;
  const interruption = new Interruption();
  const [directory = '.'] = flags.imageDirectories;
  let checkpoint: Checkpoint | undefined;
  let server: CriuPageServer | undefined;
  try {
    checkpoint = await Checkpoint.open(directory);
    server = new CriuPageServer(checkpoint, {
      headerLayout: flags.headerLayout,
      tls: flags.tls && loadTlsCredentials(flags.tls),
      clientName: flags.address,
    });
    // Of a socket that was given, it is the end of the service, which is logged.
    if (flags.socketFd === undefined) server.on('refused', (error) => log.error(error));
    server.on('session', (session) => logSession(parts, session));
    const interrupted = interruption.wait();
    const over = flags.persist
      ? interrupted
      : Promise.race([firstSession(server, flags), interrupted]);
    over.catch(() => {}); // where `begin` fails, nobody waits for it
    log.info(`serving ${formatNumberOf(checkpoint.tasks.length, 'task')} of ${directory}`);
    await begin(server, parts, interruption.signal);
    await over;
    return interruption.signal.aborted ? interruption.exitStatus : EXIT.ok;
  } finally {
    await server?.close();
    await checkpoint?.close();
    interruption.stop();
  }
}

/** Begins to serve, and tells that it has. */
async function begin(
  server: CriuPageServer,
  { flags, log, onReady }: ServiceParts<PageServerFlags>,
  signal: AbortSignal,
): Promise<void> {
  if (flags.socketFd === undefined) {
    const { address, port } = await server.listen({ address: flags.address, port: flags.port });
    log.result(`listening at ${address} port ${port}`);
    if (!flags.persist) server.once('session', () => server.stopListening());
  }
  await runReadyScripts(flags, log.fd, signal);
  if (signal.aborted) return;
  onReady(process.pid);
  if (flags.socketFd !== undefined) server.attach(connectedSocket(flags.socketFd));
}

function connectedSocket(fd: number): Socket {
  try {
    return new Socket({ fd, readable: true, writable: true });
  } catch (cause) {
    throw new ThawError('INVALID_ARGUMENT', {
      what: 'the descriptor is no connected socket',
      found: (cause as NodeJS.ErrnoException).code ?? String(cause),
      where: `--ps-socket ${fd}`,
      cause,
    });
  }
}

/**
 * The end of the first session. Who is refused by TLS has none, and others may come; of a socket that
 * was given, nobody else does.
 */
function firstSession(server: CriuPageServer, { socketFd }: PageServerFlags): Promise<void> {
  return new Promise((resolve, reject) => {
    if (socketFd !== undefined) server.once('refused', reject);
    server.once('session', ({ finished }) => finished.then(resolve, reject));
  });
}

/** Why the one session of a server without `persist` failed is logged as the end of the service. */
function logSession({ flags, log }: ServiceParts<PageServerFlags>, session: PageSession): void {
  log.info(`${session.peer}: connected`);
  const sum = (): string => {
    const { requestCount, pageCount, headerLayout } = session;
    const headers = headerLayout === undefined ? '' : `, headers of ${headerLayout} bytes`;
    return `${formatPages(pageCount)} in ${formatNumberOf(requestCount, 'request')}${headers}`;
  };
  session.finished.then(
    () => log.info(`${session.peer}: closed after ${sum()}`),
    (error) => {
      log.info(`${session.peer}: ended after ${sum()}`);
      if (flags.persist) log.error(error);
    },
  );
}
