import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { makeTempDirectory, PAGE, writeImage } from '../support/image-builder.js';
import { type CommandResult, runThaw } from '../support/run-thaw.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ESCAPE = '\u001b';

function expectOneError({ status, stderr }: CommandResult, code: string): void {
  expect(status).toBe(1);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(stderr).toMatch(new RegExp(`^thaw: ${code}: `));
}

describe('thaw restore --json', () => {
  it.each([
    ['pattern', [381], [21]],
    ['family', [89, 86, 122], [8]],
    ['redis', [1118], []],
    ['pattern-lz4-region', [381], [21]],
    ['pattern-parent-chain/top', [381], [21]],
  ])('verifies every page of %s', async (name, pages, sharedPages) => {
    const { status, stdout, stderr } = await runThaw(
      ...['restore', `fixtures/${name}`, '--verify', '--json', '--access', 'random'],
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.tasks.map((task: { verified: number }) => task.verified)).toEqual(pages);
    expect(report.shared.map((object: { verified: number }) => object.verified)).toEqual(
      sharedPages,
    );
    for (const part of [...report.tasks, ...report.shared]) {
      expect(part).toMatchObject({ pages: part.verified, mismatched: 0 });
    }
  });

  it('prints one object with the documented fields', async () => {
    const { stdout } = await runThaw('restore', 'fixtures/pattern', '--json', '--access', '50%');
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const count = expect.any(Number);
    const latency = { p50: count, p99: count, max: count };
    const maybe = expect.objectContaining({});
    expect(JSON.parse(stdout)).toEqual({
      image: 'fixtures/pattern',
      tasks: [
        {
          pid: 31001,
          hostPid: count,
          comm: 'pattern',
          regions: 31,
          pages: 381,
          holes: 1118,
          eager: 17,
          faults: count,
          filled: count,
          zeroed: 0,
          resident: 381,
          touched: 179,
          verified: null,
          mismatched: null,
        },
      ],
      shared: [{ shmid: 4355, pages: 21, verified: null, mismatched: null }],
      timing: { readyMs: count, residentMs: count },
      latencyUs: { host: latency, pager: maybe },
      pager: {
        latencyUs: { pageCache: maybe, zeroPage: maybe, disk: maybe },
        queueDepthMax: count,
        windows: count,
        awaited: count,
        deferrals: count,
        bytes: { raw: count, lz4: 0, pageServer: 0 },
        decodeMs: 0,
        stalledMs: count,
        fill: { bytes: count, ms: count, bytesPerSecond: count },
      },
      errors: [],
    });
  });

  it('brings in what is touched and no more with --fill off', async () => {
    const { stdout } = await runThaw(
      ...['restore', 'fixtures/redis', '--json', '--fill', 'off', '--access', '25%', '--seed', '5'],
    );
    const { tasks, timing } = JSON.parse(stdout);
    expect(tasks[0]).toMatchObject({ touched: 209, faults: 209, filled: 0, resident: 281 + 209 });
    expect(timing.residentMs).toBeNull();
  });

  it('tells what the pager read and decoded, and how long faults took by the way of their pages', async () => {
    const { stdout } = await runThaw(
      ...['restore', 'fixtures/pattern-lz4-region', '--fill', 'off', '--verify', '--json'],
    );
    const { pager, latencyUs } = JSON.parse(stdout);
    expect(pager.bytes.lz4).toBeGreaterThan(0);
    expect(pager.decodeMs).toBeGreaterThan(0);
    expect(pager.queueDepthMax).toBeGreaterThanOrEqual(1);
    // Verified holes are faults as well.
    const { pageCache, zeroPage, disk } = pager.latencyUs;
    expect(zeroPage.p50).toBeGreaterThan(0);
    expect(latencyUs.pager.max).toBe(Math.max(pageCache.max, zeroPage.max, disk.max));
  });

  it('fills no faster than --fill-rate', async () => {
    const { stdout } = await runThaw(
      ...['restore', 'fixtures/redis', '--json', '--fill-rate', '16M', '--fill-threads', '1'],
    );
    const { timing, tasks, pager } = JSON.parse(stdout);
    expect(tasks[0]).toMatchObject({ filled: 837, resident: 1118 });
    expect(pager.fill).toMatchObject({ bytes: 837 * PAGE });
    const paidBytes = 837 * PAGE - 65_536;
    expect(timing.residentMs).toBeGreaterThanOrEqual((paidBytes / (16 * 1_048_576)) * 1000);
  });

  it('brings in groups with --fill off and a --window of more than a page', async () => {
    const args = ['restore', 'fixtures/redis', '--json', '--fill', 'off', '--access', 'sequential'];
    const { stdout } = await runThaw(...args, '--window', '64K');
    const { tasks, pager } = JSON.parse(stdout);
    expect(tasks[0]).toMatchObject({ touched: 837, filled: 0, resident: 1118 });
    expect(pager.windows).toBeGreaterThan(0);
    expect(tasks[0].faults).toBeLessThan(837);
    expect(tasks[0].faults).toBeGreaterThanOrEqual(Math.ceil(837 / 16));
  });

  it('reports a page that cannot be produced, and exits with 1', async () => {
    const result = await runThaw(
      ...['restore', 'fixtures/malformed/lz4-corrupt', '--json'],
      ...['--fill', 'off', '--access', 'sequential'],
    );
    expectOneError(result, 'PAGE_FAILED');
    const { errors, tasks } = JSON.parse(result.stdout);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatchObject({ code: 'PAGE_FAILED' });
    expect(tasks[0]).toMatchObject({ pages: 4, resident: 3 });
  });

  it.each([
    ['stop', 'TASK_STOPPED', 'a host was stopped, since pages of it cannot be produced'],
    ['kill', 'HOST_LOST', 'a host was killed, since pages of it cannot be produced'],
  ])('has what was done until --on-error %s', async (policy, code, what) => {
    const { status, stdout, stderr } = await runThaw(
      ...['restore', 'fixtures/malformed/lz4-corrupt', '--json', '--on-error', policy],
      ...['--fill', 'off', '--access', 'sequential'],
    );
    expect(status).toBe(1);
    const { tasks, timing, errors } = JSON.parse(stdout);
    expect(tasks).toMatchObject([{ pages: 4, verified: null }]);
    expect(timing).toEqual({ readyMs: expect.any(Number), residentMs: null });
    expect(errors).toMatchObject([
      { code: 'PAGE_FAILED' },
      { code, message: expect.stringContaining(what) },
    ]);
    expect(stderr.match(/^thaw: \w+: /gm)).toEqual(['thaw: PAGE_FAILED: ', `thaw: ${code}: `]);
  });

  it('is an object for a bad image as well', async () => {
    const result = await runThaw('restore', 'fixtures/malformed/pages-truncated', '--json');
    expectOneError(result, 'PAGES_TRUNCATED');
    expect(JSON.parse(result.stdout)).toMatchObject({
      tasks: [],
      timing: { readyMs: null, residentMs: null },
      errors: [{ code: 'PAGES_TRUNCATED' }],
    });
  });
});

describe('thaw restore for people', () => {
  it('shows what was done until a failure', async () => {
    const { status, stdout } = await runThaw(
      ...['restore', 'fixtures/malformed/lz4-corrupt', '--on-error', 'kill', '--verify'],
    );
    expect(status).toBe(1);
    expect(stdout).toMatch(/ of 4 stored pages resident/);
    expect(stdout).toMatch(/^ready +[\d.]+ ms/m);
  });

  it('shows what, both clocks and the verification on a pipe, without escape codes', async () => {
    const { status, stdout } = await runThaw('restore', 'fixtures/family', '--verify');
    expect(status).toBe(0);
    expect(stdout).not.toContain(ESCAPE);
    expect(stdout).toContain('3 tasks (and 1 dead), 52 regions\n  297 pages (1.16 MiB) stored');
    expect(stdout).toMatch(/^ready +[\d.]+ ms/m);
    expect(stdout).toMatch(/^resident +[\d.]+ ms/m);
    expect(stdout).toContain('verified  305 of 305 pages (1.19 MiB), 0 mismatched');
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('draws a progress bar on a terminal', () => {
    const command = `node dist/cli/main.js restore fixtures/redis --access random`;
    const { stdout, status } = spawnSync('script', ['-qec', command, '/dev/null'], {
      cwd: ROOT,
      encoding: 'utf8',
      timeout: 15_000,
      killSignal: 'SIGKILL',
    });
    expect(status).toBe(0);
    expect(stdout).toContain(ESCAPE);
    expect(stdout).toContain('281/1118 pages');
    expect(stdout).toContain('1118/1118 pages');
    expect(stdout).toContain('ready');
  });
});

describe('thaw restore -v', () => {
  const image = makeTempDirectory();
  afterAll(() => image.remove());

  it('shows the counts of the pager with -v', async () => {
    const { stdout } = await runThaw(
      ...['restore', 'fixtures/redis', '-v', '--fill', 'off', '--access', 'random'],
    );
    expect(stdout).toContain('pager     task 31201: resident, 837 pages (3.27 MiB), 0 missing\n');
    expect(stdout).toContain('          837 on demand, 0 filled, 0 zeroed, 0 present\n');
    expect(stdout).toMatch(/^arrival {3}page cache {2}p50 [\d.]+ µs, p99 .*, max /m);
    expect(stdout).toMatch(/^ {10}zero page {3}-$/m);
    expect(stdout).toMatch(/^queue {5}1 at most; 0 windows, 0 awaited, \d+ deferrals?$/m);
    expect(stdout).toMatch(/^bytes {5}3.27 MiB raw, 0 B of LZ4$/m);
    expect(stdout).toMatch(/^spent {5}0.0 ms decoding, [\d.]+ m?s stalled on I\/O$/m);
    expect(stdout).toMatch(/^fill {6}0 B in 0.0 ms$/m);
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('tells of advice that the kernel refused', async () => {
    const start = 0x10_000_000n;
    // No advice has the number 62; 10 is MADV_DONTFORK.
    const vma = { start, end: start + BigInt(PAGE), madv: (1n << 62n) | (1n << 10n) };
    const entries = [{ vaddr: start, pageCount: 1, flags: 6 }];
    const pagemap = { pagesId: 1, entries, payload: new Uint8Array(PAGE).fill(7) };
    writeImage(image.path, { tasks: [{ pid: 5, vmas: [vma], pagemap }] });
    const { status, stdout } = await runThaw('restore', image.path, '-v', '--verify');
    expect(status).toBe(0);
    expect(stdout).toContain('host      task 5: madvise refused 1 time\n');
    const plain = await runThaw('restore', 'fixtures/pattern', '-v');
    expect(plain.stdout).not.toContain('refused');
  });
});

describe('thaw restore refuses', () => {
  it.each([
    ['/no/such/directory', 'IMAGE_MISSING'],
    ['README.md', 'IMAGE_MISSING'],
    ['src', 'IMAGE_MISSING'],
    ['fixtures/malformed/pagemap-cut-in-record', 'RECORD_TRUNCATED'],
    ['fixtures/malformed/pages-missing', 'PAGES_MISSING'],
    ['fixtures/malformed/vmas-overlap', 'VMAS_OVERLAP'],
  ])('%s with one message', async (image, code) => {
    const result = await runThaw('restore', image);
    expectOneError(result, code);
    expect(result.stdout).toBe('');
  });

  it.each([
    [['restore'], "missing required argument 'image'"],
    [['restore', 'fixtures/redis', '--access', 'most'], 'none, sequential, random'],
    [['restore', 'fixtures/redis', '--touch-threads', '0'], 'expected 1 to 64'],
    [['restore', 'fixtures/redis', '--fill', 'maybe'], 'on, off'],
    [
      ['restore', 'fixtures/redis', '--fill-rate', '0'],
      'expected 1 to 9007199254740991 bytes, such as 64K, found 0',
    ],
    [['restore', 'fixtures/redis', '--fill-rate', 'fast'], 'such as 64K, found fast'],
    [['restore', 'fixtures/redis', '--fill-threads', '5'], 'expected 1 to 4, found 5'],
    [['restore', 'fixtures/redis', '--window', '68K'], 'a multiple of 4096 from 4096 to 65536'],
    [['restore', 'fixtures/redis', '--window', '5000'], 'found 5000'],
    [
      ['restore', 'fixtures/redis', '--fill', 'off', '--fill-rate', '1M'],
      '--fill-rate has no effect with --fill off',
    ],
    [['restore', 'fixtures/redis', '--frobnicate'], "unknown option '--frobnicate'"],
    [['thaw-it'], "unknown command 'thaw-it'"],
  ])('the usage %j with status 2', async (args, text) => {
    const { status, stdout, stderr } = await runThaw(...args);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain(text);
  });
});

describe('thaw check', () => {
  it('finds this machine able, and every feature of userfaultfd', async () => {
    const { status, stdout } = await runThaw('check', '--json');
    expect(status).toBe(0);
    const { ok, findings } = JSON.parse(stdout);
    expect(ok).toBe(true);
    const names = findings.map(({ name }: { name: string }) => name);
    expect(names).toEqual(
      expect.arrayContaining(['kernel', '/dev/userfaultfd', 'CAP_SYS_PTRACE', 'feature POISON']),
    );
  });
});
