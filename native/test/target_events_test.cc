// What targets do to their memory while it is lazy: discards, moves, unmaps, forks. No page may be
// stale, none lost.
#include <sys/mman.h>
#include <unistd.h>

#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "lazy_target.h"
#include "test_image.h"
#include "testing.h"

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

constexpr uint32_t kPages = 256;

void Layout(TestImage* image) {
  image->AddRaw(100).AddLz4(60, 16, 30).AddHole(16).AddRaw(80);
  image->plan();
}

// Runs `body` in a target that is served, with and without a fill, and expects it to be content.
void Serve(const std::function<int(const TestImage&)>& body) {
  for (const bool fill : {false, true}) {
    TestImage image(kPages);
    Layout(&image);
    LazyTarget target(image, [&](const LazyTarget::Self&) { return body(image); });
    PagerRig rig;
    rig.FillForks();
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
    if (fill) rig.Fill(space);
    target.Go();
    EXPECT_EQ(target.Wait(), kRight);
    EXPECT_TRUE(rig.Events(PagerEventKind::kPageError).empty());
  }
}

uint8_t ReadByte(uint64_t vaddr) { return *static_cast<volatile uint8_t*>(Pointer(vaddr)); }

TEST(DiscardedPagesAreZeroForEver) {
  Serve([](const TestImage& image) {
    if (!HoldsPages(image, 30, 34)) return kWrong;
    Discard(image, 20, 20);  // missing and resident ones
    Discard(image, 110, 5);  // in the middle of an LZ4 block
    Discard(image, 210, 4, MADV_FREE);
    if (!AreZero(image, 20, 40) || !AreZero(image, 110, 115)) return kWrong;
    // The kernel keeps each that is there until it needs the memory.
    for (uint32_t page = 210; page < 214; ++page) {
      if (!IsZeroAt(image.At(page)) && !HoldsPages(image, page, page + 1)) return kWrong;
    }
    Discard(image, 22, 2);
    if (!AreZero(image, 20, 40)) return kWrong;
    const bool others = HoldsPages(image, 0, 20) && HoldsPages(image, 40, 110) &&
                        HoldsPages(image, 115, 210) && HoldsPages(image, 214, kPages);
    return others && AreZero(image, 20, 40) ? kRight : kWrong;
  });
}

// Random discards while the fill runs. A copy that was decided before a discard's event was read
// must never land behind it.
int StormOfDiscards(const TestImage& image, uint64_t seed) {
  Random random(seed);
  std::vector<bool> discarded(image.page_count());
  for (int i = 0; i < 60; ++i) {
    const uint32_t page = static_cast<uint32_t>(random.Below(image.page_count()));
    const uint32_t left = image.page_count() - page;
    const uint32_t count = static_cast<uint32_t>(1 + random.Below(std::min(left, 24u)));
    if (random.Below(3) == 0) {
      const bool zero = discarded[page];
      if (zero ? !IsZeroAt(image.At(page)) : !HoldsPages(image, page, page + 1)) return 2;
      continue;
    }
    Discard(image, page, count);
    for (uint32_t at = page; at < page + count; ++at) discarded[at] = true;
  }
  for (uint32_t page = 0; page < image.page_count(); ++page) {
    if (discarded[page] ? !IsZeroAt(image.At(page)) : !HoldsPages(image, page, page + 1)) return 3;
  }
  return kRight;
}

TEST(DiscardStormWhileFilling) {
  const uint64_t first = static_cast<uint64_t>(::time(nullptr)) * 1000;
  constexpr int kRounds = 40;
  for (uint64_t seed = first; seed < first + kRounds; ++seed) {
    TestImage image(600);
    image.AddRaw(300).AddLz4(200, 16).AddRaw(100);
    image.plan();
    LazyTarget target(image, [&](const LazyTarget::Self&) { return StormOfDiscards(image, seed); });
    PagerRig rig;
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image, seed % 2 == 0);
    rig.Fill(space);
    target.Go();
    const int answer = target.Wait();
    if (answer == kRight) continue;
    EXPECT_EQ("seed " + std::to_string(seed) + ": " + std::to_string(answer), std::string("right"));
    return;
  }
}

// Whatever faults, discards and copies meet in: in the end no page is left out.
TEST(DiscardStormEndsComplete) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    TestImage image(600);
    image.AddRaw(300).AddLz4(300, 16);
    image.plan();
    LazyTarget target(image, [&](const LazyTarget::Self& self) {
      std::thread toucher([&] {
        for (uint32_t page = 0; page < 400; page += 3) ReadByte(image.At(page));
      });
      Random random(seed);
      for (int i = 0; i < 60; ++i) {
        Discard(image, static_cast<uint32_t>(random.Below(590)), 2);
      }
      toucher.join();
      self.Meet();
      return kRight;
    });
    PagerRig rig;
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
    rig.Fill(space);
    target.Go();
    ASSERT_TRUE(rig.WaitEvent(PagerEventKind::kResident, 1));
    const Figures& figures = space->figures();
    EXPECT_EQ(
        figures.demand_pages + figures.filled_pages + figures.removed_pages + figures.present_pages,
        600u);
    target.Meet();
    ASSERT_EQ(target.Wait(), kRight);
  }
}

TEST(MovedPagesKeepTheirContent) {
  Serve([](const TestImage& image) {
    const int64_t by = MoveAway(image, 90, 40, 40);
    if (!HoldsPages(image, 90, 130, by)) return kWrong;
    return HoldsPages(image, 0, 90) && HoldsPages(image, 130, kPages) ? kRight : kWrong;
  });
}

TEST(MovedPagesCanBeDiscarded) {
  Serve([](const TestImage& image) {
    const int64_t by = MoveAway(image, 10, 20, 20);
    ::madvise(Pointer(image.At(12) + static_cast<uint64_t>(by)), 4 * kPageSize, MADV_DONTNEED);
    return AreZero(image, 12, 16, by) && HoldsPages(image, 10, 12, by) &&
                   HoldsPages(image, 16, 30, by)
               ? kRight
               : kWrong;
  });
}

TEST(GrownPagesAreZero) {
  Serve([](const TestImage& image) {
    const int64_t by = MoveAway(image, 200, 20, 36);
    return HoldsPages(image, 200, 220, by) && AreZero(image, 220, 236, by) &&
                   HoldsPages(image, 220, kPages)
               ? kRight
               : kWrong;
  });
}

TEST(ShrunkPagesAreForgotten) {
  Serve([](const TestImage& image) {
    // Moved and cut in one call, onto lazy pages: what is behind the destination must stay.
    void* const to = Pointer(image.At(40));
    if (::mremap(Pointer(image.At(0)), 16 * kPageSize, 8 * kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED,
                 to) != to) {
      return 9;
    }
    const auto by = static_cast<int64_t>(40 * kPageSize);
    ::mremap(Pointer(image.At(60)), 10 * kPageSize, 4 * kPageSize, 0);
    return HoldsPages(image, 0, 8, by) && HoldsPages(image, 48, 64) && HoldsPages(image, 16, 40) &&
                   HoldsPages(image, 70, kPages)
               ? kRight
               : kWrong;
  });
}

TEST(MoveThatLeavesTheOldPlaceMapped) {
  Serve([](const TestImage& image) {
    const int64_t by = MoveAway(image, 20, 10, 10, MREMAP_DONTUNMAP);
    return HoldsPages(image, 20, 30, by) && AreZero(image, 20, 30) ? kRight : kWrong;
  });
}

TEST(UnmappedPagesAreForgotten) {
  Serve([](const TestImage& image) {
    ::munmap(Pointer(image.At(50)), 70 * kPageSize);
    void* const again = ::mmap(Pointer(image.At(60)), 8 * kPageSize, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (again == MAP_FAILED || !AreZero(image, 60, 68)) return kWrong;
    ::usleep(20000);  // a stale copy would come about now
    return AreZero(image, 60, 68) && HoldsPages(image, 0, 50) && HoldsPages(image, 120, kPages)
               ? kRight
               : kWrong;
  });
}

// Everything unmapped while pages are missing: complete, by having nothing left.
TEST(TargetThatUnmapsEverythingIsLetGo) {
  TestImage image(kPages);
  Layout(&image);
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    ::munmap(Pointer(image.start()), image.byte_length());
    self.Meet();
    return kRight;
  });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
  target.Go();
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kResident, 1));
  EXPECT_EQ(space->figures().removed_pages.load(), 240u);
  target.Meet();
  EXPECT_EQ(target.Wait(), kRight);
}

// The child, its child and the parent all see the image.
TEST(ForkedChildrenHoldTheImage) {
  Serve([](const TestImage& image) {
    if (!HoldsPages(image, 0, 20)) return kWrong;
    Discard(image, 50, 10);
    const auto right = [&] {
      return HoldsPages(image, 0, 50) && AreZero(image, 50, 60) && HoldsPages(image, 60, kPages);
    };
    const pid_t child = ::fork();
    if (child == 0) {
      if (!HoldsPages(image, 180, 190)) ::_exit(kWrong);
      const pid_t grandchild = ::fork();
      if (grandchild == 0) ::_exit(right() ? kRight : kWrong);
      if (!right()) ::_exit(kWrong);
      ::_exit(WaitFor(grandchild));
    }
    if (!right()) return kWrong;
    return WaitFor(child);
  });
}

// What one side does after a fork is nothing to the other.
TEST(ForkedChildrenGoTheirOwnWays) {
  Serve([](const TestImage& image) {
    const pid_t child = ::fork();
    if (child == 0) {
      Discard(image, 10, 10);
      const int64_t by = MoveAway(image, 120, 20, 20);
      const bool right = AreZero(image, 10, 20) && HoldsPages(image, 20, 120) &&
                         HoldsPages(image, 120, 140, by) && HoldsPages(image, 140, kPages);
      ::_exit(right ? kRight : kWrong);
    }
    Discard(image, 30, 10);
    const bool right =
        HoldsPages(image, 0, 30) && AreZero(image, 30, 40) && HoldsPages(image, 40, kPages);
    const int answer = WaitFor(child);
    return right ? answer : 2;
  });
}

TEST(ManyForksWhileFilling) {
  Serve([](const TestImage& image) {
    pid_t children[12];
    for (pid_t& child : children) {
      child = ::fork();
      if (child == 0) ::_exit(HoldsAll(image) ? kRight : kWrong);
    }
    int wrong = HoldsAll(image) ? 0 : 1;
    for (const pid_t child : children) wrong += WaitFor(child) == kRight ? 0 : 1;
    return wrong == 0 ? kRight : kWrong;
  });
}

}  // namespace
