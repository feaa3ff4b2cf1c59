// The pager's shared memory: figures slots first, then page-state maps, in one sparse memfd.
//
// Everything that must outlive one pager process stands here, and the control plane reads the
// figures from the same memfd. Memory is used only where it was written; released ranges go back to
// the kernel. Thread-safety: all calls lock. Lifetime: outlives every address space.
#ifndef THAW_NATIVE_CORE_ARENA_H_
#define THAW_NATIVE_CORE_ARENA_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "fd.h"
#include "figures.h"

namespace thaw {

class Arena {
 public:
  // False when the kernel refuses the mapping (errno tells).
  bool Create();

  int fd() const { return fd_.get(); }

  // A zeroed figures slot and its number, or null when all are taken.
  Figures* TakeFigures(uint32_t* slot);
  void ReleaseFigures(uint32_t slot);

  // `byte_length` zeroed bytes, page-aligned; null when the arena is full.
  uint8_t* Allocate(uint64_t byte_length);
  void Release(uint8_t* address, uint64_t byte_length);

 private:
  void Discard(uint64_t offset, uint64_t byte_length);

  std::mutex mutex_;
  Fd fd_;
  UniqueMapping mapping_;
  std::vector<uint32_t> free_slots_;
  std::map<uint64_t, uint64_t> free_ranges_;  // offset -> length, never adjacent
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_ARENA_H_
