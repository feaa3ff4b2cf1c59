/** Who gets through the TLS handshake of a page server, and who does not, with the reason. */
import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect as connectPlainly } from 'node:net';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { ThawError } from '../../src/errors.js';
import { Checkpoint } from '../../src/image/checkpoint.js';
import { CriuPageServer } from '../../src/page-server/criu-page-server.js';
import { loadTlsCredentials, type TlsFiles } from '../../src/tls-credentials.js';
import { Authority } from '../support/certificates.js';
import { makeTempDirectory } from '../support/image-builder.js';
import { PageClient } from '../support/page-client.js';
import { within } from '../support/process-facts.js';
import { fixturePath } from '../support/restore-fixtures.js';

const PID = 31001;
const VADDR = 0x40_1000n;
const HERE = ['DNS:localhost', 'IP:127.0.0.1'];

let temp: ReturnType<typeof makeTempDirectory>;
let authority: Authority;
let ours: Required<TlsFiles>;
let theirs: Required<TlsFiles>;
let server: CriuPageServer;
let checkpoint: Checkpoint;

beforeAll(() => {
  temp = makeTempDirectory();
  authority = new Authority(temp.path);
  ours = authority.certify('server', HERE);
  theirs = authority.certify('client', HERE);
});
afterAll(() => temp.remove());
afterEach(async () => {
  await server.close();
  await checkpoint.close();
});

async function serve(files: TlsFiles = ours, clientName = 'localhost'): Promise<number> {
  checkpoint = await Checkpoint.open(fixturePath('pattern'));
  server = new CriuPageServer(checkpoint, { tls: loadTlsCredentials(files), clientName });
  const { port }: AddressInfo = await server.listen({ address: '127.0.0.1', port: 0 });
  return port;
}

function connectWith(port: number, files: TlsFiles | undefined): PageClient {
  const { verifyName: _, ...credentials } = loadTlsCredentials(files ?? theirs);
  const shown = files === undefined ? { ca: credentials.ca } : credentials;
  return new PageClient(connect({ host: '127.0.0.1', port, servername: 'localhost', ...shown }));
}

/** Why the client is refused; it gets no page. */
async function refusal(client: PageClient): Promise<ThawError> {
  const refused = new Promise<ThawError>((resolve) => server.once('refused', resolve));
  client.ask(PID, VADDR, 1);
  const error = await within(refused);
  expect(await within(client.reply())).toBeUndefined();
  expect(server.sessions.size).toBe(0);
  expect(error.code).toBe('PEER_REFUSED');
  return error;
}

async function expectServed(client: PageClient): Promise<void> {
  client.ask(PID, VADDR, 1);
  expect((await within(client.reply()))?.header.pageCount).toBe(1);
  expect(await within(client.close())).toBe(0);
}

test('a client with a certificate that is trusted and names the address is served', async () => {
  await expectServed(connectWith(await serve(), theirs));
});

test('one without, or with another authority’s, is not', async () => {
  const port = await serve();
  expect((await refusal(connectWith(port, undefined))).message).toMatch(/found .*certificate/i);
  const stranger = new Authority(temp.path, 'stranger').certify('client', HERE);
  const files = { ...stranger, caCertificate: authority.path };
  expect((await refusal(connectWith(port, files))).found).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  await expectServed(connectWith(port, theirs));
});

test('one whose certificate names something else is not, unless names are left out', async () => {
  const other = authority.certify('other', ['DNS:elsewhere']);
  const { message } = await refusal(connectWith(await serve(), other));
  expect(message).toMatch(/localhost.*--tls-no-cn-verify/);
  await server.close();
  await checkpoint.close();
  await expectServed(connectWith(await serve({ ...ours, verifyName: false }), other));
});

test('one whose certificate is revoked is not', async () => {
  const bad = authority.certify('revoked', HERE);
  const revocations = authority.revoke(String(bad.certificate));
  const port = await serve({ ...ours, revocations });
  expect((await refusal(connectWith(port, bad))).found).toBe('CERT_REVOKED');
  await expectServed(connectWith(port, theirs));
});

test('one that speaks no TLS is not', async () => {
  const port = await serve();
  const error = await refusal(new PageClient(connectPlainly(port, '127.0.0.1')));
  expect(error.where).toMatch(/^127\.0\.0\.1 port \d+$/);
  await expectServed(connectWith(port, theirs));
});

test('files that cannot be used are named', async () => {
  expect(() => loadTlsCredentials({ ...ours, key: '/no/such/key' })).toThrow(
    expect.objectContaining({ code: 'IO_FAILED', where: '/no/such/key' }),
  );
  const key = `${temp.path}/text`;
  writeFileSync(key, 'no key');
  await serve();
  const wrong = (): CriuPageServer =>
    new CriuPageServer(checkpoint, { tls: loadTlsCredentials({ ...ours, key }) });
  expect(wrong).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  const others = (): CriuPageServer =>
    new CriuPageServer(checkpoint, { tls: loadTlsCredentials({ ...ours, key: theirs.key }) });
  expect(others).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
});
