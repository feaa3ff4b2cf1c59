// The layout of a restore plan as the control plane hands it over: one sealed memfd of columns.
//
// Every number is little-endian. The memfd begins with PlanHeader; each column is an array that
// starts at the byte offset named there, aligned to 8. Only plain integers cross this boundary: the
// control plane has decoded and validated them, and the pager checks every bound again (plan.cc).
//
// Writer: src/plan/plan-columns.ts. Reader: native/core/plan.cc.
#ifndef THAW_NATIVE_CORE_PLAN_FORMAT_H_
#define THAW_NATIVE_CORE_PLAN_FORMAT_H_

#include <cstdint>

namespace thaw {

inline constexpr uint64_t kPlanMagic = 0x324e4c5057414854;  // "THAWPLN2"

// Kinds of an extent.
inline constexpr uint8_t kExtentData = 0;   // the pager installs its pages
inline constexpr uint8_t kExtentHole = 1;   // nothing stored: zero
inline constexpr uint8_t kExtentEager = 2;  // in place before the target runs; zero if discarded

// In first_checksum: the extent's bytes cannot be checked.
inline constexpr uint32_t kNoChecksum = 0xffffffff;

// Number of blocks between two samples of the running payload size.
inline constexpr uint32_t kBlockSampleInterval = 64;

struct PlanHeader {
  uint64_t magic;
  uint64_t byte_length;   // of the whole memfd
  uint32_t region_count;  // lazy regions: the ranges registered with the uffd
  uint32_t extent_count;
  uint32_t block_count;   // LZ4 blocks of all extents
  uint32_t source_count;  // pages images that extents name
  uint64_t checksum_count;
  // Byte offsets of the columns.
  uint64_t region_start;  // u64[region_count], sorted, page-aligned
  uint64_t region_end;    // u64[region_count], exclusive
  // Extents: sorted by vaddr, disjoint, each inside one lazy region.
  uint64_t vaddr;        // u64[extent_count]
  uint64_t file_offset;  // u64[extent_count]: of the first page (raw) or of the first block (LZ4)
  uint64_t page_count;   // u32[extent_count]
  uint64_t page_index;   // u32[extent_count]: data pages before this extent
  uint64_t kind;         // u8[extent_count]
  uint64_t source;       // u32[extent_count]: index into the sources; 0 where kind is not data
  uint64_t block_pages;  // u32[extent_count]: pages a block; 0 = raw
  uint64_t first_block;  // u32[extent_count]: the block that holds the first page
  uint64_t skip_pages;   // u32[extent_count]: pages of that block before the first page
  uint64_t entry_pages;  // u32[extent_count]: pages from that block's start to the end of its entry
  // Blocks: stored size; 0 = all zero, block's full size = stored raw, else one LZ4 block.
  uint64_t block_size;    // u32[block_count]
  uint64_t block_sample;  // u64[block_count / 64 + 1]: sum of block_size before block 64 * i
  // Checksums: one for each page of raw extents, one for each block of others, as they are stored.
  uint64_t first_checksum;  // u32[extent_count]: of the first page or block; kNoChecksum: none
  uint64_t checksum;        // u32[checksum_count]: CRC-32 (zlib's); that of a zero block is unused
};
static_assert(sizeof(PlanHeader) == 40 + 16 * 8, "no padding");

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_PLAN_FORMAT_H_
