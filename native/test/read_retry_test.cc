// Disks that error for a while, or for good: reads are tried again, those who need the pages wait,
// nobody else does, and what stays unreadable is poisoned.
//
// preadv2(2) of this file takes the place of the C library's, so that reads of one pages image
// fail.
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include "clock.h"
#include "lazy_target.h"
#include "read_retries.h"
#include "test_image.h"
#include "testing.h"

namespace {

// Which reads fail: those of the file `inode` that begin in [from, to), with `error`.
struct Fault {
  std::atomic<uint64_t> inode{0};
  std::atomic<uint64_t> from{0};
  std::atomic<uint64_t> to{0};
  std::atomic<int> error{0};
  std::atomic<uint32_t> count{0};
} fault;

bool Fails(int fd, off_t offset, uint64_t byte_length) {
  if (fault.error == 0) return false;
  struct stat status;
  if (::fstat(fd, &status) != 0 || status.st_ino != fault.inode) return false;
  const uint64_t start = static_cast<uint64_t>(offset);
  return start < fault.to && fault.from < start + byte_length;
}

}  // namespace

extern "C" ssize_t preadv2(int fd, const iovec* vectors, int count, off_t offset, int flags) {
  if (Fails(fd, offset, vectors[0].iov_len)) {
    ++fault.count;
    errno = fault.error;
    return -1;
  }
  return ::syscall(SYS_preadv2, fd, vectors, count, offset, 0, flags);
}

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

// Reads of these bytes of an image fail for as long as this lives, or until it is told otherwise.
class FailingReads {
 public:
  FailingReads(const TestImage& image, int error, uint64_t from, uint64_t to) {
    struct stat status;
    ::fstat(image.source_fd(), &status);
    fault.inode = status.st_ino;
    fault.from = from;
    fault.to = to;
    fault.count = 0;
    fault.error = error;
  }
  ~FailingReads() { End(); }
  void End() { fault.error = 0; }
  uint32_t count() const { return fault.count; }
};

void SleepMs(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

uint64_t CountActions(PagerRig* rig, ErrorAction action) {
  uint64_t count = 0;
  for (const PagerEvent& event : rig->Events(PagerEventKind::kPageError)) {
    if (event.e == static_cast<uint64_t>(action)) ++count;
  }
  return count;
}

// Errors that pass: every page is right in the end, for faults and for the fill, raw and LZ4.
TEST(RetryBringsWhatADiskRefusedForAWhile) {
  for (const bool fill : {false, true}) {
    for (const int error : {EIO, ENOMEM}) {
      TestImage image(64);
      image.AddRaw(32).AddLz4(32, 4);
      image.plan();
      LazyTarget target(image,
                        [&](const LazyTarget::Self&) { return HoldsAll(image) ? kRight : kWrong; });
      PagerRig rig;
      const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
      FailingReads reads(image, error, 0, ~uint64_t{0});
      target.Go();
      if (fill) rig.Fill(space);
      EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kPageError, 1));
      SleepMs(100);
      // Growing pauses: some tries, not a storm of them.
      EXPECT_TRUE(reads.count() >= 2 && reads.count() < 40);
      reads.End();
      EXPECT_EQ(target.Wait(), kRight);
      EXPECT_EQ(space->figures().poisoned_pages.load(), 0u);
      EXPECT_TRUE(rig.WaitEnd(1));
      EXPECT_EQ(CountActions(&rig, ErrorAction::kRetrying), 1u);
      EXPECT_EQ(CountActions(&rig, ErrorAction::kResumed), 1u);
    }
  }
}

// While one target waits for a page, all its other pages come, and so do those of other targets.
TEST(RetryHoldsNobodyElseUp) {
  TestImage image(64), other(64);
  image.AddRaw(64);
  other.AddRaw(64);
  image.plan();
  other.plan();
  LazyTarget waiting(
      image, [&](const LazyTarget::Self&) { return HoldsPages(image, 7, 8) ? kRight : kWrong; });
  LazyTarget target(other,
                    [&](const LazyTarget::Self&) { return HoldsAll(other) ? kRight : kWrong; });
  PagerRig rig;
  rig.Add(1, &waiting, &image, false);
  rig.Add(2, &target, &other, false);
  FailingReads reads(image, EIO, 7 * kPageSize, 8 * kPageSize);
  waiting.Go();
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kPageError, 1));
  const uint64_t start_ns = MonotonicNs();
  target.Go();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(MonotonicNs() - start_ns < ReadRetries::kLimitNs);
  reads.End();
  EXPECT_EQ(waiting.Wait(), kRight);
}

// A bad sector: its page fails after the limit, and nothing else. A disk that is gone: the pages
// behind the first one do not wait for the limit again.
TEST(RetryGivesUpAfterItsLimit) {
  for (const bool dead : {false, true}) {
    TestImage image(64);
    image.AddRaw(64);
    image.plan();
    const uint32_t failing = dead ? 64 : 1;
    LazyTarget target(image, [&](const LazyTarget::Self&) {
      std::vector<uint8_t> bytes(kPageSize);
      uint32_t failed = 0;
      for (uint32_t page = 0; page < 64; ++page) {
        const bool read = ReadPage(image.At(page), bytes.data());
        if (!read) ++failed;
        if (read && !image.Holds(page, bytes.data())) return kWrong;
      }
      return failed == failing ? kRight : kWrong;
    });
    PagerRig rig;
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &image);
    const uint64_t from = dead ? 0 : 9 * kPageSize;
    FailingReads reads(image, EIO, from, from + failing * kPageSize);
    const uint64_t start_ns = MonotonicNs();
    target.Go();
    rig.Fill(space);
    EXPECT_EQ(target.Wait(), kRight);
    const uint64_t waited_ns = MonotonicNs() - start_ns;
    EXPECT_TRUE(waited_ns >= ReadRetries::kLimitNs);
    EXPECT_TRUE(waited_ns < ReadRetries::kLimitNs * 2);
    EXPECT_TRUE(rig.WaitEnd(1));
    EXPECT_EQ(space->figures().poisoned_pages.load(), failing);
    EXPECT_TRUE(CountActions(&rig, ErrorAction::kPoisoned) > 0);
  }
}

// Servicers that die, each before the limit has passed since it began, do not make the wait longer.
TEST(RetryLimitIsKeptByThoseWhoTakeOver) {
  TestImage image(64);
  image.AddRaw(64);
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self&) {
    std::vector<uint8_t> bytes(kPageSize);
    if (ReadPage(image.At(9), bytes.data())) return kWrong;
    return HoldsPages(image, 0, 9) && HoldsPages(image, 10, 64) ? kRight : kWrong;
  });
  PagerRig rig;
  rig.Add(1, &target, &image);
  FailingReads reads(image, EIO, 9 * kPageSize, 10 * kPageSize);
  const uint64_t start_ns = MonotonicNs();
  target.Go();
  for (int i = 0; i < 4; ++i) {
    SleepMs(1300);
    rig.Abandon();
    rig.Recover();
  }
  EXPECT_EQ(target.Wait(), kRight);
  const uint64_t waited_ns = MonotonicNs() - start_ns;
  EXPECT_TRUE(waited_ns >= ReadRetries::kLimitNs);
  EXPECT_TRUE(waited_ns < ReadRetries::kLimitNs * 3 / 2);
  EXPECT_TRUE(rig.WaitEnd(1));
  EXPECT_EQ(CountActions(&rig, ErrorAction::kRetrying), 1u);
  EXPECT_EQ(CountActions(&rig, ErrorAction::kPoisoned), 1u);
}

// A disk that works again by the time that somebody took over.
TEST(RetryThatIsOverAfterATakeoverIsTold) {
  TestImage image(64);
  image.AddRaw(64);
  image.plan();
  LazyTarget target(image,
                    [&](const LazyTarget::Self&) { return HoldsAll(image) ? kRight : kWrong; });
  PagerRig rig;
  rig.Add(1, &target, &image);
  FailingReads reads(image, EIO, 9 * kPageSize, 10 * kPageSize);
  target.Go();
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kPageError, 1));
  rig.Abandon();
  reads.End();
  rig.Recover();
  EXPECT_EQ(target.Wait(), kRight);
  EXPECT_TRUE(rig.WaitEnd(1));
  EXPECT_EQ(CountActions(&rig, ErrorAction::kRetrying), 1u);
  EXPECT_EQ(CountActions(&rig, ErrorAction::kResumed), 1u);
}

}  // namespace
