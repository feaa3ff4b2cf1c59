// The pager's shared memory: figures slots, records and page-state maps, in one sparse memfd.
//
// Everything that must outlive one pager process stands here, and the control plane reads the
// figures from the same memfd. Memory is used only where it was written; released ranges go back to
// the kernel. Who may use what is kept outside of it, and found again by Recover(). Thread-safety:
// all calls lock. Lifetime: outlives every address space.
#ifndef THAW_NATIVE_CORE_ARENA_H_
#define THAW_NATIVE_CORE_ARENA_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "arena_layout.h"
#include "fd.h"
#include "figures.h"

namespace thaw {

class Arena {
 public:
  // False when the kernel refuses the mapping (errno tells).
  bool Create();
  // Finds out what is in use by the records that are published, and clears everything else. Before
  // any other call, in a process that goes on where another died.
  void Recover();

  int fd() const { return fd_.get(); }
  ArenaHeader& header() const { return *At<ArenaHeader>(kHeaderOffset); }

  // A slot for a target, its figures and record zeroed; false when all are taken.
  bool TakeTarget(uint32_t* slot);
  void ReleaseTarget(uint32_t slot);
  Figures* figures(uint32_t slot) const { return At<Figures>(slot * kFiguresSlotBytes); }
  TargetRecord* target(uint32_t slot) const {
    return At<TargetRecord>(kTargetsOffset + slot * kTargetRecordBytes);
  }

  uint32_t* source_slots(const TargetRecord& record) const {
    return At<uint32_t>(record.memory.offset);
  }

  // A zeroed record for a pages image; null when all are taken.
  SourceRecord* TakeSource();
  void ReleaseSource(SourceRecord* record);
  SourceRecord* source(uint32_t slot) const {
    return At<SourceRecord>(kSourcesOffset + slot * sizeof(SourceRecord));
  }

  // The same for a handoff.
  HandoffRecord* TakeHandoff();
  void ReleaseHandoff(HandoffRecord* record);
  HandoffRecord* handoff(uint32_t slot) const {
    return At<HandoffRecord>(kHandoffsOffset + slot * kHandoffRecordBytes);
  }

  // Slots of published records.
  std::vector<uint32_t> PublishedTargets() const;
  std::vector<uint32_t> PublishedSources() const;
  std::vector<uint32_t> PublishedHandoffs() const;

  // `byte_length` zeroed bytes, page-aligned; false when the arena is full.
  bool Allocate(uint64_t byte_length, ArenaRange* range);
  void Release(const ArenaRange& range);
  uint8_t* data(const ArenaRange& range) const { return mapping_.data() + range.offset; }

 private:
  template <typename T>
  T* At(uint64_t offset) const {
    return reinterpret_cast<T*>(mapping_.data() + offset);
  }
  void ClearHandoff(uint32_t slot);
  void FreeAllButUsed(std::vector<ArenaRange> used);
  bool Punch(uint64_t offset, uint64_t byte_length);
  void Discard(uint64_t offset, uint64_t byte_length);

  std::mutex mutex_;
  Fd fd_;
  UniqueMapping mapping_;
  std::vector<uint32_t> free_targets_, free_sources_, free_handoffs_;  // the lowest last
  std::map<uint64_t, uint64_t> free_ranges_;  // offset -> length, never adjacent
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_ARENA_H_
