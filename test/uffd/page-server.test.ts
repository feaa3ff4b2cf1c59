import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../src/address.js';
import { RegisterMode, UffdFeature } from '../../src/uffd/flags.js';
import { IoctlResult } from '../../src/uffd/ioctl-result.js';
import type { Mapping } from '../../src/uffd/mapping.js';
import type { PageProvider, ServeOptions } from '../../src/uffd/page-provider.js';
import { type PageServer, servePages } from '../../src/uffd/page-server.js';
import type { Uffd } from '../../src/uffd/uffd.js';
import { UffdBuilder } from '../../src/uffd/uffd-builder.js';
import { until } from '../support/process-facts.js';
import {
  closeLater,
  nextEvent,
  page,
  registered,
  release,
  text,
  waitingThreads,
} from './memory.js';
import { killTargets, Target } from './target.js';

const PAGE = BigInt(PAGE_SIZE);
const { EVENT_FORK, EVENT_REMAP, EVENT_REMOVE, EVENT_UNMAP } = UffdFeature;
const servers: PageServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop().catch(() => undefined)));
  await killTargets();
  await release();
});

function serve(uffd: Uffd, provider: PageProvider, options?: ServeOptions): PageServer {
  const server = servePages(uffd, provider, options);
  servers.push(server);
  return server;
}

/** Pages whose first byte is the page's index after `base`, plus 1. */
function numbered(base: bigint): PageProvider {
  return (vaddr, pageCount) => {
    const bytes = new Uint8Array(pageCount * PAGE_SIZE);
    for (let index = 0; index < pageCount; index += 1) {
      bytes[index * PAGE_SIZE] = Number((vaddr - base) / PAGE) + index + 1;
    }
    return bytes;
  };
}

const firstByte = async (mapping: Mapping, index: number) =>
  (await mapping.read(index * PAGE_SIZE, 1))[0];

describe('servePages', () => {
  it('brings bytes, zeros and poison from a function', async () => {
    const { uffd, mapping } = registered({ pages: 3 });
    const answers = [page('data'), 'zero', 'poison'] as const;
    const server = serve(uffd, async (vaddr) => {
      await sleep(1);
      return answers[Number((vaddr - mapping.vaddr) / PAGE)] ?? 'zero';
    });
    expect(text(await mapping.read(0, 4))).toBe('data');
    expect(text(await mapping.read(PAGE_SIZE, 4))).toBe('\0'.repeat(4));
    await expect(mapping.read(2 * PAGE_SIZE, 4)).rejects.toMatchObject({ found: 'SIGBUS' });
    expect(server.figures).toMatchObject({
      faults: 3,
      calls: 3,
      copiedPages: 1,
      zeroPages: 1,
      poisonedPages: 1,
    });
  });

  it('asks for pages that wait together in one call, never more than may be under way', async () => {
    const { uffd, mapping } = registered({ pages: 64 });
    let underWay = 0;
    let most = 0;
    const counts: number[] = [];
    const reads = Array.from({ length: 64 }, (_, index) => firstByte(mapping, index));
    await waitingThreads(uffd, 64);
    serve(
      uffd,
      async (vaddr, pageCount) => {
        underWay += 1;
        most = Math.max(most, underWay);
        counts.push(pageCount);
        await sleep(2);
        underWay -= 1;
        return numbered(mapping.vaddr)(vaddr, pageCount);
      },
      { concurrency: 3, runPagesMax: 4 },
    );
    expect(await Promise.all(reads)).toEqual(Array.from({ length: 64 }, (_, index) => index + 1));
    expect(most).toBe(3);
    expect(Math.max(...counts)).toBe(4);
    expect(counts.reduce((sum, count) => sum + count)).toBe(64);
  });

  it('calls once for a page that many threads wait for', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const reads = Array.from({ length: 8 }, () => firstByte(mapping, 0));
    await waitingThreads(uffd, 8);
    const server = serve(uffd, numbered(mapping.vaddr));
    expect(await Promise.all(reads)).toEqual(new Array(8).fill(1));
    expect(server.figures).toMatchObject({ calls: 1, copiedPages: 1 });
  });

  it('takes a page that somebody else brought for done, and wakes those who wait', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const server = serve(uffd, async () => {
      uffd.copy(mapping.vaddr, page('first'), { wake: false }).orThrow();
      return page('second');
    });
    expect(text(await mapping.read(0, 5))).toBe('first');
    expect(server.figures).toMatchObject({ alreadyPresent: 1, copiedPages: 0 });
  });

  it('never brings back what the target discarded, not even from a call under way', async () => {
    const { uffd, mapping } = registered({ pages: 2, features: EVENT_REMOVE });
    let answer: (bytes: Uint8Array) => void = () => {};
    const asked: bigint[] = [];
    serve(uffd, (vaddr) => {
      asked.push(vaddr);
      return new Promise((resolve) => {
        answer = resolve;
      });
    });
    const reading = mapping.read(0, 3);
    while (asked.length === 0) await sleep(1);
    await mapping.zap();
    answer(page('old'));
    expect(text(await reading)).toBe('\0\0\0');
    await mapping.write(0, Buffer.from('new'));
    await mapping.zap();
    expect(text(await mapping.read(0, 3))).toBe('\0\0\0');
    expect(text(await mapping.read(PAGE_SIZE, 3))).toBe('\0\0\0');
    expect(asked).toEqual([mapping.vaddr]);
  });

  it('waits where an event is unread', async () => {
    const { uffd, mapping } = registered({ pages: 2, features: EVENT_REMOVE });
    let zapping: Promise<void> | undefined;
    const server = serve(uffd, async (vaddr, pageCount) => {
      // The event comes between the fault and its installation, in the same turn.
      zapping ??= mapping.zap(PAGE_SIZE, PAGE_SIZE);
      const until = Date.now() + 30;
      while (Date.now() < until);
      return numbered(mapping.vaddr)(vaddr, pageCount);
    });
    expect(await firstByte(mapping, 0)).toBe(1);
    await zapping;
    expect(server.figures.deferrals).toBeGreaterThan(0);
  });

  it('tries again by a timer where no event follows', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const { copy } = uffd;
    let refusals = 3;
    uffd.copy = (vaddr, source, options) => {
      refusals -= 1;
      if (refusals < 0) return copy.call(uffd, vaddr, source, options);
      const raw = { bytes: 0, errno: constants.errno.EAGAIN };
      return new IoctlResult(raw, 'UFFDIO_COPY', vaddr, source.byteLength);
    };
    const server = serve(uffd, () => page('late'));
    expect(text(await mapping.read(0, 4))).toBe('late');
    expect(server.figures).toMatchObject({ deferrals: 3, copiedPages: 1, calls: 1 });
  });

  it('poisons where the provider fails, and says why', async () => {
    const { uffd, mapping } = registered({ pages: 2 });
    const heard: unknown[] = [];
    const provider = (vaddr: bigint) => {
      if (vaddr === mapping.vaddr) throw new Error('lost');
      return new Uint8Array(10);
    };
    serve(uffd, provider, { onProviderError: (error, ...run) => heard.push([`${error}`, ...run]) });
    await expect(mapping.touch(0, PAGE_SIZE)).rejects.toMatchObject({ found: 'SIGBUS' });
    await expect(mapping.touch(PAGE_SIZE)).rejects.toMatchObject({ found: 'SIGBUS' });
    expect(heard).toEqual([
      ['Error: lost', mapping.vaddr, 1],
      [expect.stringContaining(', found 10 bytes (0x'), mapping.vaddr + PAGE, 1],
    ]);
  });

  it('poisons where the provider answers what is no content', async () => {
    const answers = [
      ['zeros', "'zeros'"],
      [new ArrayBuffer(PAGE_SIZE), '[ArrayBuffer]'],
      [new Uint32Array(PAGE_SIZE / 4), '[Uint32Array]'],
      [PAGE_SIZE, '4096'],
      [null, 'null'],
      [undefined, 'undefined'],
    ] as const;
    const { uffd, mapping } = registered({ pages: answers.length + 1 });
    const heard: unknown[] = [];
    const provider = (vaddr: bigint) => {
      const index = Number((vaddr - mapping.vaddr) / PAGE);
      return (index < answers.length ? answers[index]?.[0] : page('right')) as Uint8Array;
    };
    serve(uffd, provider, { onProviderError: (error, ...run) => heard.push([error, ...run]) });
    for (const [index, [, found]] of answers.entries()) {
      const reading = firstByte(mapping, index);
      await expect(reading, found).rejects.toMatchObject({ found: 'SIGBUS' });
      const vaddr = mapping.vaddr + BigInt(index) * PAGE;
      const expected = "a Uint8Array of 4096 bytes, 'zero' or 'poison'";
      const error = { code: 'INVALID_ARGUMENT', expected, found, where: `0x${vaddr.toString(16)}` };
      expect(heard.pop()).toEqual([expect.objectContaining(error), vaddr, 1]);
    }
    expect(text(await mapping.read(answers.length * PAGE_SIZE, 5))).toBe('right');
  });

  it('ends with what the listener throws, the pages poisoned before; others wait for the next', async () => {
    const { uffd, mapping } = registered({ pages: 2 });
    const provider = (): never => {
      throw new Error('lost');
    };
    const onProviderError = () => {
      throw new Error('listener');
    };
    const server = serve(uffd, provider, { onProviderError });
    const finished = server.finished.catch((error) => error);
    await expect(mapping.touch(0, PAGE_SIZE)).rejects.toMatchObject({ found: 'SIGBUS' });
    expect(server.figures.poisonedPages).toBe(1);
    expect(await finished).toEqual(new Error('listener'));
    await expect(server.stop()).rejects.toThrow('listener');
    const reading = firstByte(mapping, 1);
    serve(uffd, numbered(mapping.vaddr));
    expect(await reading).toBe(2);
  });

  it('answers minor and write-protect faults', async () => {
    const modes = RegisterMode.MINOR | RegisterMode.WP;
    const features = UffdFeature.MINOR_SHMEM | UffdFeature.WP_HUGETLBFS_SHMEM;
    const { uffd, mapping } = registered({ pages: 1, kind: 'shared', modes, features });
    const alias = mapping.alias();
    await alias.write(0, Buffer.from('minor'));
    serve(uffd, () => 'poison');
    expect(text(await mapping.read(0, 5))).toBe('minor');
    uffd.writeProtect(mapping.vaddr, PAGE_SIZE, true).orThrow();
    await mapping.write(0, Buffer.from('major'));
    expect(text(await alias.read(0, 5))).toBe('major');
    await alias.unmap();
  });

  it('follows moves, unmaps and forks of another process', async () => {
    const features = EVENT_FORK | EVENT_REMAP | EVENT_REMOVE | EVENT_UNMAP;
    const target = await Target.start({ pages: 8, features });
    const { vaddr, uffd } = target;
    const server = serve(uffd, numbered(vaddr));
    const { value: moved } = await target.run('remap', vaddr + 4n * PAGE, 2 * PAGE_SIZE);
    expect((await target.run('read', moved + PAGE)).value).toBe(6n);
    expect((await target.run('fork', moved)).value).toBe(5n);
    await target.run('discard', vaddr, PAGE_SIZE);
    expect((await target.run('fork', vaddr)).value).toBe(0n);
    expect((await target.run('fork', vaddr + PAGE)).value).toBe(2n);
    expect((await target.run('unmap', vaddr + PAGE, PAGE_SIZE)).errno).toBe(0);
    expect((await target.run('read', vaddr + 2n * PAGE)).value).toBe(3n);
    expect(server.figures.forks).toBe(3);
    await until('a child that ended is forgotten', () => server.children.length < 3);
    await server.stop();
    for (const child of server.children) closeLater(child);
  });

  it('ends when a call meets the end of the target', async () => {
    const target = await Target.start({ pages: 1 });
    const server = serve(target.uffd, async () => {
      expect(target.uffd.targetGone).toBe(false);
      process.kill(target.pid, 'SIGKILL');
      await target.exited;
      expect(target.uffd.targetGone).toBe(true);
      return page('late');
    });
    target.run('read', target.vaddr).catch(() => undefined);
    await server.finished;
    expect(target.uffd.closed).toBe(false);
  });

  it('stops without losing a fault: the next server gets it', async () => {
    const { uffd, mapping } = registered({ pages: 2 });
    const asked: bigint[] = [];
    const slow: PageProvider = async (vaddr, pageCount) => {
      asked.push(vaddr);
      await sleep(30);
      return numbered(mapping.vaddr)(vaddr, pageCount);
    };
    const first = serve(uffd, slow, { concurrency: 1, runPagesMax: 1 });
    const reads = [firstByte(mapping, 0), firstByte(mapping, 1)];
    while (asked.length === 0) await sleep(1);
    await first.stop();
    await first.stop();
    expect(first.figures.calls).toBe(1);
    const event = await nextEvent(uffd, 'pagefault');
    expect([mapping.vaddr, mapping.vaddr + PAGE]).toContain(event.vaddr);
    uffd.wake(event.vaddr, PAGE_SIZE);
    serve(uffd, slow);
    expect(await Promise.all(reads)).toEqual([1, 2]);
  });

  it('fails loudly when not even poison can be installed', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const nowhere = { vaddr: PAGE, byteLength: PAGE_SIZE };
    uffd.poison = (vaddr) => uffd.copy(vaddr, nowhere);
    const server = servePages(uffd, () => 'poison');
    const reading = mapping.read(0, 1);
    await expect(server.finished).rejects.toMatchObject({ code: 'EFAULT' });
    await expect(server.stop()).rejects.toMatchObject({ code: 'EFAULT' });
    uffd.close();
    await reading;
  });

  it('ends when its descriptor is closed', async () => {
    const { uffd } = registered({ pages: 1 });
    const server = serve(uffd, () => 'zero');
    uffd.close();
    await server.finished;
  });

  it('refuses blocking descriptors and senseless options', () => {
    const blocking = closeLater(new UffdBuilder().create());
    const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
    expect(() => servePages(blocking, () => 'zero')).toThrow(refused);
    const { uffd } = registered({ pages: 1 });
    expect(() => servePages(uffd, () => 'zero', { concurrency: 0 })).toThrow(refused);
    expect(() => servePages(uffd, () => 'zero', { runPagesMax: 1.5 })).toThrow(refused);
  });
});
