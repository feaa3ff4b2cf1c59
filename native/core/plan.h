// A restore plan as the pager sees it: validated columns in a sealed memfd.
//
// Immutable after Open, so any thread may read it. Shared by every address space restored from the
// same task. Layout: plan_format.h.
#ifndef THAW_NATIVE_CORE_PLAN_H_
#define THAW_NATIVE_CORE_PLAN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "fd.h"
#include "page_source.h"
#include "plan_format.h"

namespace thaw {

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t kUserSpaceEnd = 0x7ffffffff000;

// One extent, gathered from the columns.
struct Extent {
  uint64_t vaddr;
  uint64_t file_offset;
  uint32_t page_count;
  uint32_t page_index;
  uint32_t source;
  uint32_t block_pages;
  uint32_t first_block;
  uint32_t skip_pages;
  uint32_t entry_pages;
  uint32_t first_checksum;
  uint8_t kind;

  uint64_t end() const { return vaddr + page_count * kPageSize; }
};

class Plan {
 public:
  enum class Error {
    kNone,
    kUnsealed,
    kTruncated,
    kBadMagic,
    kBadLayout,
    kBadRegion,
    kBadExtent,
    kBadBlock,
    kOutsideSource,
    kUnmappable,
    kBadChecksum,
  };

  // Maps and checks the plan in `fd`, of which it keeps a duplicate. `sources` are the pages images
  // that its extents name by index. Null with `error` set when anything is out of bounds.
  static std::shared_ptr<const Plan> Open(int fd, std::vector<std::shared_ptr<PageSource>> sources,
                                          Error* error);
  // The same, but keeps `fd` itself.
  static std::shared_ptr<const Plan> Adopt(Fd fd, std::vector<std::shared_ptr<PageSource>> sources,
                                           Error* error);

  // The plan's own descriptor, from which it can be opened again.
  int fd() const { return fd_.get(); }

  uint32_t region_count() const { return header_->region_count; }
  uint64_t region_start(uint32_t i) const { return region_start_[i]; }
  uint64_t region_end(uint32_t i) const { return region_end_[i]; }

  uint32_t extent_count() const { return header_->extent_count; }
  Extent extent(uint32_t i) const;
  // Data pages of all extents; page indices run from 0 up to this.
  uint32_t data_page_count() const { return data_page_count_; }

  // Index of the extent that holds `image_vaddr`, or -1. Logarithmic.
  int64_t FindExtent(uint64_t image_vaddr) const;
  // Index of the first extent that ends behind `image_vaddr`, or extent_count(). Logarithmic.
  uint32_t FirstExtentFrom(uint64_t image_vaddr) const;

  // Byte of its source at which page `page` of a data extent begins, or the block that holds it.
  uint64_t OffsetOf(const Extent& extent, uint32_t page) const;
  // Byte of its source at which block `index` of an LZ4 extent begins.
  uint64_t BlockOffset(const Extent& extent, uint32_t index) const;
  // Index of the data extent that holds data page `page`. Logarithmic.
  uint32_t FindExtentOfPage(uint32_t page) const;
  // Number of the first data page at or behind `image_vaddr`. Logarithmic.
  uint32_t FirstPageFrom(uint64_t image_vaddr) const;

  uint32_t block_size(uint32_t block) const { return block_size_[block]; }
  // Stored bytes of all blocks before `block`.
  uint64_t BlockPayloadBefore(uint32_t block) const;
  // CRC-32 of a page or block of an extent that has checksums.
  uint32_t checksum(uint32_t i) const { return checksum_[i]; }
  // Pages of the largest block; 0 when nothing is compressed.
  uint32_t block_pages_max() const { return block_pages_max_; }

  uint32_t source_count() const { return static_cast<uint32_t>(sources_.size()); }
  const PageSource& source(uint32_t i) const { return *sources_[i]; }
  // Whether one of the sources is a page server.
  bool has_remotes() const;

 private:
  Plan() = default;
  Error BindColumns();
  Error CheckRegions() const;
  Error CheckExtents();
  Error CheckData(const Extent& extent) const;
  Error CheckBlocks() const;
  bool HasChecksums(const Extent& extent, uint64_t count) const;

  Fd fd_;
  UniqueMapping mapping_;
  std::vector<std::shared_ptr<PageSource>> sources_;
  const PlanHeader* header_ = nullptr;
  const uint64_t* region_start_ = nullptr;
  const uint64_t* region_end_ = nullptr;
  const uint64_t* vaddr_ = nullptr;
  const uint64_t* file_offset_ = nullptr;
  const uint32_t* page_count_ = nullptr;
  const uint32_t* page_index_ = nullptr;
  const uint8_t* kind_ = nullptr;
  const uint32_t* source_ = nullptr;
  const uint32_t* block_pages_ = nullptr;
  const uint32_t* first_block_ = nullptr;
  const uint32_t* skip_pages_ = nullptr;
  const uint32_t* entry_pages_ = nullptr;
  const uint32_t* block_size_ = nullptr;
  const uint64_t* block_sample_ = nullptr;
  const uint32_t* first_checksum_ = nullptr;
  const uint32_t* checksum_ = nullptr;
  uint32_t data_page_count_ = 0;
  uint32_t block_pages_max_ = 0;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_PLAN_H_
