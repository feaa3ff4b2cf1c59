// The page reader against the content that went into the image.
#include "page_reader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>

#include "test_image.h"
#include "testing.h"

namespace {

using thaw::Extent;
using thaw::kPageSize;
using thaw::PageReader;
using thaw::PageRun;
using thaw::Patience;
using thaw::Plan;
using thaw::testing::IsContentOf;
using thaw::testing::Random;
using thaw::testing::TestImage;

uint32_t PageInImage(const TestImage& image, const Extent& extent, uint32_t page) {
  return static_cast<uint32_t>((extent.vaddr - image.start()) / kPageSize) + page;
}

// That the run holds `page`, reaches no further than it may, and has the right bytes.
bool RunIsRight(const TestImage& image, const Extent& extent, uint32_t page, uint32_t count_max,
                const PageRun& run) {
  if (run.error != 0 || run.first_page > page) return false;
  if (run.first_page + run.page_count <= page) return false;
  if (run.first_page + run.page_count > extent.page_count) return false;
  if (run.page_count > std::max(count_max, std::max(extent.block_pages, 1u))) return false;
  for (uint32_t i = 0; i < run.page_count; ++i) {
    const uint32_t at = PageInImage(image, extent, run.first_page + i);
    if (run.zero == image.IsData(at)) return false;
    const auto* bytes = reinterpret_cast<const uint8_t*>(run.source + i * kPageSize);
    if (!run.zero && !image.Holds(at, bytes)) return false;
  }
  return true;
}

bool ReadsRight(TestImage* image, uint64_t seed) {
  const std::shared_ptr<const Plan> plan = image->plan();
  Random random(seed);
  PageReader reader;
  for (int i = 0; i < 300; ++i) {
    const Extent extent = plan->extent(static_cast<uint32_t>(random.Below(plan->extent_count())));
    if (extent.kind != thaw::kExtentData) continue;
    const uint32_t page = static_cast<uint32_t>(random.Below(extent.page_count));
    const uint32_t count_max = static_cast<uint32_t>(1 + random.Below(64));
    const PageRun run = reader.Read(*plan, extent, page, count_max, Patience::kWait);
    if (!RunIsRight(*image, extent, page, count_max, run)) return false;
  }
  return true;
}

TEST(PageReaderReadsEveryForm) {
  const uint64_t seed = static_cast<uint64_t>(::time(nullptr));
  TestImage image(2048);
  image.AddRaw(40)
      .AddLz4(50, 1)
      .AddHole(3)
      .AddLz4(100, 16)
      .AddLz4(100, 16, 7)
      .AddZeroBlocks(40, 4)
      .AddLz4(90, 64, 31)
      .AddRaw(1);
  if (!ReadsRight(&image, seed)) EXPECT_EQ("seed " + std::to_string(seed), std::string("right"));
}

TEST(PageReaderReadsRandomLayouts) {
  const uint64_t first = static_cast<uint64_t>(::time(nullptr)) * 100;
  for (uint64_t seed = first; seed < first + 20; ++seed) {
    Random random(seed);
    TestImage image(4096);
    for (int i = 0; i < 6; ++i) {
      const uint32_t pages = static_cast<uint32_t>(1 + random.Below(60));
      const uint32_t block = static_cast<uint32_t>(1 + random.Below(20));
      switch (random.Below(4)) {
        case 0:
          image.AddRaw(pages);
          break;
        case 1:
          image.AddZeroBlocks(pages, block);
          break;
        default:
          image.AddLz4(pages, block, static_cast<uint32_t>(random.Below(pages + 1)));
      }
    }
    if (random.Below(2) == 0) image.MapSource();
    if (ReadsRight(&image, seed)) continue;
    EXPECT_EQ("seed " + std::to_string(seed), std::string("right"));
    return;
  }
}

// A corrupt block in a read of many: only its own pages are in error.
TEST(PageReaderKeepsACorruptBlockToItself) {
  TestImage image(64);
  image.AddLz4(32, 4);
  uint64_t offset = 0;
  for (int i = 0; i < 3; ++i) offset += image.draft().block_sizes[i];
  for (uint64_t i = 0; i < image.draft().block_sizes[3]; ++i) image.file()[offset + i] = 0xff;
  const std::shared_ptr<const Plan> plan = image.plan();
  PageReader reader;
  const Extent extent = plan->extent(0);
  for (uint32_t page = 0; page < 32;) {
    const PageRun run = reader.Read(*plan, extent, page, 32, Patience::kWait);
    const bool corrupt = page >= 12 && page < 16;
    ASSERT_EQ(run.first_page, page);
    ASSERT_TRUE(run.page_count > 0);
    EXPECT_EQ(run.error, corrupt ? EBADMSG : 0);
    if (corrupt) EXPECT_EQ(run.page_count, 4u);
    for (uint32_t i = 0; run.error == 0 && i < run.page_count; ++i) {
      EXPECT_TRUE(page + i < 12 || page + i >= 16);
      EXPECT_TRUE(IsContentOf(page + i, reinterpret_cast<void*>(run.source + i * kPageSize)));
    }
    page += run.page_count;
  }
}

// With checksums every form is read as before, and one flipped bit anywhere is in error: its page
// or block, and nothing else.
TEST(PageReaderTellsAnotherChecksum) {
  const uint64_t first = static_cast<uint64_t>(::time(nullptr)) * 100;
  for (uint64_t seed = first; seed < first + 30; ++seed) {
    TestImage image(256);
    image.AddRaw(20).AddLz4(30, 4, 7).AddZeroBlocks(8, 4).AddLz4(9, 1).AddChecksums();
    Random random(seed);
    const uint64_t flipped = random.Below(image.file().size());
    image.file()[flipped] ^= static_cast<uint8_t>(1u << random.Below(8));
    const std::shared_ptr<const Plan> plan = image.plan();
    PageReader reader;
    uint32_t failed = 0;
    for (uint32_t i = 0; i < plan->extent_count(); ++i) {
      const Extent extent = plan->extent(i);
      for (uint32_t page = 0; page < extent.page_count;) {
        const PageRun run = reader.Read(*plan, extent, page, 16, Patience::kWait);
        ASSERT_EQ(run.first_page, page);
        if (run.error != 0) {
          EXPECT_EQ(run.error, EILSEQ);
          failed += run.page_count;
        } else {
          EXPECT_TRUE(RunIsRight(image, extent, page, 16, run));
        }
        page += run.page_count;
      }
    }
    if (failed >= 1 && failed <= 4) continue;
    EXPECT_EQ("seed " + std::to_string(seed), std::string("one page or block in error"));
    return;
  }
}

// A block that decodes to less than its pages is as corrupt as one that does not decode.
TEST(PageReaderRefusesAShortBlock) {
  TestImage image(16);
  image.AddLz4(8, 4);
  TestImage shorter(16);
  shorter.AddLz4(3, 3);
  ASSERT_TRUE(shorter.file().size() <= image.draft().block_sizes[0]);
  const uint32_t stored = image.draft().block_sizes[0];
  image.draft().block_sizes[0] = shorter.draft().block_sizes[0];
  std::vector<uint8_t> file(shorter.file());
  file.insert(file.end(), image.file().begin() + stored, image.file().end());
  image.file() = file;
  const std::shared_ptr<const Plan> plan = image.plan();
  PageReader reader;
  EXPECT_EQ(reader.Read(*plan, plan->extent(0), 0, 8, Patience::kWait).error, EBADMSG);
  EXPECT_EQ(reader.Read(*plan, plan->extent(0), 4, 8, Patience::kWait).error, 0);
}

TEST(PageReaderTellsACutFile) {
  TestImage image(64);
  image.AddLz4(32, 4);
  const std::shared_ptr<const Plan> plan = image.plan();
  ASSERT_EQ(::ftruncate(image.source_fd(), static_cast<off_t>(image.file().size() - 1)), 0);
  PageReader reader;
  const Extent extent = plan->extent(0);
  EXPECT_EQ(reader.Read(*plan, extent, 0, 32, Patience::kWait).error, 0);
  EXPECT_EQ(reader.Read(*plan, extent, 31, 32, Patience::kWait).error, ENODATA);
}

}  // namespace
