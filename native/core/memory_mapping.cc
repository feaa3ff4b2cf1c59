#include "memory_mapping.h"

#include <errno.h>
#include <sys/mman.h>

#include <utility>

namespace thaw {

namespace {
constexpr size_t kPageBytes = 4096;
}

std::shared_ptr<MemoryMapping> MemoryMapping::Create(Options options, int* error) {
  InstallFaultGuard();
  int flags = options.memfd.valid() ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  // Untouched pages of a lazy range cost nothing, so none are set aside for them.
  flags |= MAP_NORESERVE;
  if (options.vaddr != 0) flags |= MAP_FIXED_NOREPLACE;
  void* wanted = reinterpret_cast<void*>(options.vaddr);
  void* start =
      mmap(wanted, options.byte_length, options.protection, flags, options.memfd.get(), 0);
  if (start == MAP_FAILED) {
    *error = errno;
    return nullptr;
  }
  // Kernels before 4.17 take the address for a hint.
  if (options.vaddr != 0 && start != wanted) {
    munmap(start, options.byte_length);
    *error = EEXIST;
    return nullptr;
  }
  *error = 0;
  return std::shared_ptr<MemoryMapping>(new MemoryMapping(
      reinterpret_cast<uint64_t>(start), options.byte_length, std::move(options.memfd)));
}

MemoryMapping::MemoryMapping(uint64_t vaddr, size_t byte_length, Fd memfd)
    : vaddr_(vaddr), byte_length_(byte_length), memfd_(std::move(memfd)) {}

MemoryMapping::~MemoryMapping() {
  if (mapped_) munmap(At(0), byte_length_);
}

void MemoryMapping::Begin() {
  std::lock_guard<std::mutex> lock(mutex_);
  under_way_ += 1;
}

void MemoryMapping::End() {
  std::lock_guard<std::mutex> lock(mutex_);
  under_way_ -= 1;
  if (under_way_ == 0) idle_.notify_all();
}

GuardedCopyOutcome MemoryMapping::Read(uint64_t offset, void* to, size_t byte_length) const {
  return GuardedCopy(to, At(offset), byte_length);
}

GuardedCopyOutcome MemoryMapping::Write(uint64_t offset, const void* from,
                                        size_t byte_length) const {
  return GuardedCopy(At(offset), from, byte_length);
}

GuardedCopyOutcome MemoryMapping::Touch(uint64_t offset, size_t byte_length) const {
  for (size_t done = 0; done < byte_length; done += kPageBytes) {
    char byte;
    const GuardedCopyOutcome outcome = GuardedCopy(&byte, At(offset + done), 1);
    if (outcome.signal != 0) return {done, outcome.signal};
  }
  return {byte_length, 0};
}

int MemoryMapping::Advise(uint64_t offset, size_t byte_length, int advice) const {
  return madvise(At(offset), byte_length, advice) == 0 ? 0 : errno;
}

int MemoryMapping::Protect(uint64_t offset, size_t byte_length, int protection) const {
  return mprotect(At(offset), byte_length, protection) == 0 ? 0 : errno;
}

int MemoryMapping::Unmap() {
  std::unique_lock<std::mutex> lock(mutex_);
  idle_.wait(lock, [this] { return under_way_ == 0; });
  if (!mapped_) return 0;
  mapped_ = false;
  lock.unlock();
  memfd_.Reset();
  return munmap(At(0), byte_length_) == 0 ? 0 : errno;
}

}  // namespace thaw
