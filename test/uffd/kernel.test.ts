/** What the kernel does, as docs/uffd.md tells it; each test is named there. */
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../src/address.js';
import { RegisterMode, UffdFeature } from '../../src/uffd/flags.js';
import { map, nextEvent, open, page, registered, release, text } from './memory.js';
import { killTargets, Target } from './target.js';

const PAGE = BigInt(PAGE_SIZE);
const { EIO } = constants.errno;

afterEach(async () => {
  await killTargets();
  await release();
});

describe('messages', () => {
  it('vanish when the page comes before they are read', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const reading = mapping.read(0, 1);
    await uffd.poll({ timeoutMs: 5_000 });
    uffd.copy(mapping.vaddr, page('x')).orThrow();
    expect(uffd.readEvent()).toBeNull();
    expect(text(await reading)).toBe('x');
  });

  it('come again after a wake without a page', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const reading = mapping.read(0, 1);
    await nextEvent(uffd, 'pagefault');
    expect(uffd.readEvent()).toBeNull();
    uffd.wake(mapping.vaddr, PAGE_SIZE);
    await nextEvent(uffd, 'pagefault');
    uffd.zeropage(mapping.vaddr, PAGE_SIZE).orThrow();
    await reading;
  });

  it('come from every thread that touches the page', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const reads = [mapping.read(0, 1), mapping.read(0, 1)];
    await nextEvent(uffd, 'pagefault');
    await nextEvent(uffd, 'pagefault');
    uffd.zeropage(mapping.vaddr, PAGE_SIZE).orThrow();
    await Promise.all(reads);
  });
});

describe('copy', () => {
  it('installs nothing when its range leaves the mapping', async () => {
    const uffd = open();
    const mapping = map(2);
    // Different rights keep the kernel from joining the two pages into one mapping.
    await mapping.protect({ read: true }, PAGE_SIZE, PAGE_SIZE);
    uffd.register(mapping.vaddr, mapping.byteLength, RegisterMode.MISSING);
    expect(uffd.copy(mapping.vaddr, page('x', 2))).toMatchObject({ bytes: 0, code: 'ENOENT' });
    const reading = mapping.read(0, 1);
    await nextEvent(uffd, 'pagefault');
    expect(uffd.copy(mapping.vaddr, page('y')).errno).toBe(0);
    expect(text(await reading)).toBe('y');
  });

  it('fills pages that the target may not touch', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    await mapping.protect({});
    await expect(mapping.read(0, 1)).rejects.toMatchObject({ found: 'SIGSEGV' });
    expect(uffd.readEvent()).toBeNull();
    uffd.copy(mapping.vaddr, page('hidden')).orThrow();
    await mapping.protect({ read: true });
    expect(text(await mapping.read(0, 6))).toBe('hidden');
  });

  it('replaces poison, which zeropage does not', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    uffd.poison(mapping.vaddr, PAGE_SIZE).orThrow();
    await expect(mapping.touch()).rejects.toMatchObject({ found: 'SIGBUS' });
    expect(uffd.zeropage(mapping.vaddr, PAGE_SIZE).code).toBe('EEXIST');
    uffd.copy(mapping.vaddr, page('healed')).orThrow();
    expect(text(await mapping.read(0, 6))).toBe('healed');
  });

  it('replaces a guard of the target, which was set without an event', async () => {
    const target = await Target.start({ pages: 1, features: UffdFeature.EVENT_REMOVE });
    expect((await target.run('guard', target.vaddr, PAGE_SIZE)).errno).toBe(0);
    expect(target.uffd.readEvent()).toBeNull();
    expect(target.uffd.zeropage(target.vaddr, PAGE_SIZE).code).toBe('EEXIST');
    target.uffd.copy(target.vaddr, page('A')).orThrow();
    expect((await target.run('read', target.vaddr)).value).toBe(65n);
  });
});

describe('poison', () => {
  it('outlives the registration, and is lifted by a discard', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    uffd.poison(mapping.vaddr, PAGE_SIZE).orThrow();
    uffd.unregister(mapping.vaddr, PAGE_SIZE);
    await expect(mapping.touch()).rejects.toMatchObject({ found: 'SIGBUS' });
    await mapping.zap();
    expect(text(await mapping.read(0, 1))).toBe('\0');
  });
});

describe('the feature SIGBUS', () => {
  it('makes a missing page a signal instead of an event', async () => {
    const { uffd, mapping } = registered({ pages: 1, features: UffdFeature.SIGBUS });
    await expect(mapping.touch()).rejects.toMatchObject({ found: 'SIGBUS' });
    expect(uffd.readEvent()).toBeNull();
  });
});

describe('/proc/PID/mem', () => {
  it('answers EIO on a missing page, at once and without an event', async () => {
    const target = await Target.start({ pages: 1 });
    expect((await target.run('proc-mem', target.vaddr)).errno).toBe(EIO);
    expect(target.uffd.readEvent()).toBeNull();
    target.uffd.copy(target.vaddr, page('x')).orThrow();
    expect(await target.run('proc-mem', target.vaddr)).toEqual({ value: 1n, errno: 0 });
  });
});

describe('the last descriptor', () => {
  it('closed under a waiting process lets it read zeros, without a signal', async () => {
    const target = await Target.start({ pages: 2 });
    const reading = target.run('read', target.vaddr);
    await nextEvent(target.uffd, 'pagefault');
    target.uffd.close();
    expect((await reading).value).toBe(0n);
    expect((await target.run('read', target.vaddr + PAGE)).value).toBe(0n);
  });
});

describe('the end of the target', () => {
  it('sends no event: calls answer ESRCH, poll is silent', async () => {
    const target = await Target.start({ pages: 1 });
    const { uffd, vaddr } = target;
    expect(uffd.targetGone).toBe(false);
    process.kill(target.pid, 'SIGKILL');
    await target.exited;
    await sleep(10);
    expect(await uffd.poll({ timeoutMs: 20 })).toMatchObject({ ready: 0 });
    expect(uffd.readEvent()).toBeNull();
    for (const answer of [uffd.copy(vaddr, page('')), uffd.zeropage(vaddr, PAGE_SIZE)]) {
      expect(answer).toMatchObject({ bytes: 0, code: 'ESRCH' });
    }
    expect(() => uffd.unregister(vaddr, PAGE_SIZE)).toThrow(
      expect.objectContaining({ code: 'ENOMEM' }),
    );
    uffd.wake(vaddr, PAGE_SIZE);
    expect(uffd.targetGone).toBe(true);
  });
});

describe('registering', () => {
  it('takes private and shared memory, twice too, and minor faults on shared memory only', () => {
    const uffd = open();
    for (const kind of ['anonymous', 'shared'] as const) {
      const mapping = map(1, kind);
      uffd.register(mapping.vaddr, PAGE_SIZE, RegisterMode.MISSING);
      uffd.register(mapping.vaddr, PAGE_SIZE, RegisterMode.MISSING);
    }
    const minor = map(1);
    expect(() => uffd.register(minor.vaddr, PAGE_SIZE, RegisterMode.MINOR)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });
});
