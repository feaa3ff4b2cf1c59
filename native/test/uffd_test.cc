// The operations of core/uffd.h, each by its effect on memory of this process.
#include "uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "fd.h"
#include "testing.h"

namespace {

namespace abi = thaw::abi;
namespace uffd = thaw::uffd;

constexpr size_t kPageBytes = 4096;
constexpr uint32_t kFlags = O_CLOEXEC | O_NONBLOCK;

thaw::Fd Open(uint64_t features) {
  const uffd::Value opened = uffd::OpenBySyscall(kFlags);
  EXPECT_EQ(opened.error, 0);
  thaw::Fd fd(static_cast<int>(opened.value));
  abi::Api api{};
  api.features = features;
  EXPECT_EQ(uffd::Api(fd.get(), &api), 0);
  EXPECT_EQ(api.ioctls & abi::kIoctlApi, abi::kIoctlApi);
  return fd;
}

thaw::UniqueMapping Map(size_t pages, int memfd = -1) {
  const int flags = memfd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  return thaw::UniqueMapping::Map(pages * kPageBytes, PROT_READ | PROT_WRITE, flags, memfd);
}

abi::Range RangeOf(const thaw::UniqueMapping& mapping) {
  return {reinterpret_cast<uint64_t>(mapping.data()), mapping.byte_length()};
}

// A page full of `byte`, for as long as the program runs.
uint64_t PageOf(uint8_t byte) {
  alignas(kPageBytes) static uint8_t pages[4][kPageBytes];
  memset(pages[byte % 4], byte, kPageBytes);
  return reinterpret_cast<uint64_t>(pages[byte % 4]);
}

// The next message; waits for it.
abi::Message Next(const thaw::Fd& fd) {
  pollfd entry{fd.get(), POLLIN, 0};
  EXPECT_EQ(poll(&entry, 1, 10'000), 1);
  abi::Message message{};
  EXPECT_EQ(uffd::Read(fd.get(), &message, 1).value, 1L);
  return message;
}

// Touches a byte on a thread of its own.
class Toucher {
 public:
  explicit Toucher(const uint8_t* byte)
      : thread_([this, byte] { value_ = *static_cast<const volatile uint8_t*>(byte); }) {}
  int Wait() {
    thread_.join();
    return value_;
  }

 private:
  uint8_t value_ = 0;
  std::thread thread_;
};

TEST(UffdOpensByBothWays) {
  thaw::Fd by_syscall = Open(0);
  const uffd::Value opened = uffd::OpenByDevice(kFlags);
  ASSERT_EQ(opened.error, 0);
  thaw::Fd by_device(static_cast<int>(opened.value));
  EXPECT_EQ(fcntl(by_device.get(), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  EXPECT_EQ(uffd::OpenBySyscall(0x40000000).error, EINVAL);
}

TEST(UffdCopyBringsAPage) {
  const thaw::Fd fd = Open(0);
  const auto memory = Map(1);
  uint64_t ioctls = 0;
  ASSERT_EQ(uffd::Register(fd.get(), RangeOf(memory), abi::kRegisterMissing, &ioctls), 0);
  EXPECT_EQ(ioctls & abi::kIoctlCopy, abi::kIoctlCopy);
  Toucher toucher(memory.data() + 7);
  const abi::Message message = Next(fd);
  EXPECT_EQ(message.event, abi::kEventPagefault);
  EXPECT_EQ(message.pagefault.address, RangeOf(memory).start);
  EXPECT_EQ(uffd::Copy(fd.get(), message.pagefault.address, PageOf('c'), kPageBytes).bytes,
            kPageBytes);
  EXPECT_EQ(toucher.Wait(), 'c');
}

TEST(UffdCopyTellsPartialWork) {
  const thaw::Fd fd = Open(0);
  const auto memory = Map(3);
  const auto source = Map(3);
  const abi::Range range = RangeOf(memory);
  ASSERT_EQ(uffd::Register(fd.get(), range, abi::kRegisterMissing), 0);
  EXPECT_TRUE(uffd::Copy(fd.get(), range.start + 2 * kPageBytes, PageOf('p'), kPageBytes).ok());
  const uffd::Result partial =
      uffd::Copy(fd.get(), range.start, RangeOf(source).start, 3 * kPageBytes);
  EXPECT_EQ(partial.bytes, 2 * kPageBytes);
  EXPECT_EQ(partial.error, EAGAIN);
  const uffd::Result present =
      uffd::Copy(fd.get(), range.start + 2 * kPageBytes, PageOf('q'), kPageBytes);
  EXPECT_EQ(present.bytes, 0u);
  EXPECT_EQ(present.error, EEXIST);
  EXPECT_EQ(memory.data()[2 * kPageBytes], 'p');
}

TEST(UffdWakesOnlyWhenTold) {
  const thaw::Fd fd = Open(0);
  const auto memory = Map(1);
  const abi::Range range = RangeOf(memory);
  ASSERT_EQ(uffd::Register(fd.get(), range, abi::kRegisterMissing), 0);
  Toucher toucher(memory.data());
  Next(fd);
  EXPECT_TRUE(uffd::Zeropage(fd.get(), range, abi::kZeropageDontWake).ok());
  EXPECT_EQ(uffd::Wake(fd.get(), range), 0);
  EXPECT_EQ(toucher.Wait(), 0);
}

TEST(UffdUnregisterReleasesWaiters) {
  const thaw::Fd fd = Open(0);
  const auto memory = Map(1);
  ASSERT_EQ(uffd::Register(fd.get(), RangeOf(memory), abi::kRegisterMissing), 0);
  Toucher toucher(memory.data());
  Next(fd);
  EXPECT_EQ(uffd::Unregister(fd.get(), RangeOf(memory)), 0);
  EXPECT_EQ(toucher.Wait(), 0);
}

// Also a thread whose fault comes while the range is being unregistered.
TEST(UffdUnregisterReleasesWhoeverComesMeanwhile) {
  constexpr int kRounds = 3000;
  const thaw::Fd fd = Open(0);
  const auto memory = Map(1);
  const abi::Range range = RangeOf(memory);
  std::atomic<int> round{0}, touched{0};
  std::thread toucher([&] {
    for (int i = 1; i <= kRounds; ++i) {
      while (round < i) {
      }
      static_cast<void>(*static_cast<volatile uint8_t*>(memory.data()));
      touched = i;
    }
  });
  for (int i = 1; i <= kRounds; ++i) {
    madvise(memory.data(), kPageBytes, MADV_DONTNEED);
    EXPECT_EQ(uffd::Register(fd.get(), range, abi::kRegisterMissing), 0);
    round = i;
    for (volatile int pause = i * 7 % 300; pause > 0; pause = pause - 1) {
    }
    EXPECT_EQ(uffd::Unregister(fd.get(), range), 0);
    for (int wait = 0; touched < i && wait < 1'000'000; ++wait) sched_yield();
    EXPECT_EQ(touched.load(), i);
    uffd::Wake(fd.get(), range);
  }
  toucher.join();
}

TEST(UffdReportsWritesToProtectedPages) {
  const thaw::Fd fd = Open(abi::kFeaturePagefaultFlagWp);
  const auto memory = Map(1);
  const abi::Range range = RangeOf(memory);
  ASSERT_EQ(uffd::Register(fd.get(), range, abi::kRegisterMissing | abi::kRegisterWp), 0);
  EXPECT_TRUE(uffd::Copy(fd.get(), range.start, PageOf('w'), kPageBytes, abi::kCopyWp).ok());
  std::thread writer([&] { *static_cast<volatile uint8_t*>(memory.data()) = 'x'; });
  EXPECT_EQ(Next(fd).pagefault.flags, abi::kPagefaultWp | abi::kPagefaultWrite);
  EXPECT_EQ(uffd::WriteProtect(fd.get(), range, 0), 0);
  writer.join();
  EXPECT_EQ(memory.data()[0], 'x');
}

TEST(UffdContinuesMinorFaults) {
  const thaw::Fd fd = Open(abi::kFeatureMinorShmem);
  const thaw::Fd memfd(memfd_create("uffd-test", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(memfd.get(), kPageBytes), 0);
  const auto memory = Map(1, memfd.get());
  const auto alias = Map(1, memfd.get());
  ASSERT_EQ(uffd::Register(fd.get(), RangeOf(memory), abi::kRegisterMinor), 0);
  alias.data()[0] = 'm';
  Toucher toucher(memory.data());
  EXPECT_EQ(Next(fd).pagefault.flags, abi::kPagefaultMinor);
  EXPECT_EQ(uffd::Continue(fd.get(), RangeOf(memory)).bytes, kPageBytes);
  EXPECT_EQ(toucher.Wait(), 'm');
}

TEST(UffdMovesPages) {
  const thaw::Fd fd = Open(abi::kFeatureMove);
  const auto memory = Map(1);
  const auto source = Map(1);
  ASSERT_EQ(uffd::Register(fd.get(), RangeOf(memory), abi::kRegisterMissing), 0);
  source.data()[0] = 'v';
  const uffd::Result moved =
      uffd::Move(fd.get(), RangeOf(memory).start, RangeOf(source).start, kPageBytes);
  EXPECT_EQ(moved.error, 0);
  EXPECT_EQ(moved.bytes, kPageBytes);
  EXPECT_EQ(memory.data()[0], 'v');
  EXPECT_EQ(source.data()[0], 0);
}

TEST(UffdPoisonsPages) {
  const thaw::Fd fd = Open(0);
  const auto memory = Map(1);
  ASSERT_EQ(uffd::Register(fd.get(), RangeOf(memory), abi::kRegisterMissing), 0);
  EXPECT_EQ(uffd::Poison(fd.get(), RangeOf(memory)).bytes, kPageBytes);
  // A write(2) from the page meets the same marker as a touch, without a signal.
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const thaw::Fd in(fds[0]), out(fds[1]);
  EXPECT_EQ(write(out.get(), memory.data(), 1), -1L);
  EXPECT_EQ(errno, EFAULT);
}

TEST(UffdServesForkedChildren) {
  const thaw::Fd fd = Open(abi::kFeatureEventFork);
  const auto memory = Map(1);
  const abi::Range range = RangeOf(memory);
  ASSERT_EQ(uffd::Register(fd.get(), range, abi::kRegisterMissing), 0);
  int status = 0;
  std::thread forker([&] {
    const pid_t pid = fork();  // waits until the event is read
    if (pid == 0) _exit(*static_cast<volatile uint8_t*>(memory.data()));
    waitpid(pid, &status, 0);
  });
  const abi::Message message = Next(fd);
  EXPECT_EQ(message.event, abi::kEventFork);
  const thaw::Fd child(static_cast<int>(message.fork.ufd));
  Next(child);
  EXPECT_TRUE(uffd::Copy(child.get(), range.start, PageOf('k'), kPageBytes).ok());
  forker.join();
  EXPECT_EQ(WEXITSTATUS(status), 'k');
}

TEST(UffdHoldsCallsUntilEventsAreRead) {
  const thaw::Fd fd = Open(abi::kFeatureEventRemove | abi::kFeatureEventUnmap);
  const auto memory = Map(2);
  const abi::Range range = RangeOf(memory);
  ASSERT_EQ(uffd::Register(fd.get(), range, abi::kRegisterMissing), 0);
  std::thread discarder([&] { madvise(memory.data(), kPageBytes, MADV_DONTNEED); });
  pollfd entry{fd.get(), POLLIN, 0};
  EXPECT_EQ(poll(&entry, 1, 10'000), 1);
  const uffd::Result held = uffd::Copy(fd.get(), range.start, PageOf('h'), kPageBytes);
  EXPECT_EQ(held.error, EAGAIN);
  EXPECT_EQ(held.bytes, 0u);
  const abi::Message message = Next(fd);
  EXPECT_EQ(message.event, abi::kEventRemove);
  EXPECT_EQ(message.remove.start, range.start);
  EXPECT_EQ(message.remove.end, range.start + kPageBytes);
  discarder.join();
  EXPECT_TRUE(uffd::Copy(fd.get(), range.start, PageOf('h'), kPageBytes).ok());
  // The mapping's own end would wait for a reader of its event.
  EXPECT_EQ(uffd::Unregister(fd.get(), range), 0);
}

TEST(UffdReadsNothingWhereNothingIs) {
  const thaw::Fd fd = Open(0);
  abi::Message message;
  EXPECT_EQ(uffd::Read(fd.get(), &message, 1).error, EAGAIN);
}

}  // namespace
