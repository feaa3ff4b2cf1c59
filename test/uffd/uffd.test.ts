import { afterEach, describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../src/address.js';
import { ThawError } from '../../src/errors.js';
import { RegisterMode, UffdFeature, UffdIoctl } from '../../src/uffd/flags.js';
import { map, nextEvent, open, page, registered, release, text } from './memory.js';

const { MISSING, WP, MINOR } = RegisterMode;
const PAGE = BigInt(PAGE_SIZE);

afterEach(release);

describe('register and unregister', () => {
  it('return what a range can do: private memory, and a memfd with minor faults', () => {
    const uffd = open(UffdFeature.MINOR_SHMEM);
    const anonymous = map(1);
    const ioctls = uffd.register(anonymous.vaddr, anonymous.byteLength, MISSING | WP);
    expect(ioctls.names).toEqual(
      expect.arrayContaining(['WAKE', 'COPY', 'ZEROPAGE', 'WRITEPROTECT', 'POISON']),
    );
    expect(ioctls.has(UffdIoctl.CONTINUE)).toBe(false);
    const shared = map(1, 'shared');
    const minor = uffd.register(shared.vaddr, shared.byteLength, MISSING | MINOR);
    expect(minor.has(UffdIoctl.CONTINUE | UffdIoctl.WAKE)).toBe(true);
  });

  it('say which range failed, and how', () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const second = open();
    expect(() => second.register(mapping.vaddr, PAGE_SIZE, MISSING)).toThrow(
      expect.objectContaining({
        name: 'ThawError',
        code: 'EBUSY',
        syscall: 'ioctl(UFFDIO_REGISTER)',
        range: { start: mapping.vaddr, end: mapping.vaddr + PAGE },
      }),
    );
    expect(() => uffd.register(mapping.vaddr, PAGE_SIZE, 1n << 40n)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });

  it('release a waiting thread, which reads zeros', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const reading = mapping.read(0, 2);
    await nextEvent(uffd, 'pagefault');
    uffd.unregister(mapping.vaddr, PAGE_SIZE);
    expect(text(await reading)).toBe('\0\0');
  });
});

describe('copy', () => {
  it('resolves a fault that another thread of this process waits in', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const reading = mapping.read(5, 3);
    const event = await nextEvent(uffd, 'pagefault');
    expect(event).toMatchObject({
      vaddr: mapping.vaddr,
      write: false,
      writeProtected: false,
      minor: false,
      threadId: undefined,
    });
    const { bytes, errno, code } = uffd.copy(event.vaddr, page('abcdefgh'));
    expect({ bytes, errno, code }).toEqual({ bytes: PAGE_SIZE, errno: 0, code: undefined });
    expect(text(await reading)).toBe('fgh');
  });

  it('takes its bytes from a span of memory too', async () => {
    const { uffd, mapping } = registered({ pages: 2 });
    const source = map(2);
    await source.write(PAGE_SIZE, Buffer.from('second'));
    expect(uffd.copy(mapping.vaddr, source).orThrow()).toBe(2 * PAGE_SIZE);
    expect(text(await mapping.read(PAGE_SIZE, 6))).toBe('second');
  });

  it('answers partial work with bytes and an errno, and EEXIST at the present page', async () => {
    const { uffd, mapping } = registered({ pages: 4 });
    uffd.copy(mapping.vaddr + 2n * PAGE, page('there')).orThrow();
    const partial = uffd.copy(mapping.vaddr, page('new', 4));
    expect(partial).toMatchObject({ bytes: 2 * PAGE_SIZE, code: 'EAGAIN' });
    const present = uffd.copy(mapping.vaddr + 2n * PAGE, page('new', 2));
    expect(present).toMatchObject({ bytes: 0, code: 'EEXIST' });
    expect(uffd.copy(mapping.vaddr + 3n * PAGE, page('last')).errno).toBe(0);
    expect(text(await mapping.read(2 * PAGE_SIZE, 5))).toBe('there');
    expect(() => partial.orThrow()).toThrow(
      expect.objectContaining({
        code: 'EAGAIN',
        errno: 11,
        syscall: 'ioctl(UFFDIO_COPY)',
        range: { start: mapping.vaddr, end: mapping.vaddr + 4n * PAGE },
        bytesDone: 2 * PAGE_SIZE,
      }),
    );
  });

  it('answers ENOENT outside, and EFAULT for a source that is not there', () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const outside = map(1);
    expect(uffd.copy(outside.vaddr, page('x'))).toMatchObject({ bytes: 0, code: 'ENOENT' });
    const nowhere = { vaddr: 0x7fff_0000_0000n, byteLength: PAGE_SIZE };
    expect(uffd.copy(mapping.vaddr, nowhere)).toMatchObject({ bytes: 0, code: 'EFAULT' });
  });

  it('does not wake with wake: false; a later wake does', async () => {
    const { uffd, mapping } = registered({ pages: 1 });
    let done = false;
    const reading = mapping.read(0, 4).then((bytes) => {
      done = true;
      return bytes;
    });
    await nextEvent(uffd, 'pagefault');
    uffd.copy(mapping.vaddr, page('late'), { wake: false }).orThrow();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(done).toBe(false);
    expect(uffd.copy(mapping.vaddr, page('late')).code).toBe('EEXIST');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(done).toBe(false);
    uffd.wake(mapping.vaddr, PAGE_SIZE);
    expect(text(await reading)).toBe('late');
  });
});

describe('zeropage', () => {
  it('brings a page of zeros', async () => {
    const { uffd, mapping } = registered({ pages: 2 });
    const reading = mapping.read(PAGE_SIZE - 1, 2);
    await nextEvent(uffd, 'pagefault');
    expect(uffd.zeropage(mapping.vaddr, 2 * PAGE_SIZE)).toMatchObject({ bytes: 2 * PAGE_SIZE });
    expect(text(await reading)).toBe('\0\0');
  });
});

describe('writeProtect', () => {
  it('reports a write to a present page, and lets it go on', async () => {
    const features = UffdFeature.PAGEFAULT_FLAG_WP;
    const { uffd, mapping } = registered({ pages: 1, modes: MISSING | WP, features });
    uffd.copy(mapping.vaddr, page('old')).orThrow();
    expect(uffd.writeProtect(mapping.vaddr, PAGE_SIZE, true)).toMatchObject({ errno: 0 });
    expect(text(await mapping.read(0, 3))).toBe('old');
    const writing = mapping.write(0, Buffer.from('new'));
    const event = await nextEvent(uffd, 'pagefault');
    expect(event).toMatchObject({ vaddr: mapping.vaddr, write: true, writeProtected: true });
    expect(`${event.flags}`).toBe('WRITE | WP');
    expect(text(await mapping.read(0, 3))).toBe('old');
    uffd.writeProtect(mapping.vaddr, PAGE_SIZE, false).orThrow();
    await writing;
    expect(text(await mapping.read(0, 3))).toBe('new');
  });

  it('holds for pages that copy installs protected, and wakes nobody with wake: false', async () => {
    const features = UffdFeature.PAGEFAULT_FLAG_WP;
    const { uffd, mapping } = registered({ pages: 1, modes: MISSING | WP, features });
    uffd.copy(mapping.vaddr, page('old'), { writeProtect: true }).orThrow();
    let done = false;
    const writing = mapping.write(0, Buffer.from('new')).then(() => {
      done = true;
    });
    expect(await nextEvent(uffd, 'pagefault')).toMatchObject({ writeProtected: true });
    uffd.writeProtect(mapping.vaddr, PAGE_SIZE, false, { wake: false }).orThrow();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(done).toBe(false);
    uffd.wake(mapping.vaddr, PAGE_SIZE);
    await writing;
  });

  it('answers ENOENT where the range is not registered for it', () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const answer = uffd.writeProtect(mapping.vaddr, PAGE_SIZE, true);
    expect(answer).toMatchObject({ bytes: 0, code: 'ENOENT' });
  });
});

describe('continue', () => {
  it('maps a page that the memfd holds: a minor fault', async () => {
    const features = UffdFeature.MINOR_SHMEM;
    const { uffd, mapping } = registered({ pages: 2, kind: 'shared', modes: MINOR, features });
    const other = mapping.alias();
    await other.write(PAGE_SIZE, Buffer.from('cached'));
    const reading = mapping.read(PAGE_SIZE, 6);
    const event = await nextEvent(uffd, 'pagefault');
    expect(event).toMatchObject({ vaddr: mapping.vaddr + PAGE, minor: true });
    expect(uffd.continue(event.vaddr, PAGE_SIZE)).toMatchObject({ bytes: PAGE_SIZE, errno: 0 });
    expect(text(await reading)).toBe('cached');
    expect(uffd.continue(event.vaddr, PAGE_SIZE).code).toBe('EEXIST');
    expect(uffd.continue(mapping.vaddr, PAGE_SIZE).code).toBe('EFAULT');
    await other.unmap();
  });
});

describe('poison', () => {
  it('makes a touch fail with SIGBUS, here a rejection', async () => {
    const { uffd, mapping } = registered({ pages: 2, features: UffdFeature.POISON });
    const reading = mapping.read(PAGE_SIZE - 2, 4);
    await nextEvent(uffd, 'pagefault');
    uffd.copy(mapping.vaddr, page('')).orThrow();
    uffd.poison(mapping.vaddr + PAGE, PAGE_SIZE).orThrow();
    await expect(reading).rejects.toMatchObject({ code: 'EFAULT', found: 'SIGBUS', bytesDone: 2 });
  });
});

describe('move', () => {
  it('takes a page from elsewhere, which is missing there afterwards', async () => {
    const { uffd, mapping } = registered({ pages: 1, features: UffdFeature.MOVE });
    const source = map(1);
    await source.write(0, Buffer.from('moved'));
    const reading = mapping.read(0, 5);
    const event = await nextEvent(uffd, 'pagefault');
    expect(uffd.move(event.vaddr, source.vaddr, PAGE_SIZE)).toMatchObject({ bytes: PAGE_SIZE });
    expect(text(await reading)).toBe('moved');
    expect(text(await source.read(0, 5))).toBe('\0'.repeat(5));
  });

  it('stops at a hole in the source, or passes over it', async () => {
    const { uffd, mapping } = registered({ pages: 2, features: UffdFeature.MOVE });
    const source = map(2);
    await source.write(PAGE_SIZE, Buffer.from('second'));
    const length = 2 * PAGE_SIZE;
    expect(uffd.move(mapping.vaddr, source.vaddr, length)).toMatchObject({ code: 'ENOENT' });
    uffd.move(mapping.vaddr, source.vaddr, length, { allowSourceHoles: true }).orThrow();
    expect(text(await mapping.read(PAGE_SIZE, 6))).toBe('second');
  });
});

describe('ranges', () => {
  it('are checked for whole pages before the call', () => {
    const { uffd, mapping } = registered({ pages: 1 });
    const { vaddr } = mapping;
    const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
    const calls = [
      () => uffd.register(vaddr + 1n, PAGE_SIZE, MISSING),
      () => uffd.unregister(vaddr, 100),
      () => uffd.wake(vaddr, 0),
      () => uffd.copy(vaddr, new Uint8Array(100)),
      () => uffd.zeropage(-PAGE, PAGE_SIZE),
      () => uffd.continue(vaddr, 1.5),
      () => uffd.poison(vaddr, -PAGE_SIZE),
      () => uffd.move(vaddr, vaddr + 8n, PAGE_SIZE),
      () => uffd.writeProtect(vaddr, Number.NaN, true),
    ];
    for (const call of calls) expect(call).toThrow(refused);
  });

  it('fail after close with UFFD_CLOSED', () => {
    const { uffd, mapping } = registered({ pages: 1 });
    uffd.close();
    uffd.close();
    expect(uffd.closed).toBe(true);
    const closed = expect.objectContaining({ code: 'UFFD_CLOSED' });
    expect(() => uffd.copy(mapping.vaddr, page('x'))).toThrow(closed);
    expect(() => uffd.readEvent()).toThrow(closed);
    expect(() => uffd.fd).toThrow(closed);
    expect(() => uffd.intoFd()).toThrow(ThawError);
  });
});
