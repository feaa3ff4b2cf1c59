/**
 * serve.ts IMAGE DIR fill|demand: serves one restore of a view of IMAGE at the socket in DIR, by faults
 * and fill or by faults alone. Writes a byte to descriptor 3 when the socket is there.
 */
import { writeSync } from 'node:fs';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { LazyPagesServer } from '../../src/lazy-pages/lazy-pages-server.js';
import type { RestoreSession } from '../../src/lazy-pages/restore-session.js';
import { toServedImage } from '../../src/lazy-pages/served-image.js';
import { planRestore } from '../../src/plan/plan-restore.js';
import { Pager } from '../../src/servicer/pager.js';

const STATUS_FD = 3;

const [path = '', workDirectory = '', mode = 'fill'] = process.argv.slice(2);
const checkpoint = await Checkpoint.open(path);
const image = toServedImage(checkpoint, planRestore(checkpoint));
await checkpoint.close();
await using pager = await Pager.start();
const server = LazyPagesServer.listen({ image, pager, workDirectory, fill: mode === 'fill' });
// A promise that pends does not keep Node alive.
const alive = setInterval(() => {}, 2 ** 30);
const begun = new Promise<RestoreSession>((resolve) => server.once('session', resolve));
writeSync(STATUS_FD, new Uint8Array(1));
const session = await begun;
await session.finished;
await server.close();
clearInterval(alive);
