#include "plan.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>

namespace thaw {
namespace {

// Largest LZ4 region of the image format.
constexpr uint32_t kBlockPagesMax = 1024;
constexpr int kSealsNeeded = F_SEAL_WRITE | F_SEAL_SHRINK;

bool PageAligned(uint64_t value) { return value % kPageSize == 0; }

}  // namespace

std::shared_ptr<const Plan> Plan::Open(int fd, std::vector<std::shared_ptr<PageSource>> sources,
                                       Error* error) {
  return Adopt(Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)), std::move(sources), error);
}

std::shared_ptr<const Plan> Plan::Adopt(Fd fd, std::vector<std::shared_ptr<PageSource>> sources,
                                        Error* error) {
  const int seals = ::fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSealsNeeded) != kSealsNeeded) {
    *error = Error::kUnsealed;
    return nullptr;
  }
  struct stat status;
  if (::fstat(fd.get(), &status) != 0 ||
      static_cast<uint64_t>(status.st_size) < sizeof(PlanHeader)) {
    *error = Error::kTruncated;
    return nullptr;
  }
  std::shared_ptr<Plan> plan(new Plan());
  plan->mapping_ = UniqueMapping::Map(status.st_size, PROT_READ, MAP_SHARED, fd.get());
  plan->fd_ = std::move(fd);
  if (!plan->mapping_.valid()) {
    *error = Error::kUnmappable;
    return nullptr;
  }
  plan->sources_ = std::move(sources);
  *error = plan->BindColumns();
  if (*error == Error::kNone) *error = plan->CheckRegions();
  if (*error == Error::kNone) *error = plan->CheckBlocks();
  if (*error == Error::kNone) *error = plan->CheckExtents();
  if (*error != Error::kNone) return nullptr;
  return plan;
}

Plan::Error Plan::BindColumns() {
  header_ = reinterpret_cast<const PlanHeader*>(mapping_.data());
  if (header_->magic != kPlanMagic) return Error::kBadMagic;
  if (header_->byte_length != mapping_.byte_length()) return Error::kTruncated;
  if (header_->source_count != sources_.size()) return Error::kBadLayout;
  bool inside = true;
  const auto bind = [&](auto*& column, uint64_t offset, uint64_t count) {
    const uint64_t width = sizeof(*column);
    inside = inside && offset % 8 == 0 && offset <= mapping_.byte_length() &&
             count <= (mapping_.byte_length() - offset) / width;
    if (!inside) return;
    column = reinterpret_cast<std::remove_reference_t<decltype(column)>>(mapping_.data() + offset);
  };
  const PlanHeader& h = *header_;
  bind(region_start_, h.region_start, h.region_count);
  bind(region_end_, h.region_end, h.region_count);
  bind(vaddr_, h.vaddr, h.extent_count);
  bind(file_offset_, h.file_offset, h.extent_count);
  bind(page_count_, h.page_count, h.extent_count);
  bind(page_index_, h.page_index, h.extent_count);
  bind(kind_, h.kind, h.extent_count);
  bind(source_, h.source, h.extent_count);
  bind(block_pages_, h.block_pages, h.extent_count);
  bind(first_block_, h.first_block, h.extent_count);
  bind(skip_pages_, h.skip_pages, h.extent_count);
  bind(entry_pages_, h.entry_pages, h.extent_count);
  bind(block_size_, h.block_size, h.block_count);
  bind(block_sample_, h.block_sample, h.block_count / kBlockSampleInterval + 1);
  bind(first_checksum_, h.first_checksum, h.extent_count);
  bind(checksum_, h.checksum, h.checksum_count);
  return inside ? Error::kNone : Error::kBadLayout;
}

Plan::Error Plan::CheckRegions() const {
  uint64_t before = 0;
  for (uint32_t i = 0; i < region_count(); ++i) {
    const uint64_t start = region_start_[i], end = region_end_[i];
    if (start < before || end <= start || end > kUserSpaceEnd) return Error::kBadRegion;
    if (!PageAligned(start) || !PageAligned(end)) return Error::kBadRegion;
    before = end;
  }
  return Error::kNone;
}

Plan::Error Plan::CheckBlocks() const {
  uint64_t sum = 0;
  for (uint64_t i = 0; i <= header_->block_count; ++i) {
    if (i % kBlockSampleInterval == 0 && block_sample_[i / kBlockSampleInterval] != sum) {
      return Error::kBadBlock;
    }
    if (i < header_->block_count) {
      if (block_size_[i] > kBlockPagesMax * kPageSize) return Error::kBadBlock;
      sum += block_size_[i];
    }
  }
  return Error::kNone;
}

Plan::Error Plan::CheckExtents() {
  uint64_t before = 0, data_pages = 0;
  uint32_t region = 0;
  for (uint32_t i = 0; i < extent_count(); ++i) {
    const Extent e = extent(i);
    if (!PageAligned(e.vaddr) || e.vaddr < before || e.page_count == 0) return Error::kBadExtent;
    while (region < region_count() && region_end_[region] <= e.vaddr) ++region;
    if (region == region_count() || e.vaddr < region_start_[region]) return Error::kBadExtent;
    if (e.page_count > (region_end_[region] - e.vaddr) / kPageSize) return Error::kBadExtent;
    if (e.kind > kExtentEager || e.page_index != data_pages) return Error::kBadExtent;
    if (e.kind == kExtentData) {
      if (const Error error = CheckData(e); error != Error::kNone) return error;
      data_pages += e.page_count;
      block_pages_max_ = std::max(block_pages_max_, e.block_pages);
    }
    before = e.end();
  }
  if (data_pages > std::numeric_limits<uint32_t>::max()) return Error::kBadExtent;
  data_page_count_ = static_cast<uint32_t>(data_pages);
  return Error::kNone;
}

// That the extent's bytes lie inside its source.
Plan::Error Plan::CheckData(const Extent& e) const {
  if (e.source >= sources_.size()) return Error::kBadExtent;
  const uint64_t file_bytes = sources_[e.source]->byte_length();
  uint64_t payload = e.page_count * kPageSize;
  uint64_t checksums = e.page_count;
  // A page server sends pages as they were.
  if (e.block_pages != 0 && sources_[e.source]->remote() != nullptr) return Error::kBadExtent;
  if (e.block_pages != 0) {
    if (e.block_pages > kBlockPagesMax || e.skip_pages >= e.block_pages) return Error::kBadExtent;
    const uint64_t pages = uint64_t{e.skip_pages} + e.page_count;
    if (pages > e.entry_pages) return Error::kBadExtent;
    const uint64_t blocks = (pages + e.block_pages - 1) / e.block_pages;
    checksums = blocks;
    if (e.first_block + blocks > header_->block_count) return Error::kBadBlock;
    for (uint64_t i = 0; i < blocks; ++i) {
      const uint64_t left = e.entry_pages - i * e.block_pages;
      if (block_size_[e.first_block + i] > std::min<uint64_t>(left, e.block_pages) * kPageSize) {
        return Error::kBadBlock;
      }
    }
    payload = BlockPayloadBefore(e.first_block + static_cast<uint32_t>(blocks)) -
              BlockPayloadBefore(e.first_block);
  }
  if (!HasChecksums(e, checksums)) return Error::kBadChecksum;
  if (e.file_offset > file_bytes || payload > file_bytes - e.file_offset)
    return Error::kOutsideSource;
  return Error::kNone;
}

// That there are `count` checksums for the extent, unless it has none.
bool Plan::HasChecksums(const Extent& e, uint64_t count) const {
  return e.first_checksum == kNoChecksum || e.first_checksum + count <= header_->checksum_count;
}

Extent Plan::extent(uint32_t i) const {
  return {vaddr_[i],       file_offset_[i],    page_count_[i],  page_index_[i],
          source_[i],      block_pages_[i],    first_block_[i], skip_pages_[i],
          entry_pages_[i], first_checksum_[i], kind_[i]};
}

bool Plan::has_remotes() const {
  return std::any_of(sources_.begin(), sources_.end(),
                     [](const auto& source) { return source->remote() != nullptr; });
}

uint32_t Plan::FirstExtentFrom(uint64_t image_vaddr) const {
  const uint64_t* const end = vaddr_ + extent_count();
  const uint64_t* const after = std::upper_bound(vaddr_, end, image_vaddr);
  if (after == vaddr_) return 0;
  const uint32_t candidate = static_cast<uint32_t>(after - vaddr_ - 1);
  const uint64_t candidate_end = vaddr_[candidate] + page_count_[candidate] * kPageSize;
  return candidate_end > image_vaddr ? candidate : candidate + 1;
}

int64_t Plan::FindExtent(uint64_t image_vaddr) const {
  const uint32_t i = FirstExtentFrom(image_vaddr);
  if (i == extent_count() || vaddr_[i] > image_vaddr) return -1;
  return i;
}

uint64_t Plan::OffsetOf(const Extent& extent, uint32_t page) const {
  if (extent.block_pages == 0) return extent.file_offset + page * kPageSize;
  return BlockOffset(extent, (extent.skip_pages + page) / extent.block_pages);
}

uint64_t Plan::BlockOffset(const Extent& extent, uint32_t index) const {
  return extent.file_offset + BlockPayloadBefore(extent.first_block + index) -
         BlockPayloadBefore(extent.first_block);
}

// Extents without data have the number of the data page behind them.
uint32_t Plan::FindExtentOfPage(uint32_t page) const {
  const uint32_t* const end = page_index_ + extent_count();
  return static_cast<uint32_t>(std::upper_bound(page_index_, end, page) - page_index_ - 1);
}

uint32_t Plan::FirstPageFrom(uint64_t image_vaddr) const {
  const uint32_t i = FirstExtentFrom(image_vaddr);
  if (i == extent_count()) return data_page_count_;
  if (kind_[i] != kExtentData || image_vaddr <= vaddr_[i]) return page_index_[i];
  return page_index_[i] + static_cast<uint32_t>((image_vaddr - vaddr_[i]) / kPageSize);
}

uint64_t Plan::BlockPayloadBefore(uint32_t block) const {
  uint64_t sum = block_sample_[block / kBlockSampleInterval];
  for (uint32_t i = block - block % kBlockSampleInterval; i < block; ++i) sum += block_size_[i];
  return sum;
}

}  // namespace thaw
