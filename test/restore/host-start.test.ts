/** Hosts start wherever the kernel has put them, with and without address randomisation. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { executablePath } from '../../src/executables.js';
import { builtModule, endScripts, Script } from '../support/process-script.js';
import { fixturePath } from '../support/restore-fixtures.js';

const STARTS = 200;
const BUDGET_MS = 60_000;

afterEach(endScripts);

/** Starts hosts for an image in batches and prints where their blocks were, as far as they started. */
function startHosts(name: string, starts: number): string {
  return `
    import { Checkpoint } from ${builtModule('image/checkpoint.js')};
    import { planRestore } from ${builtModule('plan/plan-restore.js')};
    import { HostProcess } from ${builtModule('restore/host-process.js')};
    import { MappedObjects } from ${builtModule('restore/mapped-objects.js')};
    import { closeHostStart, prepareHost } from ${builtModule('restore/prepare-host.js')};
    import { native } from ${builtModule('native.js')};
    import { readFileSync } from 'node:fs';
    console.log(JSON.stringify(parseInt(readFileSync('/proc/self/personality', 'latin1'), 16)));
    const checkpoint = await Checkpoint.open(${JSON.stringify(fixturePath(name))});
    const task = checkpoint.tasks.find(({ state }) => state === 'alive');
    const [plan] = planRestore(checkpoint).tasks;
    const objects = await MappedObjects.open(checkpoint);
    const start = await prepareHost(checkpoint, task, plan, objects, false);
    const one = async () => {
      try {
        const { host, ready } = await HostProcess.start(task.pid, start);
        native.closeFd(ready.uffd);
        await host.kill();
        return ready.block.start.toString(16);
      } catch (error) {
        return error.message;
      }
    };
    const results = [];
    while (results.length < ${starts}) results.push(...await Promise.all([one(), one(), one()]));
    closeHostStart(start);
    objects.close();
    await checkpoint.close();
    console.log(JSON.stringify(results));
  `;
}

/** Source: personality(2). Children inherit it. */
const ADDR_NO_RANDOMIZE = 0x40000;
const UNRANDOMISED = ['setarch', 'x86_64', '-R'];

describe('starts of hosts', () => {
  it.each([
    ['redis', 'with', []],
    ['redis', 'without', UNRANDOMISED],
    ['pattern', 'without', UNRANDOMISED],
  ] as const)(
    '%s never collides %s address randomisation',
    async (name, _, under) => {
      const starts = name === 'redis' ? STARTS : 20;
      const script = new Script(startHosts(name, starts), { under });
      const personality = (await script.next()) as number;
      expect((personality & ADDR_NO_RANDOMIZE) !== 0).toBe(under.length > 0);
      const results = (await script.next(BUDGET_MS)) as string[];
      expect(results.length).toBeGreaterThanOrEqual(starts);
      expect(results.filter((result) => !/^[0-9a-f]+$/.test(result))).toEqual([]);
      expect(await script.exited()).toBe(0);
    },
    BUDGET_MS + 10_000,
  );
});

interface Section {
  readonly type: number;
  readonly flags: bigint;
  readonly byteLength: bigint;
}

/** Sections and dynamic entries of a 64-bit little-endian ELF file. Source: elf(5). */
function readElf(path: string) {
  const bytes = readFileSync(path);
  expect(bytes.toString('latin1', 0, 4)).toBe('\x7fELF');
  const table = (at: number, size: number, count: number) =>
    Array.from({ length: bytes.readUInt16LE(count) }, (_, i) => {
      const start = Number(bytes.readBigUInt64LE(at)) + i * bytes.readUInt16LE(size);
      return bytes.subarray(start, start + bytes.readUInt16LE(size));
    });
  const sections: Section[] = table(40, 58, 60).map((entry) => ({
    type: entry.readUInt32LE(4),
    flags: entry.readBigUInt64LE(8),
    byteLength: entry.readBigUInt64LE(32),
  }));
  const segments = table(32, 54, 56).map((entry) => ({
    type: entry.readUInt32LE(0),
    flags: entry.readUInt32LE(4),
    offset: Number(entry.readBigUInt64LE(8)),
    fileBytes: Number(entry.readBigUInt64LE(32)),
  }));
  const dynamic = segments
    .filter(({ type }) => type === PT_DYNAMIC)
    .flatMap(({ offset, fileBytes }) =>
      Array.from({ length: fileBytes / 16 }, (_, i) => bytes.readBigUInt64LE(offset + i * 16)),
    );
  return { type: bytes.readUInt16LE(16), sections, segments, dynamic };
}

const ET_DYN = 3;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const SHT_RELOCATIONS = [4, 9, 19]; // RELA, REL, RELR
const SHF_WRITE_ALLOC = 3n;
const DT_RELOCATIONS = [7n, 8n, 17n, 18n, 23n, 2n, 35n, 36n]; // RELA*, REL*, JMPREL*, RELR*
const DT_NEEDED = 1n;
const SHT_DYNAMIC = 6;

describe('the executable thaw-host', () => {
  const elf = readElf(executablePath('thaw-host'));

  it('has no relocations: nobody would apply them again after it has moved', () => {
    expect(elf.type).toBe(ET_DYN);
    const relocations = elf.sections.filter(({ type }) => SHT_RELOCATIONS.includes(type));
    expect(relocations.filter(({ byteLength }) => byteLength > 0n)).toEqual([]);
    expect(elf.dynamic.filter((tag) => DT_RELOCATIONS.includes(tag))).toEqual([]);
  });

  it('needs neither interpreter nor library', () => {
    expect(elf.segments.filter(({ type }) => type === PT_INTERP)).toEqual([]);
    expect(elf.dynamic).not.toContain(DT_NEEDED);
  });

  it('has no variables: its copy is read-only', () => {
    const writable = elf.sections.filter(
      ({ type, flags, byteLength }) =>
        (flags & SHF_WRITE_ALLOC) === SHF_WRITE_ALLOC && type !== SHT_DYNAMIC && byteLength > 0n,
    );
    expect(writable).toEqual([]);
  });

  it('would be caught with relocations: the pager, an ordinary program, has them', () => {
    const pager = readElf(executablePath('thaw-pager'));
    expect(pager.sections.some(({ type }) => SHT_RELOCATIONS.includes(type))).toBe(true);
    expect(pager.dynamic).toContain(DT_NEEDED);
  });
});
