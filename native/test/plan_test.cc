// Plans: a valid one opens; each broken one is refused with its reason; no byte of it can lead the
// pager out of bounds.
#include "plan.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>

#include "page_reader.h"
#include "test_image.h"
#include "testing.h"

namespace {

using thaw::Extent;
using thaw::Fd;
using thaw::kPageSize;
using thaw::PageReader;
using thaw::PageRun;
using thaw::PageSource;
using thaw::Plan;
using thaw::PlanHeader;
using thaw::testing::Memfd;
using thaw::testing::Random;
using thaw::testing::SealedMemfd;
using thaw::testing::SourceOf;
using thaw::testing::TestImage;
using Error = Plan::Error;

std::vector<std::shared_ptr<PageSource>> Sources(const std::vector<uint8_t>& file) {
  return {SourceOf(file)};
}

Error ErrorOf(int fd, const std::vector<uint8_t>& file) {
  Error error = Error::kNone;
  const auto plan = Plan::Open(fd, Sources(file), &error);
  return plan == nullptr ? error : Error::kNone;
}

// A raw extent, a hole, LZ4 in two extents, over two regions.
struct Sample {
  TestImage image{256};
  Sample() {
    image.AddRaw(8).AddHole(4).AddLz4(20, 4, 10).AddZeroBlocks(8, 4).AddRaw(8);
    image.draft().regions = {{image.At(0), image.At(32)}, {image.At(32), image.At(48)}};
    image.AddChecksums();
  }
  std::vector<uint8_t> Encoded() { return EncodePlan(image.draft()); }
};

TEST(PlanOpensWhenValid) {
  Sample sample;
  const std::shared_ptr<const Plan> plan = sample.image.plan();
  EXPECT_EQ(plan->extent_count(), 6u);
  EXPECT_EQ(plan->data_page_count(), 44u);
  EXPECT_EQ(plan->block_pages_max(), 4u);
  EXPECT_EQ(plan->FindExtent(sample.image.At(0) - 1), -1);
  for (uint32_t page = 0; page < 48; ++page) {
    const int64_t index = plan->FindExtent(sample.image.At(page) + 7);
    ASSERT_TRUE(index >= 0);
    const Extent extent = plan->extent(static_cast<uint32_t>(index));
    EXPECT_TRUE(extent.vaddr <= sample.image.At(page) && sample.image.At(page) < extent.end());
  }
  EXPECT_EQ(plan->FindExtent(sample.image.At(48)), -1);
  EXPECT_EQ(plan->FirstExtentFrom(sample.image.At(48)), 6u);
}

TEST(PlanIsRefusedUnsealedOrCut) {
  Sample sample;
  const std::vector<uint8_t> file = sample.image.file();
  const std::vector<uint8_t> bytes = sample.Encoded();
  EXPECT_EQ(ErrorOf(SealedMemfd(bytes).get(), file), Error::kNone);
  EXPECT_EQ(ErrorOf(Memfd(bytes, 0).get(), file), Error::kUnsealed);
  EXPECT_EQ(ErrorOf(Memfd(bytes, F_SEAL_WRITE).get(), file), Error::kUnsealed);
  EXPECT_EQ(ErrorOf(Memfd(bytes, F_SEAL_SHRINK).get(), file), Error::kUnsealed);
  EXPECT_EQ(ErrorOf(Fd(::open("/dev/zero", O_RDONLY | O_CLOEXEC)).get(), file), Error::kUnsealed);
  for (size_t length = 0; length < bytes.size(); length += length < 200 ? 1 : 37) {
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<long>(length));
    EXPECT_EQ(ErrorOf(SealedMemfd(cut).get(), file), Error::kTruncated);
  }
  std::vector<uint8_t> longer = bytes;
  longer.resize(bytes.size() + 8);
  EXPECT_EQ(ErrorOf(SealedMemfd(longer).get(), file), Error::kTruncated);
}

TEST(PlanIsRefusedForItsHeader) {
  const auto error_with = [](const std::function<void(PlanHeader*)>& bend) {
    Sample sample;
    std::vector<uint8_t> bytes = sample.Encoded();
    PlanHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    bend(&header);
    std::memcpy(bytes.data(), &header, sizeof(header));
    return ErrorOf(SealedMemfd(bytes).get(), sample.image.file());
  };
  EXPECT_EQ(error_with([](PlanHeader* h) { h->magic ^= 1; }), Error::kBadMagic);
  EXPECT_EQ(error_with([](PlanHeader* h) { h->source_count = 2; }), Error::kBadLayout);
  EXPECT_EQ(error_with([](PlanHeader* h) { h->extent_count = 0xffffffff; }), Error::kBadLayout);
  EXPECT_EQ(error_with([](PlanHeader* h) { h->region_count = 0x7fffffff; }), Error::kBadLayout);
  EXPECT_EQ(error_with([](PlanHeader* h) { h->block_count = 0xffffffff; }), Error::kBadLayout);
  EXPECT_EQ(error_with([](PlanHeader* h) { h->checksum_count = ~uint64_t{0}; }), Error::kBadLayout);
  for (size_t column = 0; column < 16; ++column) {
    for (const uint64_t offset : {~uint64_t{0} - 7, uint64_t{1} << 40, uint64_t{4}}) {
      EXPECT_EQ(error_with([&](PlanHeader* h) { (&h->region_start)[column] = offset; }),
                Error::kBadLayout);
    }
  }
}

TEST(PlanIsRefusedForItsContent) {
  const auto error_with = [](const std::function<void(TestImage*)>& bend) {
    Sample sample;
    bend(&sample.image);
    return ErrorOf(SealedMemfd(sample.Encoded()).get(), sample.image.file());
  };
  const auto extent = [](TestImage* i, size_t at) -> Extent& { return i->draft().extents[at]; };
  const struct {
    const char* what;
    std::function<void(TestImage*)> bend;
    Error error;
  } kCases[] = {
      {"nothing", [](TestImage*) {}, Error::kNone},
      {"empty region", [](TestImage* i) { i->draft().regions[1].end = i->At(32); },
       Error::kBadRegion},
      {"regions overlap", [](TestImage* i) { i->draft().regions[1].start = i->At(31); },
       Error::kBadRegion},
      {"region not aligned", [](TestImage* i) { i->draft().regions[0].start -= 8; },
       Error::kBadRegion},
      {"region of the kernel", [](TestImage* i) { i->draft().regions[1].end = 0x800000000000; },
       Error::kBadRegion},
      {"regions unsorted",
       [](TestImage* i) { std::swap(i->draft().regions[0], i->draft().regions[1]); },
       Error::kBadRegion},
      {"extents unsorted", [&](TestImage* i) { std::swap(extent(i, 0), extent(i, 1)); },
       Error::kBadExtent},
      {"extents overlap", [&](TestImage* i) { extent(i, 0).page_count = 9; }, Error::kBadExtent},
      {"extent not aligned", [&](TestImage* i) { extent(i, 0).vaddr += 16; }, Error::kBadExtent},
      {"empty extent", [&](TestImage* i) { extent(i, 1).page_count = 0; }, Error::kBadExtent},
      {"in no region", [](TestImage* i) { i->draft().regions[1].start = i->At(41); },
       Error::kBadExtent},
      {"across a region's end", [](TestImage* i) { i->draft().regions[0].end = i->At(31); },
       Error::kBadExtent},
      {"unknown kind", [&](TestImage* i) { extent(i, 1).kind = 3; }, Error::kBadExtent},
      {"wrong page index", [&](TestImage* i) { extent(i, 3).page_index += 1; }, Error::kBadExtent},
      {"unknown source", [&](TestImage* i) { extent(i, 0).source = 1; }, Error::kBadExtent},
      {"blocks too large", [&](TestImage* i) { extent(i, 2).block_pages = 1025; },
       Error::kBadExtent},
      {"skips a whole block", [&](TestImage* i) { extent(i, 3).skip_pages = 4; },
       Error::kBadExtent},
      {"entry too short", [&](TestImage* i) { extent(i, 3).entry_pages = 11; }, Error::kBadExtent},
      {"blocks past the table", [&](TestImage* i) { extent(i, 4).first_block = 6; },
       Error::kBadBlock},
      {"first block out of range", [&](TestImage* i) { extent(i, 4).first_block = 0xffffffff; },
       Error::kBadBlock},
      {"block larger than its pages",
       [](TestImage* i) { i->draft().block_sizes[0] = 4 * 4096 + 1; }, Error::kBadBlock},
      {"block larger than any", [](TestImage* i) { i->draft().block_sizes[0] = 1024 * 4096 + 1; },
       Error::kBadBlock},
      {"raw pages past the file", [](TestImage* i) { i->file().resize(i->file().size() - 1); },
       Error::kOutsideSource},
      {"raw offset past the file", [&](TestImage* i) { extent(i, 5).file_offset = 1u << 30; },
       Error::kOutsideSource},
      {"raw offset wraps", [&](TestImage* i) { extent(i, 5).file_offset = ~uint64_t{0} - 4095; },
       Error::kOutsideSource},
      {"checksums of pages past the table", [&](TestImage* i) { extent(i, 5).first_checksum += 1; },
       Error::kBadChecksum},
      {"checksums of blocks past the table", [](TestImage* i) { i->draft().checksums.resize(10); },
       Error::kBadChecksum},
      {"first checksum out of range",
       [&](TestImage* i) { extent(i, 2).first_checksum = 0xfffffffe; }, Error::kBadChecksum},
      {"an extent without checksums",
       [&](TestImage* i) { extent(i, 2).first_checksum = thaw::kNoChecksum; }, Error::kNone},
      {"blocks past the file", [&](TestImage* i) { extent(i, 2).file_offset = i->file().size(); },
       Error::kOutsideSource},
  };
  for (const auto& test : kCases) {
    const Error found = error_with(test.bend);
    EXPECT_EQ(test.what + std::to_string(static_cast<int>(found)),
              test.what + std::to_string(static_cast<int>(test.error)));
  }
}

TEST(PlanIsRefusedForItsSamples) {
  TestImage image(2048);
  image.AddLz4(300, 1);
  image.draft().regions = {{image.At(0), image.At(300)}};
  std::vector<uint8_t> bytes = EncodePlan(image.draft());
  EXPECT_EQ(ErrorOf(SealedMemfd(bytes).get(), image.file()), Error::kNone);
  PlanHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  bytes[header.block_sample + 3 * sizeof(uint64_t)] ^= 1;
  EXPECT_EQ(ErrorOf(SealedMemfd(bytes).get(), image.file()), Error::kBadBlock);
}

// Whatever a plan that was accepted says can be looked up and read without leaving its bounds
// (under the address sanitizer); returns pages read.
uint64_t ReadAll(const Plan& plan) {
  PageReader reader;
  uint64_t pages = 0;
  for (uint32_t i = 0; i < plan.extent_count(); ++i) {
    const Extent extent = plan.extent(i);
    plan.FindExtent(extent.vaddr);
    plan.FirstExtentFrom(extent.end());
    if (extent.kind != thaw::kExtentData) continue;
    for (uint32_t page = 0; page < extent.page_count;) {
      const PageRun run = reader.Read(plan, extent, page, 16, thaw::Patience::kWait);
      if (run.page_count == 0 || run.first_page > page) return 0;
      page = run.first_page + run.page_count;
      pages += run.page_count;
    }
  }
  return pages;
}

TEST(PlanStaysInBoundsWithFlippedBytes) {
  const uint64_t seed = static_cast<uint64_t>(::time(nullptr)) * 100000;
  Sample sample;
  const std::vector<uint8_t> bytes = sample.Encoded();
  int refused = 0, accepted = 0;
  for (uint64_t round = 0; round < 1500; ++round) {
    Random random(seed + round);
    std::vector<uint8_t> bent = bytes;
    for (uint64_t i = 0; i <= random.Below(3); ++i) {
      bent[random.Below(bent.size())] ^= static_cast<uint8_t>(1 + random.Below(255));
    }
    Error error = Error::kNone;
    const auto plan = Plan::Open(SealedMemfd(bent).get(), Sources(sample.image.file()), &error);
    if (plan == nullptr) {
      ++refused;
      continue;
    }
    ++accepted;
    if (ReadAll(*plan) >= plan->data_page_count()) continue;
    EXPECT_EQ("seed " + std::to_string(seed + round), std::string("reads every page"));
    return;
  }
  EXPECT_TRUE(refused > 0 && accepted > 0);
}

}  // namespace
