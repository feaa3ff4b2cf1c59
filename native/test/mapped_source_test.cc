// Pages that the kernel copies from where their file stands mapped.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "lazy_target.h"
#include "page_reader.h"
#include "test_image.h"
#include "testing.h"

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

// More than one step of the mapper, and no whole number of them.
constexpr uint32_t kPages = 700;

// Takes away what this process has mapped of an image's file; where it stood, nothing is now.
bool BreakMapping(const TestImage& image) {
  struct stat status;
  if (::fstat(image.source_fd(), &status) != 0) return false;
  std::FILE* const maps = std::fopen("/proc/self/maps", "re");
  char line[512];
  bool found = false;
  while (!found && std::fgets(line, sizeof(line), maps) != nullptr) {
    uint64_t start, end, inode;
    const int count =
        std::sscanf(line, "%" PRIx64 "-%" PRIx64 " %*s %*s %*s %" PRIu64, &start, &end, &inode);
    if (count != 3 || inode != status.st_ino) continue;
    found = ::mmap(reinterpret_cast<void*>(start), end - start, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  std::fclose(maps);
  return found;
}

TEST(MappedSourceServesRawPagesWhereTheyStand) {
  TestImage image(2 * kPages);
  image.AddRaw(kPages).AddLz4(8, 4);
  const std::shared_ptr<const Plan> plan = image.plan();
  PageReader reader;
  EXPECT_FALSE(reader.Read(*plan, plan->extent(0), 0, 16, Patience::kWait).mapped);
  image.MapSource();
  for (uint32_t page = 0; page < kPages; page += 16) {
    const PageRun run = reader.Read(*plan, plan->extent(0), page, 16, Patience::kWait);
    ASSERT_TRUE(run.mapped && run.error == 0);
    for (uint32_t i = 0; i < run.page_count; ++i) {
      EXPECT_TRUE(IsContentOf(page + i, reinterpret_cast<void*>(run.source + i * kPageSize)));
    }
  }
  EXPECT_FALSE(reader.Read(*plan, plan->extent(1), 0, 8, Patience::kWait).mapped);
}

// Bytes that are checked must be those that are installed.
TEST(MappedSourceIsReadWhereItHasChecksums) {
  TestImage image(64);
  image.AddRaw(64).AddChecksums();
  image.MapSource();
  PageReader reader;
  const PageRun run = reader.Read(*image.plan(), image.plan()->extent(0), 0, 16, Patience::kWait);
  EXPECT_TRUE(run.error == 0 && !run.mapped);
}

// Its mapping would have zeros behind the end.
TEST(MappedSourceTellsACutFile) {
  TestImage image(64);
  image.AddRaw(64);
  image.MapSource();
  const std::shared_ptr<const Plan> plan = image.plan();
  ASSERT_EQ(::ftruncate(image.source_fd(), static_cast<off_t>(40 * kPageSize + 100)), 0);
  PageReader reader;
  EXPECT_TRUE(reader.Read(*plan, plan->extent(0), 39, 1, Patience::kWait).mapped);
  for (const uint32_t page : {40u, 41u, 63u}) {
    EXPECT_EQ(reader.Read(*plan, plan->extent(0), page, 1, Patience::kWait).error, ENODATA);
  }
}

// Also where the kernel cannot copy from it any more (the file was cut at that moment, or its disk
// failed): the pages are read instead.
TEST(MappedSourceBringsEveryPage) {
  for (const bool broken : {false, true}) {
    for (const bool fill : {false, true}) {
      TestImage image(kPages);
      image.AddRaw(kPages);
      image.MapSource();
      if (broken) ASSERT_TRUE(BreakMapping(image));
      LazyTarget target(image,
                        [&](const LazyTarget::Self&) { return HoldsAll(image) ? kRight : kWrong; });
      PagerRig rig;
      const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
      if (fill) rig.Fill(space);
      target.Go();
      EXPECT_EQ(target.Wait(), kRight);
      EXPECT_EQ(space->figures().poisoned_pages.load(), 0u);
      EXPECT_TRUE(rig.WaitEnd(1));
      EXPECT_EQ(rig.Events(PagerEventKind::kPageError).size(), 0u);
    }
  }
}

// A file that would have to come from the disk is not mapped: to copy from there would wait.
TEST(MappedSourceStandsInThePageCache) {
  char path[] = "./thaw-mapped-XXXXXX";
  Fd fd(::mkostemp(path, O_CLOEXEC));
  ASSERT_TRUE(fd.valid());
  ::unlink(path);
  const std::vector<uint8_t> bytes(kPages * kPageSize, 0x5a);
  ASSERT_EQ(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  ASSERT_EQ(::fsync(fd.get()), 0);
  ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  Fd other(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  int error = 0;
  const std::shared_ptr<PageSource> cold = PageSource::Open(std::move(fd), &error);
  EXPECT_FALSE(cold->MapNext());
  EXPECT_EQ(cold->FindMapped(0, kPageSize), 0u);
  std::vector<uint8_t> read(bytes.size());
  ASSERT_EQ(::pread(other.get(), read.data(), read.size(), 0), static_cast<ssize_t>(read.size()));
  const std::shared_ptr<PageSource> warm = PageSource::Open(std::move(other), &error);
  EXPECT_TRUE(warm->MapNext());
  EXPECT_TRUE(warm->FindMapped(0, kPageSize) != 0);
}

}  // namespace
