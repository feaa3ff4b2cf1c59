/**
 * Addresses and page numbers.
 *
 * An address is a `bigint` on the public API. Inside, a page is a `number`: a user-space page number
 * on x86-64 has at most 52 bits, so it is exact. These helpers are the only places that convert.
 */

/** Bytes in a page of the machines served (x86-64). */
export const PAGE_SIZE = 4096;

/** log2 of {@link PAGE_SIZE}. */
const PAGE_SHIFT = 12n;

/**
 * First address above user space on x86-64 with four-level page tables (2^47 - 4096).
 *
 * Source: Linux, Documentation/arch/x86/x86_64/mm.rst.
 */
export const USER_SPACE_END = 0x7fff_ffff_f000n;

/** The page number that holds `vaddr`. Exact for every 64-bit address. */
export function toPageNumber(vaddr: bigint): number {
  return Number(vaddr >> PAGE_SHIFT);
}

/** The address at which page `pageNumber` starts. */
export function toVaddr(pageNumber: number): bigint {
  return BigInt(pageNumber) << PAGE_SHIFT;
}

/** `vaddr` as the project writes addresses everywhere: `0x` and lower-case hex digits. */
export function formatVaddr(vaddr: bigint): string {
  return `0x${vaddr.toString(16)}`;
}

/** A half-open range of addresses as text, `0x1000-0x3000`. */
export function formatRange(start: bigint, end: bigint): string {
  return `${formatVaddr(start)}-${formatVaddr(end)}`;
}
