// Mappings whose accesses wait, fail and are waited for; the pool that such accesses run on.
#include "memory_mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "blocking_pool.h"
#include "testing.h"
#include "uffd.h"

namespace {

using thaw::BlockingPool;
using thaw::MemoryMapping;

constexpr size_t kPageBytes = 4096;

std::shared_ptr<MemoryMapping> Map(size_t pages, int protection = PROT_READ | PROT_WRITE) {
  MemoryMapping::Options options;
  options.byte_length = pages * kPageBytes;
  options.protection = protection;
  int error = 0;
  auto mapping = MemoryMapping::Create(std::move(options), &error);
  EXPECT_EQ(error, 0);
  return mapping;
}

void WaitFor(const std::atomic<int>& value, int expected) {
  while (value != expected) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(MemoryMappingReadsAndWrites) {
  const auto mapping = Map(2);
  EXPECT_EQ(mapping->Write(kPageBytes - 2, "word", 4).bytes, 4u);
  char bytes[4];
  EXPECT_EQ(mapping->Read(kPageBytes - 2, bytes, 4).bytes, 4u);
  EXPECT_EQ(memcmp(bytes, "word", 4), 0);
  EXPECT_EQ(mapping->Advise(0, 2 * kPageBytes, MADV_DONTNEED), 0);
  mapping->Read(kPageBytes - 2, bytes, 4);
  EXPECT_EQ(bytes[0], 0);
}

TEST(MemoryMappingRefusesATakenAddress) {
  const auto mapping = Map(1);
  MemoryMapping::Options options;
  options.vaddr = mapping->vaddr();
  options.byte_length = kPageBytes;
  int error = 0;
  EXPECT_TRUE(MemoryMapping::Create(std::move(options), &error) == nullptr);
  EXPECT_EQ(error, EEXIST);
}

TEST(GuardedCopyTellsTheSignalAndTheBytesBefore) {
  const auto mapping = Map(2);
  EXPECT_EQ(mapping->Protect(kPageBytes, kPageBytes, PROT_NONE), 0);
  char bytes[8];
  const auto outcome = mapping->Read(kPageBytes - 3, bytes, 8);
  EXPECT_EQ(outcome.bytes, 3u);
  EXPECT_EQ(outcome.signal, SIGSEGV);
  EXPECT_EQ(mapping->Touch(0, 2 * kPageBytes).bytes, kPageBytes);
  EXPECT_EQ(mapping->Write(kPageBytes, bytes, 8).signal, SIGSEGV);
}

TEST(GuardedCopyTellsSigbus) {
  thaw::Fd memfd(memfd_create("guarded-copy-test", MFD_CLOEXEC));
  MemoryMapping::Options options;
  options.byte_length = kPageBytes;
  options.protection = PROT_READ;
  options.memfd = std::move(memfd);  // empty: a touch lies behind its end
  int error = 0;
  const auto mapping = MemoryMapping::Create(std::move(options), &error);
  ASSERT_EQ(error, 0);
  EXPECT_EQ(mapping->Touch(0, kPageBytes).signal, SIGBUS);
}

TEST(GuardLeavesOtherFaultsAlone) {
  const auto mapping = Map(1, PROT_NONE);
  const pid_t pid = fork();
  if (pid == 0) {
    close(STDERR_FILENO);  // a sanitizer, whose handler was there before, says a lot
    *reinterpret_cast<volatile char*>(mapping->vaddr()) = 1;
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

TEST(MemoryMappingUnmapWaitsForAccesses) {
  const auto opened = thaw::uffd::OpenBySyscall(O_CLOEXEC | O_NONBLOCK);
  ASSERT_EQ(opened.error, 0);
  const thaw::Fd fd(static_cast<int>(opened.value));
  thaw::abi::Api api{};
  ASSERT_EQ(thaw::uffd::Api(fd.get(), &api), 0);
  const auto mapping = Map(1);
  const thaw::abi::Range range{mapping->vaddr(), kPageBytes};
  ASSERT_EQ(thaw::uffd::Register(fd.get(), range, thaw::abi::kRegisterMissing), 0);
  std::atomic<int> read{0}, unmapped{0};
  mapping->Begin();
  BlockingPool::Instance().Run([&, mapping] {
    char byte = 1;
    mapping->Read(0, &byte, 1);
    EXPECT_EQ(byte, 0);
    read = 1;
    mapping->End();
  });
  BlockingPool::Instance().Run([&, mapping] {
    EXPECT_EQ(mapping->Unmap(), 0);
    EXPECT_EQ(read.load(), 1);
    unmapped = 1;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(unmapped.load(), 0);
  EXPECT_TRUE(thaw::uffd::Zeropage(fd.get(), range).ok());
  WaitFor(unmapped, 1);
}

TEST(BlockingPoolRunsAllAtOnce) {
  constexpr int kCount = 64;
  std::atomic<int> waiting{0}, done{0};
  std::atomic<bool> go{false};
  for (int i = 0; i < kCount; ++i) {
    EXPECT_TRUE(BlockingPool::Instance().Run([&] {
      waiting += 1;
      while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      done += 1;
    }));
  }
  WaitFor(waiting, kCount);  // each has a thread: none waits for another
  go = true;
  WaitFor(done, kCount);
}

TEST(BlockingPoolQueuesBeyondItsThreads) {
  constexpr int kCount = static_cast<int>(BlockingPool::kThreadsMax) + 100;
  std::atomic<int> done{0};
  std::atomic<bool> go{false};
  for (int i = 0; i < kCount; ++i) {
    BlockingPool::Instance().Run([&] {
      while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      done += 1;
    });
  }
  go = true;
  WaitFor(done, kCount);
}

}  // namespace
