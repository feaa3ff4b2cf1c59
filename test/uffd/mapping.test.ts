import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../src/address.js';
import { RegisterMode } from '../../src/uffd/flags.js';
import { Mapping } from '../../src/uffd/mapping.js';
import { openDescriptors } from '../support/process-facts.js';
import { map, nextEvent, page, registered, release, text } from './memory.js';

const PAGE = BigInt(PAGE_SIZE);

afterEach(release);

function isMapped(vaddr: bigint): boolean {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .some((line) => {
      const [start = '', end = ''] = (line.split(' ')[0] ?? '').split('-');
      return line !== '' && BigInt(`0x${start}`) <= vaddr && vaddr < BigInt(`0x${end}`);
    });
}

describe('Mapping', () => {
  it('is written and read, private or shared', async () => {
    for (const kind of ['anonymous', 'shared'] as const) {
      const mapping = map(2, kind);
      expect(mapping.shared).toBe(kind === 'shared');
      await mapping.write(PAGE_SIZE - 2, Buffer.from('border'));
      expect(text(await mapping.read(PAGE_SIZE - 3, 8))).toBe('\0border\0');
      expect(await mapping.read(0, 0)).toHaveLength(0);
    }
  });

  it('goes where it is told, unless something is there', async () => {
    const free = map(1);
    const { vaddr } = free;
    await free.unmap();
    const mapping = Mapping.anonymous(PAGE_SIZE, { vaddr });
    expect(mapping.vaddr).toBe(vaddr);
    expect(() => Mapping.anonymous(PAGE_SIZE, { vaddr })).toThrow(
      expect.objectContaining({
        code: 'EEXIST',
        syscall: 'mmap',
        range: { start: vaddr, end: vaddr + PAGE },
        message: expect.stringContaining(`(0x${vaddr.toString(16)}-0x`),
      }),
    );
    expect(() => Mapping.anonymous(2 ** 50)).toThrow(
      expect.objectContaining({ code: 'ENOMEM', where: `${2 ** 50} bytes anywhere` }),
    );
    await mapping.unmap();
    expect(isMapped(vaddr)).toBe(false);
  });

  it('goes nowhere that is no address', async () => {
    const shared = map(1, 'shared');
    for (const vaddr of [0n, 1n, -PAGE, 2n ** 64n]) {
      const refused = expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        found: expect.stringContaining('start '),
      });
      expect(() => Mapping.anonymous(PAGE_SIZE, { vaddr }), `${vaddr}`).toThrow(refused);
      expect(() => Mapping.shared(PAGE_SIZE, { vaddr }), `${vaddr}`).toThrow(refused);
      expect(() => shared.alias({ vaddr }), `${vaddr}`).toThrow(refused);
    }
  });

  it('shares its memfd with an alias, private memory has none', async () => {
    const mapping = map(1, 'shared');
    const alias = mapping.alias({ protection: { read: true } });
    await mapping.write(0, Buffer.from('seen'));
    expect(text(await alias.read(0, 4))).toBe('seen');
    await alias.unmap();
    expect(() => map(1).alias()).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('rejects what would be SIGSEGV, with the bytes done', async () => {
    const mapping = map(2);
    await mapping.protect({ read: true }, PAGE_SIZE, PAGE_SIZE);
    await expect(mapping.write(PAGE_SIZE - 1, Buffer.from('ab'))).rejects.toMatchObject({
      code: 'EFAULT',
      syscall: 'write',
      found: 'SIGSEGV',
      bytesDone: 1,
      range: { start: mapping.vaddr + PAGE - 1n, end: mapping.vaddr + PAGE + 1n },
    });
    await mapping.protect({});
    await expect(mapping.touch()).rejects.toMatchObject({ code: 'EFAULT', bytesDone: 0 });
    await mapping.protect({ read: true, write: true });
    await mapping.touch();
  });

  it('leaves the signals of others alone: WebAssembly still traps', async () => {
    await expect(Mapping.anonymous(PAGE_SIZE, { protection: {} }).touch()).rejects.toThrow();
    // (module (memory 1) (func (export "f") (result i32) (i32.load (i32.const -1))))
    const code =
      '0061736d010000000105016000017f030201000503010001070501016600000a09010700417f2802000b';
    const wasm = Reflect.get(globalThis, 'WebAssembly');
    const { instance } = await wasm.instantiate(Buffer.from(code, 'hex'));
    expect(instance.exports.f).toThrow(wasm.RuntimeError);
  });

  it('forgets zapped pages', async () => {
    for (const kind of ['anonymous', 'shared'] as const) {
      const mapping = map(2, kind);
      await mapping.write(0, page('gone', 2));
      await mapping.write(PAGE_SIZE, Buffer.from('kept'));
      await mapping.zap(0, PAGE_SIZE);
      expect(text(await mapping.read(0, 4))).toBe('\0'.repeat(4));
      expect(text(await mapping.read(PAGE_SIZE, 4))).toBe('kept');
    }
  });

  it('touches every page', async () => {
    const { uffd, mapping } = registered({ pages: 3 });
    const touching = mapping.touch(PAGE_SIZE);
    for (const index of [1n, 2n]) {
      const event = await nextEvent(uffd, 'pagefault');
      expect(event.vaddr).toBe(mapping.vaddr + index * PAGE);
      uffd.zeropage(event.vaddr, PAGE_SIZE);
    }
    await touching;
  });

  it('lets very many accesses wait without stopping anything else', async () => {
    const { uffd, mapping } = registered({ pages: 100 });
    const reads = Array.from({ length: 100 }, (_, index) => mapping.read(index * PAGE_SIZE, 1));
    const other = map(1);
    await other.write(0, Buffer.from('free'));
    expect(text(await other.read(0, 4))).toBe('free');
    uffd.zeropage(mapping.vaddr, mapping.byteLength).orThrow();
    await Promise.all(reads);
  });

  it('unmaps after what was begun before, and refuses what comes after', async () => {
    const { uffd, mapping } = registered({ pages: 1, modes: RegisterMode.MISSING });
    const reading = mapping.read(0, 4);
    await nextEvent(uffd, 'pagefault');
    const unmapping = mapping.unmap();
    await expect(mapping.read(0, 1)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    uffd.copy(mapping.vaddr, page('last')).orThrow();
    expect(text(await reading)).toBe('last');
    await unmapping;
    expect(isMapped(mapping.vaddr)).toBe(false);
    await expect(mapping.unmap()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('lets go of its memfd, and so of its memory, when it is unmapped', async () => {
    const memfds = () => openDescriptors().filter((name) => name.includes('thaw-mapping')).length;
    const before = memfds();
    const mapping = map(1, 'shared');
    const alias = mapping.alias();
    expect(memfds()).toBe(before + 2);
    await mapping.unmap();
    expect(memfds()).toBe(before + 1);
    await alias.unmap();
    expect(memfds()).toBe(before);
  });

  it('is unmapped when the object is collected', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const vaddrs = Array.from({ length: 10 }, () => Mapping.anonymous(PAGE_SIZE).vaddr);
    for (let round = 0; round < 200 && vaddrs.some(isMapped); round += 1) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(vaddrs.some(isMapped)).toBe(false);
  });

  it('checks spans', async () => {
    const mapping = map(1);
    const refused = { code: 'INVALID_ARGUMENT' };
    await expect(mapping.read(PAGE_SIZE, 1)).rejects.toMatchObject(refused);
    await expect(mapping.read(-1, 1)).rejects.toMatchObject(refused);
    await expect(mapping.read(0.5, 1)).rejects.toMatchObject(refused);
    await expect(mapping.write(1, page(''))).rejects.toMatchObject(refused);
    await expect(mapping.zap(0, 100)).rejects.toMatchObject(refused);
    await expect(mapping.protect({}, 8)).rejects.toMatchObject(refused);
    expect(() => Mapping.anonymous(100)).toThrow(expect.objectContaining(refused));
    expect(() => Mapping.anonymous(PAGE_SIZE, { vaddr: 5n })).toThrow(
      expect.objectContaining(refused),
    );
  });
});
