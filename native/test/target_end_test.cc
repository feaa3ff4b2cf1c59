// How targets end, are dropped or refused: nothing of them stays, and others go on.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <thread>
#include <vector>

#include "lazy_target.h"
#include "test_image.h"
#include "testing.h"
#include "uffd.h"

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

TEST(EndOfATargetIsNoticedByItsPidfd) {
  TestImage image(4096);
  image.AddRaw(4096);
  image.plan();
  LazyTarget killed(image, [&](const LazyTarget::Self&) { return ::pause(); });
  LazyTarget other(image,
                   [&](const LazyTarget::Self&) { return HoldsAll(image) ? kRight : kWrong; });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &killed, &image);
  rig.Add(2, &other, &image);
  killed.Go();
  ::kill(killed.pid(), SIGKILL);
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kGone, 1, 1));
  EXPECT_TRUE(space->retired());
  EXPECT_EQ(space->figures().state.load(), static_cast<uint64_t>(TargetState::kGone));
  other.Go();
  EXPECT_EQ(other.Wait(), kRight);
}

// Without a pidfd: the fill meets ESRCH.
TEST(EndOfATargetIsNoticedByTheFill) {
  TestImage image(4096);
  image.AddRaw(4096);
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self&) { return ::pause(); });
  PagerRig rig;
  const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image, true, false);
  target.Go();
  ::kill(target.pid(), SIGKILL);
  EXPECT_EQ(target.Wait(), -SIGKILL);
  rig.Fill(space);
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kGone, 1, 1));
}

// Without a pidfd and without a fill, as for every forked child; an exec is an end, too.
TEST(EndOfATargetIsNoticedWithoutAnyHelp) {
  TestImage image(64);
  image.AddRaw(64);
  image.plan();
  LazyTarget execs(image, [&](const LazyTarget::Self&) {
    return ::execl("/bin/sleep", "sleep", "30", static_cast<char*>(nullptr));
  });
  LazyTarget forks(image, [&](const LazyTarget::Self& self) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(HoldsPages(image, 5, 6) ? kRight : kWrong);
    const int answer = WaitFor(child);
    self.Meet();
    self.Meet();
    return answer;
  });
  PagerRig rig;
  rig.Add(1, &execs, &image);
  rig.Add(2, &forks, &image);
  execs.Go();
  forks.Go();
  forks.Meet();
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kGone, 1, 2));
  const std::vector<PagerEvent> children = rig.Events(PagerEventKind::kForked);
  ASSERT_EQ(children.size(), 1u);
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kGone, children[0].a, 2));
  EXPECT_TRUE(rig.Events(PagerEventKind::kGone).size() == 2);
  forks.Meet();
  EXPECT_EQ(forks.Wait(), kRight);
}

// A target that dies under fill, window and threads, many times.
TEST(TargetsKilledAtRandomMoments) {
  TestImage image(1024);
  image.AddRaw(512).AddLz4(512, 16);
  image.plan();
  for (uint64_t round = 0; round < 25; ++round) {
    LazyTarget target(image, [&](const LazyTarget::Self&) {
      std::vector<std::thread> threads;
      for (int i = 0; i < 3; ++i) threads.emplace_back([&] { HoldsAll(image); });
      for (std::thread& thread : threads) thread.join();
      return ::pause();
    });
    PagerRig rig;
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image, true, round % 2 == 0);
    rig.Fill(space);
    target.Go();
    ::usleep(static_cast<useconds_t>(Random(round).Below(4000)));
    ::kill(target.pid(), SIGKILL);
    ASSERT_TRUE(rig.WaitEnd(1));
    ASSERT_TRUE(space->retired());
  }
}

// A dropped target is let go of at once, while the fill is at it: its end, and the control plane's
// copies of its descriptors, must not keep the servicer busy.
TEST(DroppedTargetIsLeftAlone) {
  TestImage image(8192);
  image.AddRaw(8192);
  image.plan();
  LazyTarget::Options options;
  options.keep_uffd = true;
  LazyTarget target(
      image, [](const LazyTarget::Self&) { return ::pause(); }, options);
  const Fd pidfd = target.TakePidfd();
  PagerRig rig;
  std::weak_ptr<AddressSpace> dropped;
  {
    Fd same(::fcntl(pidfd.get(), F_DUPFD_CLOEXEC, 0));
    std::shared_ptr<AddressSpace> space =
        AddressSpace::Create(1, target.TakeUffd(), std::move(same), image.plan(), &rig.arena());
    ASSERT_EQ(rig.servicer().Add(space), 0);
    rig.Fill(space);
    dropped = space;
  }
  rig.servicer().Drop(1);
  EXPECT_TRUE(rig.servicer().Find(1) == nullptr);
  for (int i = 0; i < 200 && !dropped.expired(); ++i) ::usleep(5000);
  EXPECT_TRUE(dropped.expired());
  target.Go();
  ::kill(target.pid(), SIGKILL);
  EXPECT_EQ(target.Wait(), -SIGKILL);
  const double before = CpuSeconds();
  ::usleep(300000);
  EXPECT_TRUE(CpuSeconds() - before < 0.1);
  EXPECT_TRUE(rig.Events(PagerEventKind::kGone).empty());
}

// One that is over holds on to plan and pages images until it is dropped, and no longer, even if
// the last fault of all was its.
TEST(DroppedTargetThatEndedIsForgotten) {
  TestImage image(64);
  image.AddRaw(64);
  image.plan();
  LazyTarget target(image,
                    [&](const LazyTarget::Self&) { return HoldsAll(image) ? kRight : kWrong; });
  PagerRig rig;
  std::weak_ptr<AddressSpace> ended = rig.Add(1, &target, &image);
  target.Go();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(rig.WaitEnd(1));
  EXPECT_FALSE(ended.expired());
  rig.servicer().Drop(1);
  for (int i = 0; i < 200 && !ended.expired(); ++i) ::usleep(5000);
  EXPECT_TRUE(ended.expired());
}

// A descriptor on which UFFDIO_API was never called answers POLLERR and EINVAL for ever.
TEST(UffdThatWasNeverSetUpIsRefused) {
  TestImage image(8);
  image.AddRaw(8);
  PagerRig rig;
  Fd uffd(static_cast<int>(uffd::OpenBySyscall(O_CLOEXEC | O_NONBLOCK).value));
  ASSERT_TRUE(uffd.valid());
  const std::shared_ptr<AddressSpace> space =
      AddressSpace::Create(1, std::move(uffd), Fd(), image.plan(), &rig.arena());
  EXPECT_EQ(rig.servicer().Add(space), EINVAL);
  EXPECT_TRUE(rig.servicer().Find(1) == nullptr);
}

// As long as it is there, no descriptor can be had.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = 200;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    do {
      taken_.emplace_back(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
    } while (taken_.back().valid());
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
  std::vector<Fd> taken_;
};

// Whether pages [first, end) are poisoned: unreadable, not zero.
bool ArePoisoned(const TestImage& image, uint32_t first, uint32_t end) {
  std::vector<uint8_t> bytes(kPageSize);
  for (uint32_t page = first; page < end; ++page) {
    if (ReadPage(image.At(page), bytes.data())) return false;
  }
  return true;
}

// The same while the child forks, moves, discards and unmaps at once: its events are in the way.
TEST(ForkWithoutDescriptorsPoisonsChildrenThatDoNotWait) {
  constexpr uint32_t kCount = 2048;
  TestImage image(kCount);
  for (int i = 0; i < 8; ++i) image.AddRaw(128).AddLz4(128, 4);
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    self.Meet();
    for (int round = 0; round < 20; ++round) {
      const pid_t child = ::fork();
      if (child != 0) {
        const int answer = WaitFor(child);
        if (answer != kRight) ::_exit(answer);
        continue;
      }
      const pid_t grandchild = ::fork();
      if (grandchild == 0) ::_exit(ArePoisoned(image, 0, kCount) ? kRight : kWrong);
      ::madvise(Pointer(image.At(100)), 10 * kPageSize, MADV_DONTNEED);
      void* const place =
          ::mmap(nullptr, 100 * kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      void* const moved = ::mremap(Pointer(image.At(1900)), 100 * kPageSize, 100 * kPageSize,
                                   MREMAP_MAYMOVE | MREMAP_FIXED, place);
      ::munmap(Pointer(image.At(1800)), 100 * kPageSize);
      const int answer = WaitFor(grandchild);
      if (answer != kRight) ::_exit(answer);
      std::vector<uint8_t> bytes(kPageSize);
      for (uint32_t page = 0; page < 100; ++page) {
        const uint64_t vaddr = reinterpret_cast<uint64_t>(moved) + page * kPageSize;
        if (ReadPage(vaddr, bytes.data())) ::_exit(3);
      }
      const bool right = ArePoisoned(image, 0, 100) && IsZeroAt(image.At(105)) &&
                         ArePoisoned(image, 110, 1800) && ArePoisoned(image, 2000, kCount);
      ::_exit(right ? kRight : 4);
    }
    self.Meet();
    return HoldsPages(image, 0, kCount) ? kRight : 5;
  });
  PagerRig rig;
  rig.Add(1, &target, &image);
  target.Go();
  auto none = std::make_unique<NoDescriptors>();
  target.Meet();
  target.Meet();
  none.reset();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(rig.Events(PagerEventKind::kForked).empty());
  // Where the child forks after it was poisoned, the poison is inherited.
  EXPECT_TRUE(rig.Events(PagerEventKind::kPageError).size() >= 20);
  for (const PagerEvent& event : rig.Events(PagerEventKind::kPageError)) {
    EXPECT_EQ(event.e, static_cast<uint64_t>(ErrorAction::kChildPoisoned));
  }
}

// A fork whose child cannot be served: the child gets SIGBUS where pages are missing, never zeros;
// the parent goes on.
TEST(ForkWithoutDescriptorsPoisonsTheChild) {
  TestImage image(64);
  image.AddRaw(32).AddHole(8).AddLz4(24, 4);
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    if (!HoldsPages(image, 4, 8)) return kWrong;
    ::madvise(Pointer(image.At(10)), 4 * kPageSize, MADV_DONTNEED);
    self.Meet();
    const pid_t child = ::fork();
    if (child == 0) {
      std::vector<uint8_t> bytes(kPageSize);
      for (uint32_t page = 0; page < 64; ++page) {
        const bool readable =
            (page >= 4 && page < 8) || (page >= 10 && page < 14) || (page >= 32 && page < 40);
        if (ReadPage(image.At(page), bytes.data()) != readable) ::_exit(kWrong);
        const bool zero = page >= 10 && !(page >= 4 && page < 8);
        if (readable && zero != IsZeroPage(bytes.data())) ::_exit(kWrong);
      }
      ::_exit(kRight);
    }
    const int answer = WaitFor(child);
    self.Meet();
    const pid_t second = ::fork();
    if (second == 0) ::_exit(HoldsPages(image, 14, 64) ? kRight : kWrong);
    if (!HoldsPages(image, 0, 10) || !HoldsPages(image, 14, 64)) return 2;
    return answer == kRight ? WaitFor(second) : answer;
  });
  PagerRig rig;
  rig.Add(1, &target, &image, false);
  target.Go();
  auto none = std::make_unique<NoDescriptors>();
  target.Meet();
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kPageError, 1, 5));
  none.reset();
  target.Meet();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_EQ(rig.Events(PagerEventKind::kForked).size(), 1u);
  for (const PagerEvent& event : rig.Events(PagerEventKind::kPageError)) {
    EXPECT_EQ(event.error, EMFILE);
  }
}

}  // namespace
