/**
 * Every flag of userfaultfd up to Linux 6.18, as named constants.
 *
 * Source: userfaultfd(2), ioctl_userfaultfd(2), linux/userfaultfd.h.
 */
import type { FlagSet } from './flag-set.js';

/** Features of a userfaultfd (`struct uffdio_api.features`). */
export const UffdFeature = {
  /** Write-protect faults on anonymous memory. */
  PAGEFAULT_FLAG_WP: 1n << 0n,
  /** A fork of the target sends an event and a descriptor for the child. Needs CAP_SYS_PTRACE. */
  EVENT_FORK: 1n << 1n,
  /** mremap(2) in the target sends an event. */
  EVENT_REMAP: 1n << 2n,
  /** madvise(2) with MADV_DONTNEED or MADV_REMOVE sends an event. */
  EVENT_REMOVE: 1n << 3n,
  MISSING_HUGETLBFS: 1n << 4n,
  MISSING_SHMEM: 1n << 5n,
  /** munmap(2) in the target sends an event. */
  EVENT_UNMAP: 1n << 6n,
  /** A fault is SIGBUS in the target instead of an event. */
  SIGBUS: 1n << 7n,
  /** Page fault events carry the id of the thread. */
  THREAD_ID: 1n << 8n,
  MINOR_HUGETLBFS: 1n << 9n,
  MINOR_SHMEM: 1n << 10n,
  /** Page fault events carry the address itself, not that of its page. */
  EXACT_ADDRESS: 1n << 11n,
  WP_HUGETLBFS_SHMEM: 1n << 12n,
  /** Missing pages can be write-protected too. */
  WP_UNPOPULATED: 1n << 13n,
  /** UFFDIO_POISON. Linux 6.6. */
  POISON: 1n << 14n,
  /** Write-protect faults resolve themselves and leave a mark (PAGEMAP_SCAN reads it). Linux 6.7. */
  WP_ASYNC: 1n << 15n,
  /** UFFDIO_MOVE. Linux 6.8. */
  MOVE: 1n << 16n,
} as const;

/** Ioctls, as bits of the sets that UFFDIO_API and UFFDIO_REGISTER report. */
export const UffdIoctl = {
  REGISTER: 1n << 0x00n,
  UNREGISTER: 1n << 0x01n,
  WAKE: 1n << 0x02n,
  COPY: 1n << 0x03n,
  ZEROPAGE: 1n << 0x04n,
  MOVE: 1n << 0x05n,
  WRITEPROTECT: 1n << 0x06n,
  CONTINUE: 1n << 0x07n,
  POISON: 1n << 0x08n,
  API: 1n << 0x3fn,
} as const;

/** What a registered range reports (`struct uffdio_register.mode`). */
export const RegisterMode = {
  /** Accesses to pages that are not there. */
  MISSING: 1n << 0n,
  /** Writes to pages that {@link Uffd.writeProtect} protected. */
  WP: 1n << 1n,
  /** Accesses to pages that are in the page cache of a memfd but not mapped here. */
  MINOR: 1n << 2n,
} as const;

/** `struct uffdio_copy.mode`. */
export const CopyMode = { DONTWAKE: 1n << 0n, WP: 1n << 1n } as const;

/** `struct uffdio_zeropage.mode`. */
export const ZeropageMode = { DONTWAKE: 1n << 0n } as const;

/** `struct uffdio_writeprotect.mode`: without WP, protection is taken away. */
export const WriteProtectMode = { WP: 1n << 0n, DONTWAKE: 1n << 1n } as const;

/** `struct uffdio_continue.mode`. */
export const ContinueMode = { DONTWAKE: 1n << 0n, WP: 1n << 1n } as const;

/** `struct uffdio_poison.mode`. */
export const PoisonMode = { DONTWAKE: 1n << 0n } as const;

/** `struct uffdio_move.mode`. */
export const MoveMode = { DONTWAKE: 1n << 0n, ALLOW_SRC_HOLES: 1n << 1n } as const;

/** Flags of a page fault event. */
export const PagefaultFlag = { WRITE: 1n << 0n, WP: 1n << 1n, MINOR: 1n << 2n } as const;

/** A set of features. */
export type UffdFeatures = FlagSet<typeof UffdFeature>;
/** A set of ioctls. */
export type UffdIoctls = FlagSet<typeof UffdIoctl>;
/** Flags of a page fault event. */
export type PagefaultFlags = FlagSet<typeof PagefaultFlag>;
