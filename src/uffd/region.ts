/**
 * Memory as the kernel sees a mapping: a new one, which may still be told what it is to be, and a live
 * one. After `VmaNew` and `VmaRef` of the kernel's own Rust code; docs/uffd.md compares them row by row.
 */
import { formatRange } from '../address.js';
import { ThawError } from '../errors.js';
import { FlagSet } from './flag-set.js';
import type { Mapping, Protection } from './mapping.js';

/** Flags of a mapping, with the kernel's numbers (VM_READ and so on, linux/mm.h). */
export const RegionFlag = {
  READ: 0x1n,
  WRITE: 0x2n,
  EXEC: 0x4n,
  SHARED: 0x8n,
  MAYREAD: 0x10n,
  MAYWRITE: 0x20n,
  MAYEXEC: 0x40n,
  MAYSHARE: 0x80n,
  DONTCOPY: 0x2_0000n,
  DONTDUMP: 0x400_0000n,
} as const;

/** What new and live regions have in common. */
abstract class RegionBase {
  /** The memory itself: read, write and touch it there. */
  readonly mapping: Mapping;
  /** DONTCOPY and DONTDUMP where they were set. */
  protected settings: bigint;

  constructor(mapping: Mapping, settings: bigint) {
    this.mapping = mapping;
    this.settings = settings;
  }

  /** Address of the first byte. */
  get start(): bigint {
    return this.mapping.vaddr;
  }

  /** Address behind the last byte. */
  get end(): bigint {
    return this.mapping.vaddr + BigInt(this.mapping.byteLength);
  }

  get readable(): boolean {
    return this.mapping.protection.read;
  }

  get writable(): boolean {
    return this.mapping.protection.write;
  }

  get executable(): boolean {
    return this.mapping.protection.execute;
  }

  /** All flags, the kernel's VM_*. MAY… are the rights that can still be had. */
  get flags(): FlagSet<typeof RegionFlag> {
    const { protection, allowedProtection: may, shared } = this.mapping;
    let bits = this.settings;
    if (protection.read) bits |= RegionFlag.READ;
    if (protection.write) bits |= RegionFlag.WRITE;
    if (protection.execute) bits |= RegionFlag.EXEC;
    if (may.read) bits |= RegionFlag.MAYREAD;
    if (may.write) bits |= RegionFlag.MAYWRITE;
    if (may.execute) bits |= RegionFlag.MAYEXEC;
    if (shared) bits |= RegionFlag.SHARED | RegionFlag.MAYSHARE;
    return new FlagSet(RegionFlag, bits);
  }

  /** Discards the pages from `vaddr` on: see {@link Mapping.zap}. */
  async zapPageRange(vaddr: bigint, byteLength: number): Promise<void> {
    if (vaddr < this.start || vaddr + BigInt(byteLength) > this.end) {
      throw new ThawError('INVALID_ARGUMENT', {
        what: 'the range is outside the region',
        expected: formatRange(this.start, this.end),
        found: formatRange(vaddr, vaddr + BigInt(byteLength)),
      });
    }
    await this.mapping.zap(Number(vaddr - this.start), byteLength);
  }
}

/**
 * A region that nobody uses yet. What is said here holds from the first use on; {@link NewRegion.goLive}
 * ends this phase.
 *
 * @example
 * const fresh = new NewRegion(Mapping.anonymous(PAGE_SIZE, { protection: { read: true } }));
 * fresh.setDontCopy();
 * fresh.clearMayWrite();
 * const region = fresh.goLive();
 * await region.protect({ read: true, write: true }); // rejects with EACCES
 */
export class NewRegion extends RegionBase {
  #isLive = false;

  constructor(mapping: Mapping) {
    super(mapping, 0n);
  }

  /** Children of a fork(2) do not get it (MADV_DONTFORK). */
  setDontCopy(): void {
    this.#checkNew();
    this.mapping.setDontCopy();
    this.settings |= RegionFlag.DONTCOPY;
  }

  /** Core dumps leave it out (MADV_DONTDUMP). */
  setDontDump(): void {
    this.#checkNew();
    this.mapping.setDontDump();
    this.settings |= RegionFlag.DONTDUMP;
  }

  /** Gives the right to read up for ever. @throws ThawError EINVAL when it is readable now. */
  clearMayRead(): void {
    this.#giveUp({ read: true });
  }

  /** Gives the right to write up for ever. @throws ThawError EINVAL when it is writable now. */
  clearMayWrite(): void {
    this.#giveUp({ write: true });
  }

  /** Gives the right to execute up for ever. @throws ThawError EINVAL when it is executable now. */
  clearMayExec(): void {
    this.#giveUp({ execute: true });
  }

  /** The region in use. This object may not be told anything any more. */
  goLive(): Region {
    this.#checkNew();
    this.#isLive = true;
    return new Region(this.mapping, this.settings);
  }

  #giveUp(rights: Protection): void {
    this.#checkNew();
    this.mapping.giveUp(rights);
  }

  #checkNew(): void {
    if (!this.#isLive) return;
    throw new ThawError('INVALID_ARGUMENT', { what: 'the region is live: its settings are fixed' });
  }
}

/** A region in use; made by {@link NewRegion.goLive}. */
export class Region extends RegionBase {
  /** Changes the rights to all of it. Rejects with EACCES for one that was given up. */
  async protect(protection: Protection): Promise<void> {
    await this.mapping.protect(protection);
  }
}
