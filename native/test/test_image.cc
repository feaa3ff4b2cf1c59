#include "test_image.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <lz4.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace thaw::testing {
namespace {

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::abort();
}

template <typename T>
uint64_t Append(std::vector<uint8_t>* bytes, const std::vector<T>& column) {
  const uint64_t offset = (bytes->size() + 7) / 8 * 8;
  bytes->resize(offset + column.size() * sizeof(T));
  if (!column.empty())
    std::memcpy(bytes->data() + offset, column.data(), column.size() * sizeof(T));
  return offset;
}

template <typename T, typename Item, typename Field>
std::vector<T> Column(const std::vector<Item>& items, Field field) {
  std::vector<T> column;
  for (const Item& item : items) column.push_back(static_cast<T>(item.*field));
  return column;
}

}  // namespace

uint64_t Random::Next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

PageBytes ContentOf(uint64_t number) {
  PageBytes page(kPageSize);
  Random random(number);
  uint64_t word = random.Next() | 1;
  for (size_t at = 0; at < kPageSize; at += sizeof(word)) {
    if (number % 7 == 3) word = random.Next() | 1;
    std::memcpy(page.data() + at, &word, sizeof(word));
  }
  return page;
}

bool IsContentOf(uint64_t number, const void* page) {
  return std::memcmp(page, ContentOf(number).data(), kPageSize) == 0;
}

bool IsZeroPage(const void* page) {
  static const PageBytes zeros(kPageSize);
  return std::memcmp(page, zeros.data(), kPageSize) == 0;
}

std::vector<uint8_t> EncodePlan(const PlanDraft& draft) {
  PlanHeader header{};
  header.magic = kPlanMagic;
  header.region_count = static_cast<uint32_t>(draft.regions.size());
  header.extent_count = static_cast<uint32_t>(draft.extents.size());
  header.block_count = static_cast<uint32_t>(draft.block_sizes.size());
  header.source_count = draft.source_count;
  header.checksum_count = draft.checksums.size();
  std::vector<uint64_t> samples;
  uint64_t sum = 0;
  for (size_t i = 0; i <= draft.block_sizes.size(); ++i) {
    if (i % kBlockSampleInterval == 0) samples.push_back(sum);
    if (i < draft.block_sizes.size()) sum += draft.block_sizes[i];
  }
  std::vector<uint8_t> bytes(sizeof(header));
  const std::vector<Extent>& extents = draft.extents;
  header.region_start = Append(&bytes, Column<uint64_t>(draft.regions, &AddressRange::start));
  header.region_end = Append(&bytes, Column<uint64_t>(draft.regions, &AddressRange::end));
  header.vaddr = Append(&bytes, Column<uint64_t>(extents, &Extent::vaddr));
  header.file_offset = Append(&bytes, Column<uint64_t>(extents, &Extent::file_offset));
  header.page_count = Append(&bytes, Column<uint32_t>(extents, &Extent::page_count));
  header.page_index = Append(&bytes, Column<uint32_t>(extents, &Extent::page_index));
  header.kind = Append(&bytes, Column<uint8_t>(extents, &Extent::kind));
  header.source = Append(&bytes, Column<uint32_t>(extents, &Extent::source));
  header.block_pages = Append(&bytes, Column<uint32_t>(extents, &Extent::block_pages));
  header.first_block = Append(&bytes, Column<uint32_t>(extents, &Extent::first_block));
  header.skip_pages = Append(&bytes, Column<uint32_t>(extents, &Extent::skip_pages));
  header.entry_pages = Append(&bytes, Column<uint32_t>(extents, &Extent::entry_pages));
  header.block_size = Append(&bytes, draft.block_sizes);
  header.block_sample = Append(&bytes, samples);
  header.first_checksum = Append(&bytes, Column<uint32_t>(extents, &Extent::first_checksum));
  header.checksum = Append(&bytes, draft.checksums);
  header.byte_length = bytes.size();
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

Fd Memfd(const std::vector<uint8_t>& bytes, int seals) {
  Fd fd(::memfd_create("thaw-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  Require(fd.valid(), "memfd_create");
  Require(::write(fd.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
          "write");
  if (seals != 0) Require(::fcntl(fd.get(), F_ADD_SEALS, seals) == 0, "F_ADD_SEALS");
  return fd;
}

Fd SealedMemfd(const std::vector<uint8_t>& bytes) {
  return Memfd(bytes, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
}

std::shared_ptr<PageSource> SourceOf(const std::vector<uint8_t>& bytes) {
  int error = 0;
  return PageSource::Open(Memfd(bytes, 0), &error);
}

TestImage::TestImage(uint32_t page_count_max) : reserved_bytes_(page_count_max * kPageSize) {
  void* const place = ::mmap(nullptr, reserved_bytes_, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  Require(place != MAP_FAILED, "mmap");
  start_ = reinterpret_cast<uint64_t>(place);
}

TestImage::~TestImage() { ::munmap(reinterpret_cast<void*>(start_), reserved_bytes_); }

Extent TestImage::Next(uint32_t page_count, uint8_t kind) const {
  Extent extent{};
  extent.vaddr = At(this->page_count());
  extent.page_count = page_count;
  extent.page_index = data_pages_;
  extent.kind = kind;
  extent.first_checksum = kNoChecksum;
  return extent;
}

TestImage& TestImage::AddRaw(uint32_t page_count) {
  Extent extent = Next(page_count, kExtentData);
  extent.file_offset = file_.size();
  for (uint32_t i = 0; i < page_count; ++i) {
    const PageBytes page = ContentOf(data_.size());
    file_.insert(file_.end(), page.begin(), page.end());
    data_.push_back(true);
  }
  draft_.extents.push_back(extent);
  data_pages_ += page_count;
  return *this;
}

TestImage& TestImage::AddHole(uint32_t page_count) {
  draft_.extents.push_back(Next(page_count, kExtentHole));
  data_.insert(data_.end(), page_count, false);
  return *this;
}

void TestImage::AddBlock(const std::vector<uint8_t>& pages) {
  const int length = static_cast<int>(pages.size());
  std::vector<char> packed(LZ4_compressBound(length));
  const int packed_length =
      LZ4_compress_default(reinterpret_cast<const char*>(pages.data()), packed.data(), length,
                           static_cast<int>(packed.size()));
  if (packed_length < length) {
    file_.insert(file_.end(), packed.begin(), packed.begin() + packed_length);
    draft_.block_sizes.push_back(packed_length);
  } else {
    file_.insert(file_.end(), pages.begin(), pages.end());
    draft_.block_sizes.push_back(length);
  }
}

TestImage& TestImage::AddLz4(uint32_t page_count, uint32_t block_pages, uint32_t extent_pages) {
  if (extent_pages == 0) extent_pages = page_count;
  const uint32_t first_block = static_cast<uint32_t>(draft_.block_sizes.size());
  std::vector<uint64_t> offsets;
  for (uint32_t at = 0; at < page_count; at += block_pages) {
    std::vector<uint8_t> pages;
    for (uint32_t i = at; i < std::min(at + block_pages, page_count); ++i) {
      const PageBytes page = ContentOf(this->page_count() + i);
      pages.insert(pages.end(), page.begin(), page.end());
    }
    offsets.push_back(file_.size());
    AddBlock(pages);
  }
  for (uint32_t at = 0; at < page_count; at += extent_pages) {
    const uint32_t count = std::min(extent_pages, page_count - at);
    const uint32_t block = at / block_pages;
    Extent extent = Next(count, kExtentData);
    extent.file_offset = offsets[block];
    extent.block_pages = block_pages;
    extent.first_block = first_block + block;
    extent.skip_pages = at % block_pages;
    extent.entry_pages = page_count - block * block_pages;
    draft_.extents.push_back(extent);
    data_pages_ += count;
    data_.insert(data_.end(), count, true);
  }
  return *this;
}

void TestImage::AddMixed() {
  AddRaw(150).AddLz4(100, 16, 30).AddHole(20).AddLz4(50, 1).AddRaw(80);
  plan();
}

TestImage& TestImage::AddZeroBlocks(uint32_t page_count, uint32_t block_pages) {
  Extent extent = Next(page_count, kExtentData);
  extent.file_offset = file_.size();
  extent.block_pages = block_pages;
  extent.first_block = static_cast<uint32_t>(draft_.block_sizes.size());
  extent.entry_pages = page_count;
  draft_.block_sizes.resize(extent.first_block + (page_count + block_pages - 1) / block_pages);
  draft_.extents.push_back(extent);
  data_pages_ += page_count;
  data_.insert(data_.end(), page_count, false);
  return *this;
}

TestImage& TestImage::AddChecksums() {
  for (Extent& extent : draft_.extents) {
    if (extent.kind != kExtentData) continue;
    extent.first_checksum = static_cast<uint32_t>(draft_.checksums.size());
    const uint32_t unit = std::max(extent.block_pages, 1u);
    const uint32_t count = (extent.skip_pages + extent.page_count + unit - 1) / unit;
    const uint8_t* bytes = file_.data() + extent.file_offset;
    for (uint32_t i = 0; i < count; ++i) {
      const uint64_t byte_length =
          extent.block_pages == 0 ? kPageSize : draft_.block_sizes[extent.first_block + i];
      draft_.checksums.push_back(::libdeflate_crc32(0, bytes, byte_length));
      bytes += byte_length;
    }
  }
  return *this;
}

bool TestImage::Holds(uint32_t page, const void* bytes) const {
  return IsData(page) ? IsContentOf(page, bytes) : IsZeroPage(bytes);
}

std::shared_ptr<const Plan> TestImage::plan() {
  if (plan_ != nullptr) return plan_;
  if (draft_.regions.empty()) draft_.regions.push_back({start_, start_ + byte_length()});
  Fd fd = Memfd(file_, 0);
  source_fd_ = Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  int io_error = 0;
  source_ = remote_ == nullptr ? PageSource::Open(std::move(fd), &io_error)
                               : PageSource::OfRemote(remote_);
  Plan::Error error = Plan::Error::kNone;
  plan_ = Plan::Open(SealedMemfd(EncodePlan(draft_)).get(), {source_}, &error);
  Require(plan_ != nullptr, "Plan::Open refused a valid plan");
  return plan_;
}

void TestImage::MapSource() {
  plan();
  while (source_->MapNext()) {
  }
}

}  // namespace thaw::testing
