// A range of this process's memory, made by mmap(2) and unmapped at its end.
//
// Thread-safety: every method from any thread. Accesses, zap and unmap wait as long as a page
// handler of the range lets them wait: never call them on the thread that handles its pages.
// Begin/End bracket each operation that is on its way, and Unmap waits for them, so that no access
// meets a foreign mapping that took the place of this one.
#ifndef THAW_NATIVE_CORE_MEMORY_MAPPING_H_
#define THAW_NATIVE_CORE_MEMORY_MAPPING_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "fd.h"
#include "guarded_copy.h"

namespace thaw {

class MemoryMapping {
 public:
  struct Options {
    uint64_t vaddr = 0;  // 0: the kernel chooses
    size_t byte_length = 0;
    int protection = 0;  // PROT_*
    Fd memfd;            // valid: a shared mapping of it; else anonymous private memory
  };

  // Null on failure, with a positive errno in `error` (EEXIST: the address is taken).
  static std::shared_ptr<MemoryMapping> Create(Options options, int* error);

  MemoryMapping(const MemoryMapping&) = delete;
  MemoryMapping& operator=(const MemoryMapping&) = delete;
  ~MemoryMapping();

  uint64_t vaddr() const { return vaddr_; }
  size_t byte_length() const { return byte_length_; }
  // The memfd of a shared mapping, or -1. Stays the mapping's; not to be asked for beside Unmap,
  // which closes it.
  int memfd() const { return memfd_.get(); }

  void Begin();
  void End();

  GuardedCopyOutcome Read(uint64_t offset, void* to, size_t byte_length) const;
  GuardedCopyOutcome Write(uint64_t offset, const void* from, size_t byte_length) const;
  // Reads one byte of every page; bytes = pages' worth done.
  GuardedCopyOutcome Touch(uint64_t offset, size_t byte_length) const;
  // A positive errno, or 0.
  int Advise(uint64_t offset, size_t byte_length, int advice) const;
  int Protect(uint64_t offset, size_t byte_length, int protection) const;
  int Unmap();

 private:
  MemoryMapping(uint64_t vaddr, size_t byte_length, Fd memfd);
  void* At(uint64_t offset) const { return reinterpret_cast<void*>(vaddr_ + offset); }

  const uint64_t vaddr_;
  const size_t byte_length_;
  Fd memfd_;
  std::mutex mutex_;
  std::condition_variable idle_;
  size_t under_way_ = 0;
  bool mapped_ = true;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_MEMORY_MAPPING_H_
