// Sources that break under way: SIGBUS on the pages that cannot be produced, never zeros, and all
// other pages are right.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "lazy_target.h"
#include "test_image.h"
#include "testing.h"

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

constexpr int kBusError = 3;

TEST(CutSourcePoisonsWhatIsBehindTheCut) {
  for (const bool fill : {false, true}) {
    TestImage image(128);
    image.AddRaw(128);
    image.plan();
    LazyTarget target(image, [&](const LazyTarget::Self&) {
      uint32_t poisoned = 0;
      if (CountPoisoned(image, &poisoned) != kRight) return kWrong;
      return poisoned == 28 ? kBusError : kWrong;
    });
    PagerRig rig;
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
    ASSERT_EQ(::ftruncate(image.source_fd(), 100 * 4096), 0);
    if (fill) {
      rig.Fill(space);
      EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kResident, 1));
    }
    target.Go();
    EXPECT_EQ(target.Wait(), kBusError);
    EXPECT_TRUE(rig.WaitEnd(1));  // by then all has been told
    EXPECT_EQ(space->figures().poisoned_pages.load(), 28u);
    // Its end is told after its last failure.
    EXPECT_TRUE(rig.WaitEnd(1));
    uint64_t reported = 0;
    for (const PagerEvent& event : rig.Events(PagerEventKind::kPageError)) {
      EXPECT_EQ(event.error, ENODATA);
      EXPECT_TRUE(event.a >= image.At(100) && event.a + event.b * kPageSize <= image.At(128));
      reported += event.b;
    }
    EXPECT_EQ(reported, 28u);
  }
}

TEST(TouchOfAPoisonedPageIsABusError) {
  TestImage image(8);
  image.AddRaw(8);
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self&) {
    return *static_cast<volatile uint8_t*>(Pointer(image.At(7)));
  });
  PagerRig rig;
  rig.Add(1, &target, &image);
  ASSERT_EQ(::ftruncate(image.source_fd(), 4096), 0);
  target.Go();
  EXPECT_EQ(target.Wait(), -SIGBUS);
}

TEST(CorruptBlockPoisonsItsOwnPagesOnly) {
  for (const bool fill : {false, true}) {
    TestImage image(128);
    image.AddLz4(128, 8);
    uint64_t offset = 0;
    for (int i = 0; i < 5; ++i) offset += image.draft().block_sizes[i];
    for (uint64_t i = 0; i < image.draft().block_sizes[5]; ++i) image.file()[offset + i] = 0xff;
    image.plan();
    LazyTarget target(image, [&](const LazyTarget::Self&) {
      uint32_t poisoned = 0;
      if (CountPoisoned(image, &poisoned) != kRight) return kWrong;
      return poisoned == 8 ? kRight : kWrong;
    });
    PagerRig rig;
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
    if (fill) rig.Fill(space);
    target.Go();
    EXPECT_EQ(target.Wait(), kRight);
    EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kPageError, 1));
    for (const PagerEvent& event : rig.Events(PagerEventKind::kPageError)) {
      EXPECT_EQ(event.error, EBADMSG);
    }
  }
}

// Overwritten under way: checksums tell, and every byte that gets to the target is the right one.
TEST(OverwrittenSourcePoisonsWhatIsNotAsWritten) {
  for (const bool fill : {false, true}) {
    TestImage image(128);
    image.AddRaw(64).AddLz4(64, 4).AddChecksums();
    image.plan();
    LazyTarget target(image, [&](const LazyTarget::Self&) {
      uint32_t poisoned = 0;
      if (CountPoisoned(image, &poisoned) != kRight) return kWrong;
      return poisoned == 2 + 4 ? kBusError : kWrong;
    });
    PagerRig rig;
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
    const uint64_t lz4_offset = 64 * kPageSize + image.draft().block_sizes[0];
    for (const uint64_t offset : {3 * kPageSize, 40 * kPageSize + 4095, lz4_offset}) {
      const uint8_t byte = static_cast<uint8_t>(image.file()[offset] ^ 1);
      ASSERT_EQ(::pwrite(image.source_fd(), &byte, 1, static_cast<off_t>(offset)), 1);
    }
    if (fill) {
      rig.Fill(space);
      EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kResident, 1));
    }
    target.Go();
    EXPECT_EQ(target.Wait(), kBusError);
    EXPECT_EQ(space->figures().poisoned_pages.load(), 6u);
    for (const PagerEvent& event : rig.Events(PagerEventKind::kPageError)) {
      EXPECT_EQ(event.error, EILSEQ);
    }
  }
}

// A poisoning that crosses the border of a VMA.
TEST(CorruptBlockAcrossASplitVmaIsPoisoned) {
  TestImage image(32);
  image.AddLz4(32, 16);
  for (uint32_t i = 0; i < image.draft().block_sizes[0]; ++i) image.file()[i] = 0xff;
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    ::mprotect(Pointer(image.At(5)), 3 * kPageSize, PROT_READ);
    self.Meet();
    self.Meet();
    uint32_t poisoned = 0;
    if (CountPoisoned(image, &poisoned) != kRight) return kWrong;
    return poisoned == 16 ? kRight : kWrong;
  });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
  target.Go();
  target.Meet();
  rig.Fill(space);
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kResident, 1));
  target.Meet();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_EQ(space->figures().poisoned_pages.load(), 16u);
}

// Discards and broken pages at once: a poisoning that meets an unread event is put off, it neither
// kills the target nor gets lost.
TEST(PoisonSurvivesADiscardStorm) {
  for (uint64_t seed = 1; seed <= 15; ++seed) {
    TestImage image(512);
    image.AddLz4(512, 2);
    for (uint8_t& byte : image.file()) byte = 0xff;
    image.plan();
    LazyTarget target(image, [&](const LazyTarget::Self&) {
      Random random(seed);
      std::vector<bool> discarded(512);
      for (int i = 0; i < 80; ++i) {
        const uint32_t page = static_cast<uint32_t>(random.Below(500));
        const uint32_t count = static_cast<uint32_t>(1 + random.Below(6));
        ::madvise(Pointer(image.At(page)), count * kPageSize, MADV_DONTNEED);
        for (uint32_t at = page; at < page + count; ++at) discarded[at] = true;
      }
      std::vector<uint8_t> bytes(kPageSize);
      for (uint32_t page = 0; page < 512; ++page) {
        const bool read = ReadPage(image.At(page), bytes.data());
        if (read != discarded[page] || (read && !IsZeroPage(bytes.data()))) return kWrong;
      }
      return kRight;
    });
    PagerRig rig;
    rig.Fill(rig.Add(1, &target, &image));
    target.Go();
    ASSERT_EQ(target.Wait(), kRight);
  }
}

}  // namespace
