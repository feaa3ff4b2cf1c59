/** Why a page server ends a session. */
import { formatVaddr } from '../address.js';
import { ThawError } from '../errors.js';
import type { ServedPages } from './served-pages.js';
import { COMMAND, type Header, readHeader } from './wire.js';

const PIDS_TOLD_MAX = 8;
const STORING: ReadonlySet<number> = new Set([
  COMMAND.add,
  COMMAND.hole,
  COMMAND.open,
  COMMAND.openAsking,
  COMMAND.parent,
  COMMAND.addWithFlags,
]);

/** A command that is neither a request nor a close. */
export function refusedCommand({ command }: Header): ThawError {
  const found = `command 0x${command.toString(16)}`;
  if (STORING.has(command)) {
    return new ThawError('PEER_REFUSED', {
      what: 'the client wants to store a dump',
      expected: 'requests for pages of the image that is served',
      found,
      hint: 'Dump into a directory, or to `criu page-server` without --lazy-pages',
    });
  }
  return new ThawError('PEER_REFUSED', {
    what: 'the client does not speak the protocol of a page server',
    expected: 'a request for pages (7) or a close (0x1023, 0x1024)',
    found,
    hint: 'Clients are `criu lazy-pages --page-server` and `thaw lazy-pages --page-server`',
  });
}

/** A first request that asks for nothing there is, in whichever layout. */
export function unknownRequest(bytes: Buffer, pages: ServedPages): ThawError {
  const { id, vaddr } = readHeader(bytes, 24);
  const wideVaddr = bytes.readBigUInt64LE(16);
  return new ThawError('PEER_REFUSED', {
    what: 'the first request asks for nothing that the image has',
    expected: `pages of ${tasksOf(pages)}`,
    found:
      `task ${id} (as a header of 24 bytes), or address ${formatVaddr(wideVaddr)} ` +
      `(as one of 32; of 24: ${formatVaddr(vaddr)})`,
    hint: 'Has the client the image that is served? --ps-header names the layout of its headers',
  });
}

/** A request for pages that no entry of the image covers. */
export function notStored({ id, vaddr, pageCount }: Header, pages: ServedPages): ThawError {
  const next = pages.nextStored(id, vaddr);
  const has = next === undefined ? 'nothing from there on' : `pages from ${formatVaddr(next)} on`;
  const known = pages.hasTask(id);
  return new ThawError('PAGE_NOT_STORED', {
    what: 'the client asks for pages that the image does not have',
    expected: known ? `at least one page, at a page border; the image has ${has}` : tasksOf(pages),
    found: `${pageCount} pages from ${formatVaddr(vaddr)} of task ${id}`,
    hint: 'Has the client the image that is served? --ps-header names the layout of its headers',
  });
}

/** Bytes where the end should be. */
export function strayBytes(byteLength: number): ThawError {
  return new ThawError('PEER_REFUSED', {
    what: 'the client goes on after its close',
    expected: 'the end of the connection',
    found: `${byteLength} bytes`,
  });
}

/** A client that ended without a close. */
export function lostError(restBytes: number, cause: Error | undefined): ThawError {
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  const end =
    restBytes > 0 ? `an end after ${restBytes} bytes of a header` : 'the end of the connection';
  return new ThawError('PEER_LOST', {
    what: 'the client ended before it closed the session',
    expected: 'a close (0x1023, 0x1024)',
    found: code ?? end,
    hint: 'Its own log says why it ended',
    cause,
  });
}

/** A client that is silent where it may not be. */
export function timedOut(closeAnswered: boolean, restBytes: number): ThawError {
  if (closeAnswered) {
    return new ThawError('TIMED_OUT', {
      what: 'the client does not end after its close',
      expected: 'the end of the connection',
    });
  }
  return new ThawError('TIMED_OUT', {
    what: 'the client is silent in the middle of a header',
    found: `${restBytes} bytes`,
    hint: 'A client of CRIU up to 4.1.1 sends 24 bytes, a later one 32: --ps-header names the layout',
  });
}

/** A session that was ended from this side. */
export function abortedError(): ThawError {
  return new ThawError('ABORTED', { what: 'the page server was stopped during the session' });
}

function tasksOf({ pids }: ServedPages): string {
  const told = pids.slice(0, PIDS_TOLD_MAX).join(', ');
  return `task ${told}${pids.length > PIDS_TOLD_MAX ? ', …' : ''}`;
}
