import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { PAGE_SIZE } from '../../src/address.js';
import { native } from '../../src/native.js';
import { RegisterMode, UffdFeature, UffdIoctl } from '../../src/uffd/flags.js';
import { UffdBuilder } from '../../src/uffd/uffd-builder.js';
import { closeLater, map, nextEvent, release } from './memory.js';
import { killTargets, Target } from './target.js';

afterEach(async () => {
  vi.restoreAllMocks();
  await killTargets();
  await release();
});

function flagsOf(fd: number): number {
  const match = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
  return Number.parseInt(match?.[1] ?? '', 8);
}

describe('UffdBuilder', () => {
  it('opens an inheritable, blocking, user-mode-only descriptor unless told otherwise', async () => {
    const uffd = closeLater(new UffdBuilder().create());
    expect(flagsOf(uffd.fd) & 0o2004000).toBe(0);
    expect(uffd.openedBy).toBe('syscall');
    expect(uffd.features.names).toEqual([]);
    expect(await uffd.poll({ timeoutMs: 0 })).toEqual({ ready: 1, readable: false, error: true });

    const other = closeLater(new UffdBuilder().closeOnExec(true).nonBlocking(true).create());
    expect(flagsOf(other.fd) & 0o2004000).toBe(0o2004000);
    expect(await other.poll({ timeoutMs: 0 })).toEqual({ ready: 0, readable: false, error: false });
  });

  it('serves the accesses of the kernel too when it is not user-mode-only', async () => {
    const userOnly = await Target.start({ pages: 1, flags: 1 });
    const refused = await userOnly.run('syscall-read', userOnly.vaddr);
    expect(refused.errno).toBe(constants.errno.EFAULT);

    const both = await Target.start({ pages: 1 });
    const reading = both.run('syscall-read', both.vaddr);
    const event = await nextEvent(both.uffd, 'pagefault');
    both.uffd.zeropage(event.vaddr, PAGE_SIZE).orThrow();
    expect(await reading).toEqual({ value: 1n, errno: 0 });
  });

  it('turns features on', () => {
    const features = UffdFeature.EVENT_REMOVE | UffdFeature.POISON;
    const uffd = closeLater(new UffdBuilder().requireFeatures(features).create());
    expect(uffd.features.bits).toBe(features);
    expect(`${uffd.features}`).toBe('EVENT_REMOVE | POISON');
    expect(uffd.ioctls.has(UffdIoctl.COPY | UffdIoctl.REGISTER | UffdIoctl.API)).toBe(true);
  });

  it('lists exactly the features that are missing, and the offer', () => {
    const builder = new UffdBuilder().requireFeatures(UffdFeature.POISON | (1n << 50n));
    expect(() => builder.create()).toThrow(
      expect.objectContaining({
        code: 'UFFD_FEATURE_MISSING',
        expected: '0x4000000000000',
        found: expect.stringMatching(/^PAGEFAULT_FLAG_WP \| EVENT_FORK \| .*POISON/),
      }),
    );
  });

  it('lists exactly the ioctls that are missing, and the offer', () => {
    const builder = new UffdBuilder().requireIoctls(UffdIoctl.COPY | (1n << 33n));
    expect(() => builder.create()).toThrow(
      expect.objectContaining({
        code: 'UFFD_FEATURE_MISSING',
        expected: '0x200000000',
        found: expect.stringMatching(/REGISTER \| UNREGISTER \| WAKE \| COPY .*API/),
      }),
    );
    closeLater(new UffdBuilder().requireIoctls(UffdIoctl.COPY | UffdIoctl.MOVE).create());
  });

  it('goes through /dev/userfaultfd where the call may not, and says so', () => {
    const open = native.uffdOpen;
    vi.spyOn(native, 'uffdOpen').mockImplementation((flags, viaDevice) =>
      viaDevice ? open(flags, viaDevice) : -1,
    );
    const uffd = closeLater(new UffdBuilder().nonBlocking(true).userModeOnly(false).create());
    expect(uffd.openedBy).toBe('device');
    const mapping = map(1);
    uffd.register(mapping.vaddr, PAGE_SIZE, RegisterMode.MISSING);
  });

  it('names both refusals where neither works', () => {
    vi.spyOn(native, 'uffdOpen').mockImplementation((_, viaDevice) => (viaDevice ? -13 : -1));
    expect(() => new UffdBuilder().create()).toThrow(
      expect.objectContaining({
        code: 'UFFD_UNAVAILABLE',
        found: 'userfaultfd(2): EPERM, /dev/userfaultfd: EACCES',
      }),
    );
  });

  it('does not try the device for other reasons', () => {
    const spy = vi.spyOn(native, 'uffdOpen').mockReturnValue(-24);
    expect(() => new UffdBuilder().create()).toThrow(/EMFILE/);
    expect(spy).toHaveBeenCalledTimes(1);
  });
});
