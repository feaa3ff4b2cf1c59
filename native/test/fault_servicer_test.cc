// Whole restores inside one pager: what a target reads is what the image holds.
#include "fault_servicer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "lazy_target.h"
#include "test_image.h"
#include "testing.h"
#include "uffd.h"

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

// All forms of pages, and holes between them.
void Mix(TestImage* image) {
  image->AddRaw(90).AddHole(7).AddLz4(60, 16, 25).AddRaw(1).AddZeroBlocks(20, 4).AddLz4(40, 1);
  image->AddHole(30).AddRaw(50);
}
constexpr uint32_t kMixPages = 298;

void CheckResident(PagerRig* rig, AddressSpace* space, const TestImage& image) {
  EXPECT_TRUE(rig->WaitEvent(PagerEventKind::kResident, space->id()));
  EXPECT_TRUE(space->complete());
  EXPECT_EQ(space->figures().state.load(), static_cast<uint64_t>(TargetState::kResident));
  uint64_t data = 0;
  for (const Extent& extent : const_cast<TestImage&>(image).draft().extents) {
    if (extent.kind == kExtentData) data += extent.page_count;
  }
  EXPECT_EQ(space->figures().demand_pages + space->figures().filled_pages +
                space->figures().present_pages,
            data);
  EXPECT_TRUE(rig->Events(PagerEventKind::kPageError).empty());
}

// Restores one mixed image in which the target behaves like `body`.
void RestoreMixed(const std::function<int(const TestImage&)>& body, bool fill, bool window) {
  TestImage image(kMixPages);
  Mix(&image);
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self&) { return body(image); });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image, window);
  if (fill) rig.Fill(space);
  target.Go();
  EXPECT_EQ(target.Wait(), kRight);
  if (fill) EXPECT_TRUE(rig.WaitEnd(1));
}

int Sequential(const TestImage& image) { return HoldsAll(image) ? kRight : kWrong; }

int RandomOrder(const TestImage& image) {
  Random random(static_cast<uint64_t>(::getpid()));
  for (uint32_t i = 0; i < image.page_count() * 3; ++i) {
    const uint32_t page = static_cast<uint32_t>(random.Below(image.page_count()));
    if (!HoldsPages(image, page, page + 1)) return kWrong;
  }
  return HoldsAll(image) ? kRight : kWrong;
}

int FourThreads(const TestImage& image) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { wrong += i % 2 == 0 ? RandomOrder(image) : Sequential(image); });
  }
  for (std::thread& thread : threads) thread.join();
  return wrong == 0 ? kRight : kWrong;
}

// A write must meet the image's bytes, too.
int WriteFirst(const TestImage& image) {
  for (uint32_t page = 0; page < image.page_count(); ++page) {
    uint8_t* const at = Pointer(image.At(page));
    at[100] ^= 0xff;
    at[100] ^= 0xff;
  }
  return Sequential(image);
}

TEST(ServicerSequential) {
  for (const bool window : {false, true}) RestoreMixed(Sequential, false, window);
}
TEST(ServicerSequentialWhileFilling) { RestoreMixed(Sequential, true, true); }
TEST(ServicerRandom) {
  for (const bool window : {false, true}) RestoreMixed(RandomOrder, false, window);
}
TEST(ServicerRandomWhileFilling) { RestoreMixed(RandomOrder, true, true); }
TEST(ServicerFourThreads) { RestoreMixed(FourThreads, false, true); }
TEST(ServicerFourThreadsWhileFilling) {
  for (int i = 0; i < 5; ++i) RestoreMixed(FourThreads, true, true);
}
TEST(ServicerWrites) { RestoreMixed(WriteFirst, true, false); }

// Where nobody brings in ahead, in holes or without a fill, each fault of a sweep has a window: the
// next one is right behind it.
TEST(ServicerSweepsByWindows) {
  constexpr uint32_t kPages = 320;
  for (const bool holes : {false, true}) {
    for (const bool fill : {false, true}) {
      if (fill && !holes) continue;
      TestImage image(kPages + 1);
      if (holes) {
        image.AddHole(kPages).AddRaw(1);
      } else {
        image.AddRaw(kPages + 1);
      }
      image.plan();
      LazyTarget target(image, [&](const LazyTarget::Self&) {
        return HoldsPages(image, 0, kPages) ? kRight : kWrong;
      });
      PagerRig rig;
      const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
      if (fill) space->want_fill();
      target.Go();
      EXPECT_EQ(target.Wait(), kRight);
      EXPECT_TRUE(space->figures().faults < 2 + kPages / kWindowPagesMax + 2);
    }
  }
}

// Without a fill exactly the touched pages come in.
TEST(ServicerIsLazy) {
  TestImage image(64);
  image.AddRaw(64);
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    for (const uint32_t page : {3u, 20u, 61u}) {
      if (!HoldsPages(image, page, page + 1)) return kWrong;
    }
    self.Meet();
    unsigned char resident[64];
    ::mincore(Pointer(image.start()), image.byte_length(), resident);
    int count = 0;
    for (const unsigned char page : resident) count += page & 1;
    return count == 3 ? kRight : kWrong;
  });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
  target.Go();
  target.Meet();
  EXPECT_EQ(space->figures().faults.load(), 3u);
  // Counted after the thread is woken.
  for (int i = 0; i < 200 && space->figures().missing_pages != 61; ++i) ::usleep(5000);
  EXPECT_EQ(space->figures().demand_pages.load(), 3u);
  EXPECT_EQ(space->figures().missing_pages.load(), 61u);
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kGone, 1));
}

// Threads whose pages are served one by one while wakes are held sleep until all are let go.
TEST(ServicerWakesHeldThreadsTogether) {
  const std::vector<uint32_t> pages{3, 40, 61};
  TestImage image(64);
  image.AddRaw(32).AddLz4(32, 1);
  image.plan();
  auto* const awake = static_cast<std::atomic<int>*>(
      ::mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  LazyTarget target(image, [&](const LazyTarget::Self&) {
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (const uint32_t page : pages) {
      threads.emplace_back([&, page] {
        wrong += !HoldsPages(image, page, page + 1);
        ++*awake;
      });
    }
    for (std::thread& thread : threads) thread.join();
    return wrong == 0 ? kRight : kWrong;
  });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
  rig.Abandon();
  target.Go();
  std::vector<uint64_t> faults;
  for (int i = 0; i < 1000 && faults.size() < pages.size(); ++i) {
    abi::Message message;
    const uffd::Value read = space->Read(&message, 1);
    if (read.ok() && read.value == 1)
      faults.push_back(message.pagefault.address & ~(kPageSize - 1));
    ::usleep(5000);
  }
  ASSERT_EQ(faults.size(), pages.size());
  PageReader reader;
  bool in_order = false;
  space->HoldWakes();
  for (const uint64_t vaddr : faults) {
    EXPECT_EQ(space->ServeFault(vaddr, &reader, &in_order), Outcome::kDone);
  }
  ::usleep(20'000);
  EXPECT_EQ(space->figures().demand_pages.load(), pages.size());
  EXPECT_EQ(awake->load(), 0);
  space->WakeHeld();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_EQ(awake->load(), 3);
  rig.Recover();
  ::munmap(awake, kPageSize);
}

// Everything comes in without a single touch; then the pager lets go, although the target holds a
// copy of the uffd that nobody reads: discarded pages must not hang.
TEST(ServicerLetsGoOfACompleteTarget) {
  TestImage image(kMixPages);
  Mix(&image);
  image.plan();
  LazyTarget::Options options;
  options.keep_uffd = true;
  LazyTarget target(
      image,
      [&](const LazyTarget::Self& self) {
        self.Meet();
        if (!HoldsAll(image)) return kWrong;
        ::madvise(Pointer(image.At(0)), 10 * kPageSize, MADV_DONTNEED);
        for (uint32_t page = 0; page < 10; ++page) {
          if (!IsZeroAt(image.At(page))) return kWrong;
        }
        return kRight;
      },
      options);
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
  rig.Fill(space);
  target.Go();
  CheckResident(&rig, space.get(), image);
  EXPECT_EQ(space->figures().faults.load(), 0u);
  EXPECT_TRUE(space->retired());
  EXPECT_EQ(space->uffd(), -1);
  target.Meet();
  EXPECT_EQ(target.Wait(), kRight);
}

// The same while the target is discarding when it is let go of: it must not stay in madvise(2),
// whose event nobody reads any more.
TEST(ServicerLetsGoOfADiscardingTarget) {
  for (int round = 0; round < 10; ++round) {
    TestImage image(256);
    image.AddRaw(256);
    image.plan();
    LazyTarget::Options options;
    options.keep_uffd = true;
    LazyTarget target(
        image,
        [&](const LazyTarget::Self&) {
          for (int i = 0; i < 3000; ++i) {
            const uint32_t page = static_cast<uint32_t>(i) % 256;
            ::madvise(Pointer(image.At(page)), kPageSize, MADV_DONTNEED);
            if (i % 16 == 0 && !IsZeroAt(image.At(page))) return kWrong;
          }
          return kRight;
        },
        options);
    PagerRig rig;
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
    rig.Fill(space);
    target.Go();
    ASSERT_EQ(target.Wait(), kRight);
    ASSERT_TRUE(rig.WaitEvent(PagerEventKind::kResident, 1));
  }
}

// Another holder of the uffd makes it blocking: poll(2) fails on it then, and a read would wait.
TEST(ServicerCopesWithAUffdMadeBlocking) {
  TestImage image(64);
  image.AddRaw(64);
  image.plan();
  LazyTarget::Options options;
  options.keep_uffd = true;
  LazyTarget target(
      image,
      [&](const LazyTarget::Self& self) {
        if (!HoldsPages(image, 0, 3)) return kWrong;
        ::fcntl(self.uffd(), F_SETFL, 0);
        return HoldsPages(image, 0, 40) ? kRight : kWrong;
      },
      options);
  PagerRig rig;
  rig.Add(1, &target, &image);
  target.Go();
  EXPECT_EQ(target.Wait(), kRight);
}

TEST(ServicerServesTwoTargetsAtOnce) {
  TestImage a(kMixPages), b(200);
  Mix(&a);
  b.AddLz4(100, 8).AddRaw(100);
  a.plan();
  b.plan();
  LazyTarget first(a, [&](const LazyTarget::Self&) { return FourThreads(a); });
  LazyTarget second(b, [&](const LazyTarget::Self&) { return RandomOrder(b); });
  LazyTarget third(a, [&](const LazyTarget::Self&) { return Sequential(a); });
  PagerRig rig;
  rig.Fill(rig.Add(1, &first, &a));
  rig.Fill(rig.Add(2, &second, &b));
  rig.Add(3, &third, &a);
  first.Go();
  second.Go();
  third.Go();
  EXPECT_EQ(first.Wait(), kRight);
  EXPECT_EQ(second.Wait(), kRight);
  EXPECT_EQ(third.Wait(), kRight);
}

// Another holder of the uffd installs pages first: they stay as they are.
TEST(ServicerLeavesPresentPagesAlone) {
  TestImage image(64);
  image.AddRaw(32).AddLz4(32, 8);
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self&) {
    for (uint32_t page = 0; page < 64; ++page) {
      const bool foreign = page % 5 == 2;
      if (foreign ? !IsContentOf(1000, Pointer(image.At(page)))
                  : !HoldsPages(image, page, page + 1)) {
        return kWrong;
      }
    }
    return kRight;
  });
  const PageBytes bytes = ContentOf(1000);
  PagerRig rig;
  Fd uffd = target.TakeUffd();
  for (uint32_t page = 2; page < 64; page += 5) {
    const uint64_t from = reinterpret_cast<uint64_t>(bytes.data());
    EXPECT_TRUE(uffd::Copy(uffd.get(), image.At(page), from, kPageSize).ok());
  }
  const std::shared_ptr<AddressSpace> space =
      AddressSpace::Create(1, std::move(uffd), target.TakePidfd(), image.plan(), &rig.arena());
  ASSERT_EQ(rig.servicer().Add(space), 0);
  rig.Fill(space);
  CheckResident(&rig, space.get(), image);
  EXPECT_EQ(space->figures().present_pages.load(), 13u);
  target.Go();
  EXPECT_EQ(target.Wait(), kRight);
}

// mprotect(2) splits the VMA: one copy cannot cross the border.
TEST(ServicerCopiesAcrossASplitVma) {
  TestImage image(64);
  image.AddRaw(32).AddLz4(32, 32);
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    for (const uint32_t page : {5u, 17u, 40u}) {
      ::mprotect(Pointer(image.At(page)), 3 * kPageSize, PROT_READ);
    }
    ::mprotect(Pointer(image.At(24)), 2 * kPageSize, PROT_NONE);
    self.Meet();
    self.Meet();
    ::mprotect(Pointer(image.At(24)), 2 * kPageSize, PROT_READ);
    return Sequential(image);
  });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
  target.Go();
  target.Meet();
  rig.Fill(space);
  CheckResident(&rig, space.get(), image);
  EXPECT_EQ(space->figures().removed_pages.load(), 0u);
  target.Meet();
  EXPECT_EQ(target.Wait(), kRight);
}

}  // namespace
