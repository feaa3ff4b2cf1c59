// Builds what the pager serves from: pages with known content, a pages image and its plan.
#ifndef THAW_NATIVE_TEST_TEST_IMAGE_H_
#define THAW_NATIVE_TEST_TEST_IMAGE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "address_map.h"
#include "fd.h"
#include "page_source.h"
#include "plan.h"

namespace thaw::testing {

// A small generator (splitmix64): the same numbers everywhere for one seed.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  // In [0, end).
  uint64_t Below(uint64_t end) { return Next() % end; }

 private:
  uint64_t state_;
};

using PageBytes = std::vector<uint8_t>;

// The content of page `number`: never all zero; every seventh page does not compress.
PageBytes ContentOf(uint64_t number);
bool IsContentOf(uint64_t number, const void* page);
bool IsZeroPage(const void* page);

// A plan before it is encoded. Tests bend it to see it refused.
struct PlanDraft {
  std::vector<AddressRange> regions;
  std::vector<Extent> extents;
  std::vector<uint32_t> block_sizes;
  std::vector<uint32_t> checksums;
  uint32_t source_count = 1;
};

std::vector<uint8_t> EncodePlan(const PlanDraft& draft);
// A memfd with these bytes; `seals` as for F_ADD_SEALS.
Fd Memfd(const std::vector<uint8_t>& bytes, int seals);
Fd SealedMemfd(const std::vector<uint8_t>& bytes);
std::shared_ptr<PageSource> SourceOf(const std::vector<uint8_t>& bytes);

// An image in one region. Page p of it stands at start() + p * kPageSize and holds ContentOf(p)
// where it is data, zeros where it is a hole.
class TestImage {
 public:
  // Reserves (PROT_NONE) the addresses of `page_count_max` pages, so that they are free in children
  // of this process; released at the end.
  explicit TestImage(uint32_t page_count_max);
  TestImage(const TestImage&) = delete;
  TestImage& operator=(const TestImage&) = delete;
  ~TestImage();

  TestImage& AddRaw(uint32_t page_count);
  TestImage& AddHole(uint32_t page_count);
  // One entry of LZ4 blocks, split into extents of at most `extent_pages` (0: one extent).
  TestImage& AddLz4(uint32_t page_count, uint32_t block_pages, uint32_t extent_pages = 0);
  // One entry with all-zero blocks (their pages read as zeros).
  TestImage& AddZeroBlocks(uint32_t page_count, uint32_t block_pages);

  // 400 pages of every kind, and their plan().
  void AddMixed();

  uint64_t start() const { return start_; }
  uint32_t page_count() const { return static_cast<uint32_t>(data_.size()); }
  uint64_t byte_length() const { return page_count() * kPageSize; }
  uint64_t At(uint32_t page) const { return start_ + page * kPageSize; }
  bool IsData(uint32_t page) const { return data_[page]; }
  // Whether `bytes` are what page `page` holds.
  bool Holds(uint32_t page, const void* bytes) const;

  // Gives all that has been added checksums; those of the file as it is now.
  TestImage& AddChecksums();

  PlanDraft& draft() { return draft_; }
  std::vector<uint8_t>& file() { return file_; }
  // The pages image of plan(), to be cut or overwritten by a test.
  int source_fd() const { return source_fd_.get(); }
  std::shared_ptr<const Plan> plan();
  // Maps the pages image of plan() as far as it can be.
  void MapSource();
  // Has plan() take its pages from a page server instead.
  void UseRemote(std::shared_ptr<RemoteSource> remote) { remote_ = std::move(remote); }

 private:
  Extent Next(uint32_t page_count, uint8_t kind) const;
  void AddBlock(const std::vector<uint8_t>& pages);

  uint64_t start_ = 0;
  uint64_t reserved_bytes_ = 0;
  uint32_t data_pages_ = 0;
  std::vector<bool> data_;  // by page; false: zeros
  std::vector<uint8_t> file_;
  PlanDraft draft_;
  Fd source_fd_;
  std::shared_ptr<RemoteSource> remote_;
  std::shared_ptr<PageSource> source_;
  std::shared_ptr<const Plan> plan_;
};

}  // namespace thaw::testing

#endif  // THAW_NATIVE_TEST_TEST_IMAGE_H_
