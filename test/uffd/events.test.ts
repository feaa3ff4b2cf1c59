import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../src/address.js';
import { RegisterMode, UffdFeature } from '../../src/uffd/flags.js';
import { UffdBuilder } from '../../src/uffd/uffd-builder.js';
import {
  closeLater,
  map,
  nextEvent,
  open,
  page,
  registered,
  release,
  text,
  waitingThreads,
} from './memory.js';
import { killTargets, Target } from './target.js';

const PAGE = BigInt(PAGE_SIZE);
const { EVENT_FORK, EVENT_REMAP, EVENT_REMOVE, EVENT_UNMAP } = UffdFeature;

afterEach(async () => {
  await killTargets();
  await release();
});

describe('page faults of another process', () => {
  it('are served by its descriptor', async () => {
    const target = await Target.start({ pages: 2 });
    const reading = target.run('read', target.vaddr + PAGE);
    const event = await nextEvent(target.uffd, 'pagefault');
    expect(event).toMatchObject({ vaddr: target.vaddr + PAGE, write: false });
    target.uffd.copy(event.vaddr, page('A')).orThrow();
    expect((await reading).value).toBe(65n);
    const writing = target.run('write', target.vaddr, 1);
    expect(await nextEvent(target.uffd, 'pagefault')).toMatchObject({ write: true });
    target.uffd.zeropage(target.vaddr, PAGE_SIZE).orThrow();
    await writing;
  });

  it('carry the exact address and the thread when asked for', async () => {
    const features = UffdFeature.EXACT_ADDRESS | UffdFeature.THREAD_ID;
    const target = await Target.start({ pages: 1, features });
    const reading = target.run('read', target.vaddr + 1234n);
    const event = await nextEvent(target.uffd, 'pagefault');
    expect(event).toMatchObject({ vaddr: target.vaddr + 1234n, threadId: target.pid });
    target.uffd.copy(target.vaddr, page('')).orThrow();
    await reading;
  });

  it('end in SIGBUS on a poisoned page', async () => {
    const target = await Target.start({ pages: 1 });
    const reading = target.run('read', target.vaddr);
    reading.catch(() => undefined);
    const event = await nextEvent(target.uffd, 'pagefault');
    target.uffd.poison(event.vaddr, PAGE_SIZE).orThrow();
    expect(await target.exited).toBe('SIGBUS');
  });
});

describe('fork', () => {
  it('brings a descriptor that serves the child', async () => {
    const target = await Target.start({ pages: 2, features: EVENT_FORK });
    target.uffd.copy(target.vaddr, page('P')).orThrow();
    const forking = target.run('fork', target.vaddr + PAGE);
    const { child } = await nextEvent(target.uffd, 'fork');
    closeLater(child);
    expect(child.fd).not.toBe(target.uffd.fd);
    expect(child.features.has(EVENT_FORK)).toBe(true);
    const fault = await nextEvent(child, 'pagefault');
    expect(fault.vaddr).toBe(target.vaddr + PAGE);
    child.copy(fault.vaddr, page('C')).orThrow();
    expect((await forking).value).toBe(67n);
    const own = target.run('read', target.vaddr + PAGE);
    await nextEvent(target.uffd, 'pagefault');
    target.uffd.copy(target.vaddr + PAGE, page('T')).orThrow();
    expect((await own).value).toBe(84n);
  });
});

describe('changes of the address space', () => {
  it('remove: a discard waits until it is read, the range stays registered', async () => {
    const target = await Target.start({ pages: 2, features: EVENT_REMOVE });
    target.uffd.copy(target.vaddr, page('x', 2)).orThrow();
    const discarding = target.run('discard', target.vaddr + PAGE, PAGE_SIZE);
    const event = await nextEvent(target.uffd, 'remove');
    expect(event).toMatchObject({ start: target.vaddr + PAGE, end: target.vaddr + 2n * PAGE });
    expect((await discarding).errno).toBe(0);
    const reading = target.run('read', target.vaddr + PAGE);
    await nextEvent(target.uffd, 'pagefault');
    target.uffd.zeropage(target.vaddr + PAGE, PAGE_SIZE).orThrow();
    expect((await reading).value).toBe(0n);
  });

  it('unmap: the range, once its event is read', async () => {
    const target = await Target.start({ pages: 2, features: EVENT_UNMAP });
    const unmapping = target.run('unmap', target.vaddr, PAGE_SIZE);
    const event = await nextEvent(target.uffd, 'unmap');
    expect(event).toMatchObject({ start: target.vaddr, end: target.vaddr + PAGE });
    expect((await unmapping).errno).toBe(0);
    expect(target.uffd.copy(target.vaddr, page('x')).code).toBe('ENOENT');
  });

  it('remap: the move, then the end of the old range', async () => {
    const features = EVENT_REMAP | EVENT_UNMAP;
    const target = await Target.start({ pages: 1, features });
    const moving = target.run('remap', target.vaddr, PAGE_SIZE);
    const event = await nextEvent(target.uffd, 'remap');
    expect(event).toMatchObject({ from: target.vaddr, byteLength: PAGE_SIZE });
    expect(await nextEvent(target.uffd, 'unmap')).toMatchObject({ start: target.vaddr });
    expect((await moving).value).toBe(event.to);
    const reading = target.run('read', event.to);
    expect(await nextEvent(target.uffd, 'pagefault')).toMatchObject({ vaddr: event.to });
    target.uffd.copy(event.to, page('m')).orThrow();
    expect((await reading).value).toBe(109n);
  });
});

describe('reading', () => {
  it('gives many events at once, or null and none', async () => {
    const { uffd, mapping } = registered({ pages: 5 });
    expect(uffd.readEvent()).toBeNull();
    expect(uffd.readEvents()).toEqual([]);
    const reads = [0, 1, 2, 3, 4].map((index) => mapping.read(index * PAGE_SIZE, 1));
    await waitingThreads(uffd, 5);
    const events = [uffd.readEvents(2), uffd.readEvents(2), uffd.readEvents()];
    expect(events.map((some) => some.map(({ type }) => type))).toEqual(
      [2, 2, 1].map((count) => new Array(count).fill('pagefault')),
    );
    uffd.copy(mapping.vaddr, page('', 5)).orThrow();
    await Promise.all(reads);
    for (const max of [0, 5000, 1.5]) {
      expect(() => uffd.readEvents(max)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    }
  });

  it('hands out page faults before older events of other kinds', async () => {
    const uffd = open(EVENT_REMOVE);
    const mapping = map(2);
    uffd.register(mapping.vaddr, mapping.byteLength, RegisterMode.MISSING);
    const zapping = mapping.zap(PAGE_SIZE, PAGE_SIZE);
    await uffd.poll({ timeoutMs: 5_000 });
    const reading = mapping.read(0, 1);
    await waitingThreads(uffd, 1);
    expect(uffd.copy(mapping.vaddr, page('x'))).toMatchObject({ bytes: 0, code: 'EAGAIN' });
    expect(uffd.readEvents().map((event) => event.type)).toEqual(['pagefault', 'remove']);
    await zapping;
    uffd.copy(mapping.vaddr, page('x')).orThrow();
    expect(text(await reading)).toBe('x');
  });
});

describe('poll', () => {
  it('waits for an event, gives up in time, and ends when the descriptor is closed', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    expect(await uffd.poll({ timeoutMs: 10 })).toEqual({ ready: 0, readable: false, error: false });
    const polling = uffd.poll();
    const reading = mapping.read(0, 1);
    expect(await polling).toEqual({ ready: 1, readable: true, error: false });
    uffd.readEvent();
    uffd.zeropage(mapping.vaddr, PAGE_SIZE);
    await reading;
    const ended = uffd.poll();
    uffd.close();
    await expect(ended).rejects.toMatchObject({ code: 'UFFD_CLOSED' });
  });

  it('waits as long as it is told, and refuses times that no timer can have', async () => {
    const { uffd } = registered({ pages: 1 });
    for (const timeoutMs of [Number.POSITIVE_INFINITY, 2 ** 31 - 1]) {
      const waiting = sleep(10).then(() => 'waits');
      expect(await Promise.race([uffd.poll({ timeoutMs }), waiting]), `${timeoutMs}`).toBe('waits');
    }
    for (const timeoutMs of [2 ** 31, Number.NaN, -1, Number.NEGATIVE_INFINITY]) {
      await expect(uffd.poll({ timeoutMs }), `${timeoutMs}`).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('expected 0 to 2147483647, or Infinity for no limit'),
        found: `${timeoutMs}`,
      });
    }
  });
});

describe('for await', () => {
  it('gives events as they come, loses none when it is left, and ends with close', async () => {
    const { uffd, mapping } = registered({ pages: 2 });
    const reads = [mapping.read(0, 1), mapping.read(PAGE_SIZE, 1)];
    await waitingThreads(uffd, 2);
    for await (const event of uffd) {
      if (event.type === 'pagefault') uffd.zeropage(event.vaddr, PAGE_SIZE);
      break;
    }
    const rest: string[] = [];
    for await (const event of uffd) {
      rest.push(event.type);
      if (event.type === 'pagefault') uffd.zeropage(event.vaddr, PAGE_SIZE);
      setTimeout(() => uffd.close(), 20);
    }
    expect(rest).toEqual(['pagefault']);
    await Promise.all(reads);
  });

  it('is refused on a blocking descriptor', async () => {
    const uffd = closeLater(new UffdBuilder().create());
    const loop = async () => {
      for await (const _ of uffd) break;
    };
    await expect(loop()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await uffd.poll()).toEqual({ ready: 1, readable: false, error: true });
  });
});
