// A servicer that goes on from the arena where another left off: nothing lost, nothing stale.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "lazy_target.h"
#include "memory_storm.h"
#include "test_image.h"
#include "testing.h"
#include "uffd.h"

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

constexpr uint32_t kPages = 400;

uint64_t Settled(const Figures& figures) {
  return figures.demand_pages + figures.filled_pages + figures.present_pages +
         figures.removed_pages + figures.poisoned_pages;
}

// Reads everything that can be read from `uffd` into the arena, as a servicer does that is killed
// before it applies anything. Waits until the target has something to say.
void ReadAndDie(PagerRig* rig, const AddressSpace& space) {
  MessageBatch& batch = rig->arena().header().batch;
  batch.target_slot = 0;
  for (abi::Message& message : batch.messages) message.event = 0;
  batch.applied = 0;
  batch.sequence += kMessagesMax;
  batch.target_slot = space.figures_slot() + 1;
  for (int i = 0; i < 5000; ++i) {
    if (space.Read(batch.messages, kMessagesMax).ok()) return;
    ::usleep(1000);
  }
  EXPECT_TRUE(!"the target said nothing");
}

// `event` is done by the target with a message that is read by a servicer that dies of it; then
// `check` runs there, served by the next one.
void LoseAfterRead(const std::function<int64_t(const TestImage&)>& event,
                   const std::function<int(const TestImage&, int64_t)>& check) {
  for (const bool fill : {false, true}) {
    TestImage image(kPages);
    image.AddMixed();
    LazyTarget target(image, [&](const LazyTarget::Self& self) {
      if (!HoldsPages(image, 0, 30)) return kWrong;
      self.Meet();
      self.Meet();
      const int64_t done = event(image);
      return check(image, done);
    });
    PagerRig rig;
    rig.FillForks();
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
    target.Go();
    target.Meet();
    rig.Abandon();
    if (fill) space->want_fill();
    target.Meet();
    ReadAndDie(&rig, *space);
    rig.Recover();
    EXPECT_EQ(target.Wait(), kRight);
    EXPECT_TRUE(rig.Events(PagerEventKind::kPageError).empty());
    EXPECT_TRUE(rig.WaitEnd(1));
  }
}

TEST(TakeoverOfADiscardThatWasRead) {
  LoseAfterRead(
      [](const TestImage& image) {
        Discard(image, 20, 40);
        return 0;
      },
      [](const TestImage& image, int64_t) {
        const bool right = HoldsPages(image, 0, 20) && AreZero(image, 20, 60) &&
                           HoldsPages(image, 60, kPages) && AreZero(image, 20, 60);
        return right ? kRight : kWrong;
      });
}

TEST(TakeoverOfAMoveThatWasRead) {
  LoseAfterRead([](const TestImage& image) { return MoveAway(image, 10, 60, 60); },
                [](const TestImage& image, int64_t by) {
                  const bool right = HoldsPages(image, 10, 70, by) && HoldsPages(image, 0, 10) &&
                                     HoldsPages(image, 70, kPages);
                  return right ? kRight : kWrong;
                });
}

TEST(TakeoverOfAnUnmapThatWasRead) {
  LoseAfterRead(
      [](const TestImage& image) {
        ::munmap(Pointer(image.At(100)), 80 * kPageSize);
        return 0;
      },
      [](const TestImage& image, int64_t) {
        ::mmap(Pointer(image.At(120)), 8 * kPageSize, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        const bool right = AreZero(image, 120, 128) && HoldsPages(image, 0, 100) &&
                           HoldsPages(image, 180, kPages) && AreZero(image, 120, 128);
        return right ? kRight : kWrong;
      });
}

TEST(TakeoverOfAForkThatWasRead) {
  LoseAfterRead([](const TestImage&) { return static_cast<int64_t>(::fork()); },
                [](const TestImage& image, int64_t child) {
                  if (child == 0) ::_exit(HoldsAll(image) ? kRight : kWrong);
                  if (!HoldsAll(image)) return kWrong;
                  return WaitFor(static_cast<pid_t>(child));
                });
}

// Events that were applied, but not marked as such, are applied again.
TEST(TakeoverAppliesEventsTwice) {
  TestImage image(kPages);
  image.AddMixed();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    Discard(image, 5, 10);
    const int64_t by = MoveAway(image, 40, 20, 20);
    self.Meet();
    self.Meet();
    const bool right = AreZero(image, 5, 15) && HoldsPages(image, 40, 60, by) &&
                       HoldsPages(image, 0, 5) && HoldsPages(image, 15, 40) &&
                       HoldsPages(image, 60, kPages);
    return right ? kRight : kWrong;
  });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
  target.Go();
  target.Meet();
  rig.Abandon();
  const uint64_t missing = space->figures().missing_pages;
  EXPECT_EQ(space->figures().removed_pages.load(), 10u);
  rig.arena().header().batch.applied = 0;
  rig.Recover();
  EXPECT_EQ(space->figures().missing_pages.load(), missing);
  EXPECT_EQ(space->figures().removed_pages.load(), 10u);
  target.Meet();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(rig.WaitEnd(1));  // counted after the target is woken
  EXPECT_EQ(Settled(space->figures()) + space->figures().missing_pages, 380u);
}

// A child that was adopted before the end is not adopted twice, and is told again.
TEST(TakeoverAdoptsAChildOnce) {
  TestImage image(kPages);
  image.AddMixed();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::usleep(200000);
      ::_exit(HoldsAll(image) ? kRight : kWrong);
    }
    self.Meet();
    return WaitFor(child);
  });
  PagerRig rig;
  rig.Add(1, &target, &image);
  target.Go();
  ASSERT_TRUE(rig.WaitEvent(PagerEventKind::kForked, 1));
  rig.Abandon();
  rig.arena().header().batch.applied = 0;
  rig.Recover();
  target.Meet();
  EXPECT_EQ(target.Wait(), kRight);
  const std::vector<PagerEvent> forks = rig.Events(PagerEventKind::kForked);
  ASSERT_EQ(forks.size(), 2u);
  EXPECT_EQ(forks[0].a, forks[1].a);
  EXPECT_EQ(forks[0].b, forks[1].b);
}

// A fault that was read and a page that was claimed are taken up again.
TEST(TakeoverOfFaultsAndClaims) {
  TestImage image(kPages);
  image.AddMixed();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    self.Meet();
    return HoldsAll(image) ? kRight : kWrong;
  });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
  target.Go();
  rig.Abandon();
  target.Meet();
  ReadAndDie(&rig, *space);
  EXPECT_EQ(rig.arena().header().batch.messages[0].event, abi::kEventPagefault);
  const TargetRecord& record = *rig.arena().target(space->figures_slot());
  PageStates states(rig.arena().data(record.memory) + record.source_count * sizeof(uint32_t));
  for (uint32_t page = 0; page < 50; ++page) EXPECT_TRUE(states.Claim(page));
  rig.Recover();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(rig.WaitEnd(1));
}

// What ended before is told again; what nobody wants any more is not there.
TEST(TakeoverOfTargetsThatEnded) {
  TestImage image(64);
  image.AddRaw(64);
  image.plan();
  const auto body = [&](const LazyTarget::Self& self) {
    self.Meet();
    return HoldsAll(image) ? kRight : kWrong;
  };
  LazyTarget complete(image, body);
  LazyTarget unwanted(image, body);
  PagerRig rig;
  const uint32_t slot = rig.Add(1, &complete, &image)->figures_slot();
  const std::shared_ptr<AddressSpace> dropped = rig.Add(2, &unwanted, &image);
  rig.Fill(rig.servicer().Find(1));
  ASSERT_TRUE(rig.WaitEvent(PagerEventKind::kResident, 1));
  rig.Abandon();
  dropped->Disown();
  rig.Recover();
  EXPECT_EQ(rig.Events(PagerEventKind::kResident).size(), 2u);
  EXPECT_EQ(rig.servicer().CountServing(), 0u);
  EXPECT_TRUE(rig.servicer().Find(2) == nullptr);
  ASSERT_TRUE(rig.servicer().Find(1) != nullptr);
  EXPECT_EQ(rig.servicer().Find(1)->figures_slot(), slot);
  EXPECT_EQ(rig.servicer().Find(1)->figures().filled_pages.load(), 64u);
  // There is nothing to do for it, whatever is asked.
  rig.Fill(rig.servicer().Find(1));
  rig.fill().Prefetch(rig.servicer().Find(1), image.At(0), image.At(64), 77);
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kPrefetchDone, 1));
  complete.Go();
  complete.Meet();
  EXPECT_EQ(complete.Wait(), kRight);
}

// Failures that were not told yet are told by the next.
TEST(TakeoverTellsFailures) {
  TestImage image(64);
  image.AddRaw(64);
  image.plan();
  ASSERT_EQ(::ftruncate(image.source_fd(), 32 * kPageSize), 0);
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    self.Meet();
    uint8_t bytes[kPageSize];
    return ReadPage(image.At(40), bytes) ? kWrong : kRight;
  });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
  rig.Abandon();
  PageReader reader;
  bool in_order = false;
  EXPECT_EQ(space->ServeFault(image.At(40), &reader, &in_order), Outcome::kDone);
  EXPECT_TRUE(space->has_errors());
  rig.Recover();
  target.Go();
  target.Meet();
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kPageError, 1));
  EXPECT_EQ(rig.Events(PagerEventKind::kPageError)[0].a, image.At(40));
  EXPECT_EQ(target.Wait(), kRight);
}

// A target that discards, moves, unmaps and forks, with takeovers all the while.
TEST(TakeoverStorm) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    TestImage image(kPages);
    image.AddMixed();
    LazyTarget target(image, [&](const LazyTarget::Self&) { return Storm(image, seed); });
    PagerRig rig;
    rig.FillForks();
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image, seed % 2 == 0);
    if (seed % 3 != 0) rig.Fill(space);
    target.Go();
    Random random(seed);
    for (int i = 0; i < 20; ++i) {
      ::usleep(static_cast<useconds_t>(random.Below(3000)));
      rig.Abandon();
      rig.Recover();
    }
    const int answer = target.Wait();
    EXPECT_EQ(std::to_string(seed) + ": " + std::to_string(answer),
              std::to_string(seed) + ": " + std::to_string(kRight));
    EXPECT_TRUE(rig.WaitEnd(1));
    EXPECT_EQ(Settled(space->figures()) + space->figures().missing_pages, 380u);
  }
}

}  // namespace
