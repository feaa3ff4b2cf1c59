/**
 * Whether this machine can restore lazily, and what to do where it cannot.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { arch, release } from 'node:os';
import { ThawError } from '../errors.js';
import { executablePath } from '../executables.js';
import { loadAddon } from '../native.js';
import { UffdFeature } from '../uffd/flags.js';
import type { Uffd } from '../uffd/uffd.js';
import { UffdBuilder } from '../uffd/uffd-builder.js';

/** One thing that was looked at. */
export interface MachineFinding {
  readonly name: string;
  /** `required`: restore fails without it; `useful`: it works, with the cost that `advice` names. */
  readonly need: 'required' | 'useful';
  readonly ok: boolean;
  /** What was found. */
  readonly found: string;
  /** What to do where it is missing, or what its absence costs. */
  readonly advice: string;
}

/** All findings, and whether `restore` works here. */
export interface MachineReport {
  readonly ok: boolean;
  readonly findings: readonly MachineFinding[];
}

/** Every feature, and what is lost without it. */
const FEATURE_USES: readonly (readonly [keyof typeof UffdFeature, string])[] = [
  ['EVENT_FORK', 'forks of resumed tasks cannot be followed (needs CAP_SYS_PTRACE)'],
  ['EVENT_REMAP', 'mremap in resumed tasks cannot be followed'],
  ['EVENT_REMOVE', 'madvise in resumed tasks cannot be followed'],
  ['EVENT_UNMAP', 'munmap in resumed tasks cannot be followed'],
  [
    'POISON',
    'a page that cannot be produced stops its target instead of failing one access (Linux 6.6)',
  ],
  ['THREAD_ID', 'events do not say which thread faulted'],
  ['EXACT_ADDRESS', 'events carry page addresses only (Linux 5.18)'],
  ['MISSING_SHMEM', 'shared memory cannot be served lazily'],
  ['MISSING_HUGETLBFS', 'huge pages cannot be served lazily'],
  ['MINOR_SHMEM', 'minor faults on shared memory are not there (Linux 5.14)'],
  ['PAGEFAULT_FLAG_WP', 'write-protect faults are not there'],
  ['SIGBUS', 'a fault cannot be made a SIGBUS instead of an event'],
  ['MINOR_HUGETLBFS', 'minor faults on huge pages are not there (Linux 5.13)'],
  ['WP_HUGETLBFS_SHMEM', 'write-protect faults on shared memory are not there (Linux 5.19)'],
  ['WP_UNPOPULATED', 'missing pages cannot be write-protected (Linux 6.4)'],
  ['WP_ASYNC', 'asynchronous write-protection is not there (Linux 6.7)'],
  ['MOVE', 'UFFDIO_MOVE is not there (Linux 6.8)'],
];

const CAP_SYS_PTRACE = 19n;

/** The parts of the build, each by a function that gives its path or throws NATIVE_MISSING. */
const BUILD_PARTS: readonly (readonly [string, () => string])[] = [
  ['thaw.node', loadAddon],
  ['thaw-pager', () => executablePath('thaw-pager')],
  ['thaw-host', () => executablePath('thaw-host')],
];

/**
 * Looks at kernel, rights and build. Never throws; opens and closes descriptors only. Without the
 * addon (the finding `thaw.node`) it has no findings on opening a userfaultfd and on its features.
 */
export function checkMachine(): MachineReport {
  const build = BUILD_PARTS.map(([name, pathOf]) => checkPart(name, pathOf));
  const hasAddon = build[0]?.ok === true;
  const { access, features } = hasAddon ? checkUffd() : { access: [], features: [] };
  const findings = [
    ...checkPlatform(),
    ...access,
    checkDevice(),
    checkSysctl(),
    checkCapability(),
    ...features,
    ...build,
  ];
  return { ok: findings.every(({ need, ok }) => ok || need === 'useful'), findings };
}

/** The ways to open a userfaultfd, and its features. */
function checkUffd(): Readonly<Record<'access' | 'features', MachineFinding[]>> {
  const full = tryOpen(false);
  const userMode = tryOpen(true);
  const access = [
    checkAccess('userfaultfd for all faults', full, 'useful', [
      'As it is, system calls that meet a missing page fail with EFAULT. Give CAP_SYS_PTRACE, set the',
      'sysctl vm.unprivileged_userfaultfd to 1, or give access to /dev/userfaultfd',
    ]),
    checkAccess('userfaultfd for user-mode faults', userMode, 'required', [
      'Use a kernel with CONFIG_USERFAULTFD (4.11 or newer); in a container, allow the userfaultfd',
      'system call in its seccomp profile',
    ]),
  ];
  full.uffd?.close();
  userMode.uffd?.close();
  return { access, features: checkFeatures(full.uffd === undefined) };
}

interface Opened {
  readonly uffd?: Uffd;
  readonly error?: ThawError;
}

function tryOpen(userModeOnly: boolean, features = 0n): Opened {
  const builder = new UffdBuilder().closeOnExec(true).userModeOnly(userModeOnly);
  try {
    return { uffd: builder.requireFeatures(features).create() };
  } catch (error) {
    if (error instanceof ThawError) return { error };
    throw error;
  }
}

function checkPlatform(): MachineFinding[] {
  return [
    {
      name: 'machine',
      need: 'required',
      ok: arch() === 'x64',
      found: arch(),
      advice: 'Only x86-64 is served',
    },
    {
      name: 'kernel',
      need: 'required',
      ok: kernelAtLeast(4, 17),
      found: release(),
      advice: 'Use Linux 4.17 or newer (MAP_FIXED_NOREPLACE); 6.6 or newer for poisoned pages',
    },
  ];
}

function kernelAtLeast(major: number, minor: number): boolean {
  const [foundMajor = 0, foundMinor = 0] = release().split('.').map(Number);
  return foundMajor > major || (foundMajor === major && foundMinor >= minor);
}

function checkAccess(
  name: string,
  opened: Opened,
  need: MachineFinding['need'],
  advice: readonly string[],
): MachineFinding {
  const found =
    opened.uffd === undefined
      ? (opened.error?.found ?? 'refused')
      : `opened by ${opened.uffd.openedBy === 'device' ? '/dev/userfaultfd' : 'the system call'}`;
  return { name, need, ok: opened.uffd !== undefined, found, advice: advice.join(' ') };
}

function checkDevice(): MachineFinding {
  const path = '/dev/userfaultfd';
  let found = 'accessible';
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    found = (error as NodeJS.ErrnoException).code ?? 'no access';
  }
  return {
    name: path,
    need: 'useful',
    ok: found === 'accessible',
    found,
    advice: 'Only needed where the system call is refused (Linux 6.1): give the user access to it',
  };
}

function checkSysctl(): MachineFinding {
  const found = readText('/proc/sys/vm/unprivileged_userfaultfd') ?? 'absent';
  return {
    name: 'sysctl vm.unprivileged_userfaultfd',
    need: 'useful',
    ok: found === '1' || hasCapability(CAP_SYS_PTRACE),
    found,
    advice: 'Set it to 1 to serve all faults without CAP_SYS_PTRACE',
  };
}

function checkCapability(): MachineFinding {
  const ok = hasCapability(CAP_SYS_PTRACE);
  return {
    name: 'CAP_SYS_PTRACE',
    need: 'useful',
    ok,
    found: ok ? 'effective' : 'absent',
    advice: 'Needed for EVENT_FORK, and to serve tasks of other users',
  };
}

function hasCapability(number: bigint): boolean {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText('/proc/self/status') ?? '');
  return line !== null && ((BigInt(`0x${line[1]}`) >> number) & 1n) === 1n;
}

function checkFeatures(userModeOnly: boolean): MachineFinding[] {
  return FEATURE_USES.map(([feature, loss]) => {
    const { uffd } = tryOpen(userModeOnly, UffdFeature[feature]);
    const ok = uffd !== undefined;
    uffd?.close();
    const found = ok ? 'offered' : 'not offered';
    return { name: `feature ${feature}`, need: 'useful', ok, found, advice: `Without it ${loss}` };
  });
}

function checkPart(name: string, pathOf: () => string): MachineFinding {
  try {
    return { name, need: 'required', ok: true, found: pathOf(), advice: '' };
  } catch (error) {
    if (!(error instanceof ThawError)) throw error;
    const { found = 'missing', hint = '' } = error;
    return { name, need: 'required', ok: false, found, advice: hint };
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
