#include "page_reader.h"

#include <libdeflate.h>
#include <lz4.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "clock.h"
#include "kill_point.h"

namespace thaw {
namespace {

// Pages of block `index` of an extent's entry; the last block of an entry may be shorter.
uint32_t PagesOfBlock(const Extent& extent, uint32_t index) {
  return std::min(extent.block_pages, extent.entry_pages - index * extent.block_pages);
}

// Whether bytes as they are stored are those of checksum `index` of the extent. Before anything is
// done with them, so that nothing that is damaged is decoded or installed.
bool IsAsWritten(const Plan& plan, const Extent& extent, uint32_t index, const uint8_t* bytes,
                 uint64_t byte_length) {
  return extent.first_checksum == kNoChecksum ||
         ::libdeflate_crc32(0, bytes, byte_length) == plan.checksum(extent.first_checksum + index);
}

}  // namespace

PageRun PageReader::Read(const Plan& plan, const Extent& extent, uint32_t page,
                         uint32_t page_count_max, Patience patience) {
  if (extent.block_pages != 0) return ReadBlocks(plan, extent, page, page_count_max, patience);
  return ReadRaw(plan, extent, page, page_count_max, patience);
}

PageRun PageReader::FindMapped(const Plan& plan, const Extent& extent, uint32_t page,
                               uint32_t page_count) {
  PageRun run;
  run.first_page = page;
  run.page_count = page_count;
  // What is compressed, or has a checksum, has to be looked at.
  if (extent.block_pages != 0 || extent.first_checksum != kNoChecksum) return run;
  const uint64_t byte_length = page_count * kPageSize;
  run.source =
      plan.source(extent.source).FindMapped(extent.file_offset + page * kPageSize, byte_length);
  run.mapped = run.source != 0;
  if (run.mapped) cost_.raw_bytes += byte_length;
  return run;
}

PageRun PageReader::ReadRaw(const Plan& plan, const Extent& extent, uint32_t page,
                            uint32_t page_count_max, Patience patience) {
  PageRun run = FindMapped(plan, extent, page, std::min(page_count_max, extent.page_count - page));
  if (run.mapped) return run;
  const uint64_t byte_length = run.page_count * kPageSize;
  const uint64_t offset = extent.file_offset + page * kPageSize;
  const PageSource& source = plan.source(extent.source);
  if (pages_.size() < byte_length) pages_.resize(byte_length);
  run.error = ReadBytes(source, pages_.data(), byte_length, offset, patience);
  if (run.error == 0) cost_.raw_bytes += byte_length;
  for (uint32_t i = 0; run.error == 0 && i < run.page_count; ++i) {
    if (!IsAsWritten(plan, extent, page + i, pages_.data() + i * kPageSize, kPageSize)) {
      run.error = EILSEQ;
    }
  }
  if (run.error != 0 && run.page_count > 1) return ReadRaw(plan, extent, page, 1, patience);
  run.source = reinterpret_cast<uint64_t>(pages_.data());
  return run;
}

PageRun PageReader::ReadBlocks(const Plan& plan, const Extent& extent, uint32_t page,
                               uint32_t page_count_max, Patience patience) {
  const uint32_t last_block = (extent.skip_pages + extent.page_count - 1) / extent.block_pages;
  const uint32_t first = (extent.skip_pages + page) / extent.block_pages;
  const bool zero = plan.block_size(extent.first_block + first) == 0;
  uint32_t blocks = 0, pages = 0;
  for (uint32_t i = first; i <= last_block; ++i) {
    const uint32_t block_pages = PagesOfBlock(extent, i);
    if (blocks > 0 && pages + block_pages > page_count_max) break;
    if ((plan.block_size(extent.first_block + i) == 0) != zero) break;
    ++blocks;
    pages += block_pages;
  }
  // Clip the blocks' pages to the extent: a block may begin before it and end behind it.
  const uint32_t block_start = first * extent.block_pages;
  const uint32_t from = std::max(block_start, extent.skip_pages);
  const uint32_t to = std::min(block_start + pages, extent.skip_pages + extent.page_count);
  PageRun run;
  run.first_page = from - extent.skip_pages;
  run.page_count = to - from;
  run.zero = zero;
  if (!zero) {
    run.error = Decode(plan, extent, first, blocks, patience);
    if (run.error != 0 && blocks > 1) return ReadBlocks(plan, extent, page, 1, patience);
    run.source = reinterpret_cast<uint64_t>(pages_.data()) + (from - block_start) * kPageSize;
  }
  return run;
}

int PageReader::Decode(const Plan& plan, const Extent& extent, uint32_t first_block,
                       uint32_t block_count, Patience patience) {
  uint64_t stored_bytes = 0, page_bytes = 0;
  for (uint32_t i = first_block; i < first_block + block_count; ++i) {
    stored_bytes += plan.block_size(extent.first_block + i);
    page_bytes += PagesOfBlock(extent, i) * kPageSize;
  }
  if (stored_.size() < stored_bytes) stored_.resize(stored_bytes);
  if (pages_.size() < page_bytes) pages_.resize(page_bytes);
  const uint64_t offset = plan.BlockOffset(extent, first_block);
  const int error =
      ReadBytes(plan.source(extent.source), stored_.data(), stored_bytes, offset, patience);
  if (error != 0) return error;
  cost_.lz4_bytes += stored_bytes;
  const uint64_t start_ns = MonotonicNs();
  const uint8_t* from = stored_.data();
  uint8_t* to = pages_.data();
  for (uint32_t i = first_block; i < first_block + block_count; ++i) {
    const uint32_t size = plan.block_size(extent.first_block + i);
    const int expected = static_cast<int>(PagesOfBlock(extent, i) * kPageSize);
    if (!IsAsWritten(plan, extent, i, from, size)) return EILSEQ;
    if (size == static_cast<uint32_t>(expected)) {
      std::memcpy(to, from, size);
    } else {
      THAW_KILL_POINT(kDecoding);
      const int decoded =
          LZ4_decompress_safe(reinterpret_cast<const char*>(from), reinterpret_cast<char*>(to),
                              static_cast<int>(size), expected);
      if (decoded != expected) return EBADMSG;
    }
    from += size;
    to += expected;
  }
  cost_.decode_ns += MonotonicNs() - start_ns;
  return 0;
}

// Waits only for what is not in the page cache, so that waits can be told from reads.
int PageReader::ReadBytes(const PageSource& source, void* buffer, uint64_t byte_length,
                          uint64_t offset, Patience patience) {
  const int error = source.Read(buffer, byte_length, offset, Patience::kNoWait);
  if (error != EAGAIN || patience == Patience::kNoWait) return error;
  const uint64_t start_ns = MonotonicNs();
  const int late_error = source.Read(buffer, byte_length, offset, Patience::kWait);
  cost_.stalled_ns += MonotonicNs() - start_ns;
  return late_error;
}

}  // namespace thaw
