// The processes of a pager, killed at named points and at random: the target waits, and goes on
// with right bytes. Each point is proven to have been hit.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <string>

#include "kill_point.h"
#include "memory_storm.h"
#include "pager_processes.h"
#include "testing.h"

// Clones of a process that ThreadSanitizer watches are none of its business.
#ifndef __SANITIZE_THREAD__

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

constexpr uint32_t kPages = 400;

// What a target does; kRight when its memory is as it should be.
using Act = int (*)(const TestImage& image);

int Touch(const TestImage& image) { return HoldsAll(image) ? kRight : kWrong; }

int DiscardSome(const TestImage& image) {
  Discard(image, 20, 40);
  const bool right = HoldsPages(image, 0, 20) && AreZero(image, 20, 60) &&
                     HoldsPages(image, 60, kPages) && AreZero(image, 20, 60);
  return right ? kRight : kWrong;
}

int Move(const TestImage& image) {
  const int64_t by = MoveAway(image, 10, 60, 60);
  const bool right =
      HoldsPages(image, 10, 70, by) && HoldsPages(image, 0, 10) && HoldsPages(image, 70, kPages);
  return right ? kRight : kWrong;
}

int Unmap(const TestImage& image) {
  ::munmap(Pointer(image.At(100)), 80 * kPageSize);
  ::mmap(Pointer(image.At(120)), 8 * kPageSize, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  const bool right = AreZero(image, 120, 128) && HoldsPages(image, 0, 100) &&
                     HoldsPages(image, 180, kPages) && AreZero(image, 120, 128);
  return right ? kRight : kWrong;
}

int Fork(const TestImage& image) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(Touch(image));
  return Touch(image) == kRight ? WaitFor(child) : kWrong;
}

struct Case {
  KillPoint point;
  Act act;
  KillPoint next = KillPoint::kNone;
};

uint32_t HitsOf(const Case& at) { return at.next == KillPoint::kNone ? 1 : 2; }

// The point is armed while nothing happens, so that `act` meets it first.
void KillAt(const Case& at, bool fill) {
  TestImage image(kPages);
  image.AddMixed();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    if (!HoldsPages(image, 0, 8)) return kWrong;
    self.Meet();
    self.Meet();
    return at.act(image);
  });
  PagerProcesses pager;
  ASSERT_TRUE(pager.Add(1, &target, &image));
  target.Go();
  target.Meet();
  pager.Arm(at.point, at.next);
  // Alone it would meet the points of pages first.
  if (fill) EXPECT_TRUE(pager.Ask(RequestOp::kFill, 1));
  target.Meet();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(pager.WaitHits(HitsOf(at)));
  EXPECT_TRUE(pager.WaitWhole());
  EXPECT_TRUE(pager.WaitEnd(1));
  EXPECT_EQ(pager.CountEvents(PagerEventKind::kPageError), 0u);
  EXPECT_TRUE(pager.Close());
}

void KillAtEach(std::initializer_list<Case> cases, bool fill = false) {
  for (const Case& at : cases) KillAt(at, fill);
}

TEST(KilledWithMessagesRead) {
  KillAtEach({{KillPoint::kMessagesRead, Touch},
              {KillPoint::kMessagesRead, DiscardSome},
              {KillPoint::kMessagesRead, Move},
              {KillPoint::kMessagesRead, Unmap},
              {KillPoint::kMessagesRead, Fork}});
}

TEST(KilledWithEventsApplied) {
  KillAtEach({{KillPoint::kEventApplied, DiscardSome},
              {KillPoint::kEventApplied, Move},
              {KillPoint::kEventApplied, Unmap},
              {KillPoint::kEventApplied, Fork}});
}

TEST(KilledInTheMiddleOfAnEvent) {
  KillAtEach({{KillPoint::kEditLogged, Move},
              {KillPoint::kEditLogged, Unmap},
              {KillPoint::kChildMade, Fork}});
}

TEST(KilledBetweenClaimAndCopy) {
  KillAtEach({{KillPoint::kClaimed, Touch}, {KillPoint::kClaimed, Fork}});
}
TEST(KilledBetweenCopyAndSettling) {
  KillAtEach({{KillPoint::kInstalled, Touch}, {KillPoint::kInstalled, DiscardSome}});
}
TEST(KilledWhileDecoding) { KillAtEach({{KillPoint::kDecoding, Touch}}); }

TEST(KilledWhileFilling) {
  KillAtEach({{KillPoint::kClaimed, Touch},
              {KillPoint::kInstalled, Fork},
              {KillPoint::kDecoding, DiscardSome}},
             true);
}
TEST(KilledWhileLettingGo) { KillAtEach({{KillPoint::kRetiring, Touch}}, true); }

TEST(KilledDuringTheTakeover) {
  KillAtEach({{KillPoint::kMessagesRead, Move, KillPoint::kRecovering},
              {KillPoint::kMessagesRead, Fork, KillPoint::kChildMade},
              {KillPoint::kMessagesRead, Unmap, KillPoint::kEditLogged},
              {KillPoint::kInstalled, Touch, KillPoint::kRecovered}});
}

// The keeper dies when it has cloned the next worker, and nobody knows of that one.
TEST(KilledKeeperDuringTheTakeover) {
  KillAtEach({{KillPoint::kMessagesRead, Fork, KillPoint::kWorkerCloned},
              {KillPoint::kInstalled, Touch, KillPoint::kWorkerCloned}});
}

// A standby that takes office dies when it has cloned the next.
TEST(KilledKeeperAndItsSuccessor) {
  TestImage image(kPages);
  image.AddMixed();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    self.Meet();
    return Touch(image);
  });
  PagerProcesses pager;
  ASSERT_TRUE(pager.Add(1, &target, &image));
  target.Go();
  pager.Arm(KillPoint::kStandbyCloned);
  ::kill(pager.processes().keeper_pid, SIGKILL);
  EXPECT_TRUE(pager.WaitHits(1));
  EXPECT_TRUE(pager.WaitWhole());
  ::kill(pager.processes().worker_pid, SIGKILL);
  target.Meet();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(pager.Close());
}

// A request is carried out once, and answered, whenever its worker dies.
TEST(KilledWithARequestInHand) {
  for (const KillPoint point :
       {KillPoint::kRequestReceived, KillPoint::kRequestHandled, KillPoint::kRequestAnswered}) {
    TestImage image(kPages);
    image.AddMixed();
    const LazyTarget::Body body = [&](const LazyTarget::Self&) { return Touch(image); };
    LazyTarget target(image, body);
    LazyTarget dropped(image, body);
    PagerProcesses pager;
    uint32_t hits = 0;
    const auto arm = [&] {
      EXPECT_TRUE(pager.WaitHits(hits++));
      pager.Arm(point);
    };
    const Fd uffd = target.TakeUffd(), other = dropped.TakeUffd();
    arm();
    EXPECT_TRUE(pager.Ask(RequestOp::kAddSource, 1, {image.source_fd()}));
    arm();
    EXPECT_TRUE(pager.Ask(RequestOp::kAddTarget, 1, {uffd.get(), image.plan()->fd()}, 0, {1}));
    const uint64_t slot = pager.slot();
    EXPECT_EQ(pager.figures(slot).data_pages.load(), 380u);
    arm();
    EXPECT_TRUE(pager.Ask(RequestOp::kAddTarget, 2, {other.get(), image.plan()->fd()}, 0, {1}));
    EXPECT_TRUE(pager.slot() != slot);
    arm();
    EXPECT_TRUE(pager.Ask(RequestOp::kDropTarget, 2));
    arm();
    EXPECT_TRUE(pager.Ask(RequestOp::kFill, 1));
    EXPECT_TRUE(pager.WaitEnd(1));
    arm();
    EXPECT_TRUE(pager.Ask(RequestOp::kDropSource, 1));
    EXPECT_TRUE(pager.WaitHits(hits));
    target.Go();
    EXPECT_EQ(target.Wait(), kRight);
    EXPECT_TRUE(pager.Close());
  }
}

// A request of which every worker dies is refused in the end; the pager lives.
TEST(KilledByEveryTryOfARequest) {
  TestImage image(kPages);
  image.AddMixed();
  PagerProcesses pager;
  pager.ArmTimes(KillPoint::kRequestHandled, 3);
  EXPECT_FALSE(pager.Ask(RequestOp::kAddSource, 1, {image.source_fd()}));
  EXPECT_EQ(pager.hits(), 3u);
  EXPECT_TRUE(pager.Ask(RequestOp::kAddSource, 2, {image.source_fd()}));
  EXPECT_TRUE(pager.Close());
}

// Processes of the pager, killed at random while a target does at random what has to be followed.
// THAW_KILLS=N has N of them killed, of seed THAW_SEED.
TEST(KilledAtRandom) {
  const char* const wanted = std::getenv("THAW_KILLS");
  const char* const given = std::getenv("THAW_SEED");
  const int kills_max = wanted == nullptr ? 40 : std::atoi(wanted);
  const uint64_t first = given == nullptr ? static_cast<uint64_t>(::time(nullptr)) * 1000
                                          : std::strtoull(given, nullptr, 10);
  int kills = 0;
  for (uint64_t seed = first; kills < kills_max; ++seed) {
    Random random(seed);
    TestImage image(kPages);
    image.AddMixed();
    LazyTarget target(image, [&](const LazyTarget::Self&) { return Storm(image, seed); });
    PagerProcesses pager;
    ASSERT_TRUE(pager.Add(1, &target, &image));
    if (seed % 3 != 0) EXPECT_TRUE(pager.Ask(RequestOp::kFill, 1));
    target.Go();
    const ProcessRecord& processes = pager.processes();
    for (int i = 0; i < 8 && kills < kills_max; ++i, ++kills) {
      ::usleep(static_cast<useconds_t>(random.Below(2000)));
      const pid_t victims[] = {processes.worker_pid, processes.worker_pid, processes.keeper_pid,
                               processes.standby_pid};
      const pid_t victim = victims[random.Below(4)];
      ::kill(victim, SIGKILL);
      ASSERT_TRUE(pager.WaitWhole(victim));
    }
    const std::string what = "seed " + std::to_string(seed) + ": ";
    EXPECT_EQ(what + std::to_string(target.Wait()), what + std::to_string(kRight));
    EXPECT_TRUE(pager.WaitEnd(1));
    EXPECT_TRUE(pager.Close());
  }
}

int CountDescriptors(pid_t pid) {
  int count = 0;
  for (int fd = 0; fd < 256; ++fd) {
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    count += ::faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? 1 : 0;
  }
  return count;
}

// What the pager has: descriptors, memory of its processes in KiB, and the arena.
struct Holdings {
  explicit Holdings(const PagerProcesses& pager)
      : descriptors(CountDescriptors(pager.processes().keeper_pid)),
        keeper_kib(PrivateKib(pager.processes().keeper_pid)),
        worker_kib(PrivateKib(pager.processes().worker_pid)),
        arena_bytes(pager.arena_bytes()) {}
  int descriptors;
  long keeper_kib;
  long worker_kib;
  uint64_t arena_bytes;
};

#ifdef __SANITIZE_ADDRESS__
constexpr int kManyKills = 100;  // each takes ten times as long
#else
constexpr int kManyKills = 1000;
#endif

// Nothing of the dead is left, however many they are. Ten workers in a row that die at once make
// the keeper wait for a second, so another keeper takes over before.
TEST(KilledManyTimesLeavesNothing) {
  TestImage image(kPages);
  image.AddMixed();
  LazyTarget target(image, [&](const LazyTarget::Self&) { return Touch(image); });
  PagerProcesses pager(PagerProcesses::Stderr::kNone);
  ASSERT_TRUE(pager.Add(1, &target, &image));
  const auto kill_workers = [&](int count) {
    for (int i = 1; i <= count; ++i) {
      ASSERT_TRUE(pager.ReplaceWorker());
      if (i % 9 != 0) continue;
      const pid_t keeper = pager.processes().keeper_pid;
      ::kill(keeper, SIGKILL);
      ASSERT_TRUE(pager.WaitWhole(keeper));
    }
  };
  kill_workers(19);
  const Holdings before(pager);
  kill_workers(kManyKills - 19);
  const Holdings after(pager);
  EXPECT_EQ(pager.processes().takeovers.load(), static_cast<uint64_t>(kManyKills));
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_EQ(after.arena_bytes, before.arena_bytes);
  EXPECT_TRUE(after.keeper_kib < before.keeper_kib + kNoiseKib);
  EXPECT_TRUE(after.worker_kib < before.worker_kib + kNoiseKib);
  target.Go();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(pager.Close());
}

}  // namespace

#endif
