/**
 * Opening of a userfaultfd.
 */
import { constants } from 'node:os';
import { errnoCode, systemError, ThawError } from '../errors.js';
import { native, type UffdHandle } from '../native.js';
import { FlagSet, type FlagTable } from './flag-set.js';
import { UffdFeature, UffdIoctl } from './flags.js';
import { Uffd, type UffdOpener } from './uffd.js';

// Flags of userfaultfd(2) on x86-64.
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const UFFD_USER_MODE_ONLY = 1;

/**
 * Settings of a new {@link Uffd}; every method returns the builder.
 *
 * @example
 * const uffd = new UffdBuilder()
 *   .closeOnExec(true)
 *   .nonBlocking(true)
 *   .requireFeatures(UffdFeature.EVENT_REMOVE | UffdFeature.POISON)
 *   .create();
 */
export class UffdBuilder {
  #closeOnExec = false;
  #nonBlocking = false;
  #userModeOnly = true;
  #features = 0n;
  #ioctls = 0n;

  /** O_CLOEXEC. @default false */
  closeOnExec(on: boolean): this {
    this.#closeOnExec = on;
    return this;
  }

  /** O_NONBLOCK, which `poll` and `for await` need. @default false */
  nonBlocking(on: boolean): this {
    this.#nonBlocking = on;
    return this;
  }

  /**
   * Serves faults of user code only; a system call that meets a missing page then fails with EFAULT.
   * False serves the kernel's own accesses too and needs CAP_SYS_PTRACE, the sysctl
   * vm.unprivileged_userfaultfd, or access to /dev/userfaultfd.
   *
   * @default true
   */
  userModeOnly(on: boolean): this {
    this.#userModeOnly = on;
    return this;
  }

  /** Turns features on (bits of {@link UffdFeature}), or fails. Adds to earlier calls. */
  requireFeatures(features: bigint): this {
    this.#features |= features;
    return this;
  }

  /** Fails where the kernel lacks one of these (bits of {@link UffdIoctl}). Adds to earlier calls. */
  requireIoctls(ioctls: bigint): this {
    this.#ioctls |= ioctls;
    return this;
  }

  /**
   * Opens the descriptor: by userfaultfd(2), or through /dev/userfaultfd where that may not
   * (`openedBy` tells which).
   *
   * @throws ThawError UFFD_UNAVAILABLE when neither works, UFFD_FEATURE_MISSING with the missing
   * features or ioctls and the kernel's offer, EPERM when a feature needs a right that is missing.
   */
  create(): Uffd {
    const { handle, opener } = this.#open();
    try {
      const { errno } = handle.api(this.#features);
      if (errno !== 0) throw this.#refusal(errno);
      const uffd = new Uffd(handle, opener);
      if (this.#ioctls !== 0n) requireAll('ioctl', UffdIoctl, this.#ioctls, uffd.ioctls.bits);
      return uffd;
    } catch (error) {
      handle.close();
      throw error;
    }
  }

  /** Why UFFDIO_API failed: the kernel does not say which features it lacks. */
  #refusal(errno: number): ThawError {
    // A descriptor that was refused is spent: the offer is asked of a new one.
    const probe = this.#open().handle;
    const offered = probe.api(0n).features;
    probe.close();
    requireAll('feature', UffdFeature, this.#features, offered);
    const hint = 'EVENT_FORK needs the capability CAP_SYS_PTRACE';
    return systemError({ syscall: 'ioctl(UFFDIO_API)', errno }, { hint });
  }

  #open(): { handle: UffdHandle; opener: UffdOpener } {
    const flags =
      (this.#closeOnExec ? O_CLOEXEC : 0) |
      (this.#nonBlocking ? O_NONBLOCK : 0) |
      (this.#userModeOnly ? UFFD_USER_MODE_ONLY : 0);
    const refusals: string[] = [];
    for (const opener of ['syscall', 'device'] as const) {
      const fd = native.uffdOpen(flags, opener === 'device');
      if (fd >= 0) return { handle: new native.UffdHandle(fd), opener };
      refusals.push(`${OPENER_NAMES[opener]}: ${errnoCode(-fd)}`);
      // Only a missing right or a missing call is a reason to try the device.
      if (fd !== -constants.errno.EPERM && fd !== -constants.errno.ENOSYS) break;
    }
    throw new ThawError('UFFD_UNAVAILABLE', {
      what: 'no userfaultfd can be opened',
      found: refusals.join(', '),
      hint: UNAVAILABLE_HINT,
    });
  }
}

const OPENER_NAMES = { syscall: 'userfaultfd(2)', device: '/dev/userfaultfd' } as const;

const UNAVAILABLE_HINT = [
  'Causes and fixes:',
  '- EPERM: run with CAP_SYS_PTRACE, set the sysctl vm.unprivileged_userfaultfd to 1, give the user',
  '  access to /dev/userfaultfd, or ask for user-mode faults only; container profiles (seccomp) may',
  '  forbid the call as well',
  '- EACCES or ENOENT of the device: its permissions, or a kernel before 6.1',
  '- ENOSYS: a kernel without CONFIG_USERFAULTFD',
  '- EMFILE: too many open descriptors',
].join('\n');

function requireAll<Table extends FlagTable>(
  kind: string,
  table: Table,
  required: bigint,
  offered: bigint,
): void {
  const offer = new FlagSet(table, offered);
  const missing = offer.missing(required);
  if (missing.bits === 0n) return;
  throw new ThawError('UFFD_FEATURE_MISSING', {
    what: `this kernel's userfaultfd lacks a required ${kind}`,
    expected: `${missing}`,
    found: `${offer}`,
  });
}
