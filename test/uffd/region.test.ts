import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { formatVaddr, PAGE_SIZE } from '../../src/address.js';
import { UffdFeature } from '../../src/uffd/flags.js';
import { Mapping, type MappingOptions } from '../../src/uffd/mapping.js';
import { NewRegion, Region } from '../../src/uffd/region.js';
import { nextEvent, registered, release, text } from './memory.js';

const PAGE = BigInt(PAGE_SIZE);
const mappings: Mapping[] = [];

afterEach(async () => {
  await Promise.all(mappings.splice(0).map((mapping) => mapping.unmap()));
  await release();
});

function newRegion(options: MappingOptions = {}): NewRegion {
  const mapping = Mapping.anonymous(2 * PAGE_SIZE, options);
  mappings.push(mapping);
  return new NewRegion(mapping);
}

/** The kernel's two-letter flags of the mapping that starts at `start`. */
function vmFlags(start: bigint): string[] {
  const smaps = readFileSync('/proc/self/smaps', 'latin1');
  const at = smaps.indexOf(`${formatVaddr(start).slice(2)}-`);
  const match = /VmFlags: (.*)/.exec(smaps.slice(at));
  return (match?.[1] ?? '').trim().split(' ');
}

describe('NewRegion', () => {
  it('says what the mapping is', () => {
    const fresh = newRegion({ protection: { read: true } });
    expect([fresh.readable, fresh.writable, fresh.executable]).toEqual([true, false, false]);
    expect(fresh.end - fresh.start).toBe(2n * PAGE);
    expect(`${fresh.flags}`).toBe('READ | MAYREAD | MAYWRITE | MAYEXEC');
    expect(vmFlags(fresh.start)).toEqual(expect.arrayContaining(['rd', 'mr', 'mw', 'me']));
    const shared = Mapping.shared(PAGE_SIZE);
    mappings.push(shared);
    const flags = new NewRegion(shared).flags;
    expect(flags.names).toEqual(expect.arrayContaining(['WRITE', 'SHARED', 'MAYSHARE']));
    expect(vmFlags(shared.vaddr)).toEqual(expect.arrayContaining(['wr', 'sh', 'ms']));
  });

  it('sets DONTCOPY and DONTDUMP, as the kernel confirms', () => {
    const fresh = newRegion();
    expect(vmFlags(fresh.start)).not.toEqual(expect.arrayContaining(['dc']));
    fresh.setDontCopy();
    fresh.setDontDump();
    const region = fresh.goLive();
    expect(region.flags.names).toEqual(expect.arrayContaining(['DONTCOPY', 'DONTDUMP']));
    expect(vmFlags(region.start)).toEqual(expect.arrayContaining(['dc', 'dd']));
  });

  it('gives up only rights that are not in use', () => {
    const fresh = newRegion({ protection: { read: true } });
    expect(() => fresh.clearMayRead()).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    fresh.clearMayWrite();
    fresh.clearMayExec();
    expect(`${fresh.flags}`).toBe('READ | MAYREAD');
  });

  it('is fixed once it is live', () => {
    const fresh = newRegion();
    expect(fresh.goLive()).toBeInstanceOf(Region);
    const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
    for (const call of ['setDontCopy', 'setDontDump', 'clearMayRead', 'goLive'] as const) {
      expect(() => fresh[call]()).toThrow(refused);
    }
  });
});

describe('Region', () => {
  it('never gets a right back that was given up', async () => {
    const fresh = newRegion({ protection: { read: true } });
    fresh.clearMayWrite();
    const region = fresh.goLive();
    await expect(region.protect({ read: true, write: true })).rejects.toMatchObject({
      code: 'EACCES',
      syscall: 'mprotect',
    });
    await expect(region.mapping.protect({ write: true }, 0, PAGE_SIZE)).rejects.toMatchObject({
      code: 'EACCES',
    });
    await region.protect({});
    expect(region.readable).toBe(false);
    await region.protect({ read: true, execute: true });
    expect(region.executable).toBe(true);
    expect(vmFlags(region.start)).toEqual(expect.arrayContaining(['rd', 'ex']));
  });

  it('zaps pages, which its page handler hears of', async () => {
    const { uffd, mapping } = registered({ pages: 2, features: UffdFeature.EVENT_REMOVE });
    const region = new NewRegion(mapping).goLive();
    uffd.zeropage(mapping.vaddr, mapping.byteLength).orThrow();
    await mapping.write(PAGE_SIZE, Buffer.from('x'));
    const zapping = region.zapPageRange(region.start + PAGE, PAGE_SIZE);
    const event = await nextEvent(uffd, 'remove');
    expect(event).toMatchObject({ start: region.start + PAGE, end: region.end });
    await zapping;
    const reading = mapping.read(PAGE_SIZE, 1);
    await nextEvent(uffd, 'pagefault');
    uffd.zeropage(region.start + PAGE, PAGE_SIZE).orThrow();
    expect(text(await reading)).toBe('\0');
    await expect(region.zapPageRange(region.end, PAGE_SIZE)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
