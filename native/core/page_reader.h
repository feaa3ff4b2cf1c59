// Produces the bytes of a run of data pages in a buffer: raw pages as they are stored, LZ4 blocks
// decoded.
//
// One reader a thread; the bytes of a run are valid until the reader's next call.
#ifndef THAW_NATIVE_CORE_PAGE_READER_H_
#define THAW_NATIVE_CORE_PAGE_READER_H_

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "plan.h"
#include "uffd_abi.h"

namespace thaw {

// Addresses whose waiters are not woken page by page; whoever owns it wakes them.
struct HeldWake {
  uint64_t start = ~uint64_t{0};
  uint64_t end = 0;

  void Add(uint64_t from, uint64_t byte_length) {
    start = std::min(start, from);
    end = std::max(end, from + byte_length);
  }
  bool empty() const { return start >= end; }
  abi::Range range() const { return {start, end - start}; }
};

// Pages of one extent that stand together and come from one place.
struct PageRun {
  uint32_t first_page = 0;  // in the extent
  uint32_t page_count = 0;
  bool zero = false;    // stored as all zero; `source` is not set
  uint64_t source = 0;  // address of the bytes, for UFFDIO_COPY
  int error = 0;        // positive errno: these pages cannot be produced (EBADMSG: corrupt block;
                        // EILSEQ: another checksum; EAGAIN: not without waiting)
  bool mapped = false;  // where they stand mapped: not to be read, and a copy may fail
  HeldWake* held = nullptr;  // of those who wait for these pages; null: they are woken at once
};

// What reading has cost since it was last asked for.
struct ReadCost {
  uint64_t raw_bytes = 0;
  uint64_t lz4_bytes = 0;  // as stored
  uint64_t decode_ns = 0;
  uint64_t stalled_ns = 0;  // waiting for the disk
};

class PageReader {
 public:
  ReadCost TakeCost() { return std::exchange(cost_, {}); }

  // The run that begins with the block that holds page `page` of `extent`, and that reaches over
  // whole blocks while they fit into `page_count_max` pages; a single block may be longer than
  // that. Raw extents begin at `page` itself. A run that cannot be produced is tried again with the
  // first block, or raw page, alone: one that is bad must not take its neighbours along.
  PageRun Read(const Plan& plan, const Extent& extent, uint32_t page, uint32_t page_count_max,
               Patience patience);
  // Pages [page, page + page_count) of `extent` where they stand mapped; else a run that is not
  // `mapped`.
  PageRun FindMapped(const Plan& plan, const Extent& extent, uint32_t page, uint32_t page_count);

 private:
  PageRun ReadRaw(const Plan& plan, const Extent& extent, uint32_t page, uint32_t page_count_max,
                  Patience patience);
  PageRun ReadBlocks(const Plan& plan, const Extent& extent, uint32_t page, uint32_t page_count_max,
                     Patience patience);
  int Decode(const Plan& plan, const Extent& extent, uint32_t first_block, uint32_t block_count,
             Patience patience);

  int ReadBytes(const PageSource& source, void* buffer, uint64_t byte_length, uint64_t offset,
                Patience patience);

  ReadCost cost_;
  std::vector<uint8_t> stored_;
  std::vector<uint8_t> pages_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_PAGE_READER_H_
