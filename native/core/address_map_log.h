// The address map's copy in the arena, from which another process builds it again.
//
// A MapImage is the map at one moment and the edits since. Nothing is written for a target that
// never moves or unmaps what it got: its map is its plan's regions. When an image is full of edits,
// a new one is written beside it, named in the record, and the old one let go of: at any moment the
// one that is named is whole. Thread-safety: none; the fault thread's, under the exclusive gate.
#ifndef THAW_NATIVE_CORE_ADDRESS_MAP_LOG_H_
#define THAW_NATIVE_CORE_ADDRESS_MAP_LOG_H_

#include <cstdint>
#include <vector>

#include "address_map.h"
#include "arena.h"

namespace thaw {

// What a message does to a map: moves [from, from + byte_length) to `to`, or takes it away.
struct MapEdit {
  static constexpr uint64_t kAway = ~uint64_t{0};

  uint64_t sequence;  // of the message; rising
  uint64_t from;
  uint64_t to;  // kAway: unmapped
  uint64_t byte_length;

  // Edits `map`; returns the image ranges that stand nowhere any more.
  std::vector<AddressRange> Apply(AddressMap* map) const;
};

class AddressMapLog {
 public:
  AddressMapLog(Arena* arena, TargetRecord* record) : arena_(arena), record_(record) {}

  // Writes a whole map: that of a forked child. False when the arena is full.
  bool Write(const AddressMap& map);
  // Writes one edit, before it is applied to `map`. False when the arena is full.
  bool Append(const AddressMap& map, const MapEdit& edit);
  // Brings `map`, which stands as the plan's regions, to where the log ends; returns all image
  // ranges that edits took away.
  std::vector<AddressRange> Replay(AddressMap* map) const;
  // Sequence of the last edit written; 0: none.
  uint64_t last_sequence() const;
  // Frees the memory.
  void Release();

 private:
  struct MapImage {
    uint64_t sequence;  // of the last edit before this image
    uint64_t segment_count;
    uint64_t edit_count_max;
    std::atomic<uint64_t> edit_count;

    MapSegment* segments() { return reinterpret_cast<MapSegment*>(this + 1); }
    MapEdit* edits() { return reinterpret_cast<MapEdit*>(segments() + segment_count); }
  };

  MapImage* Current() const;

  Arena* const arena_;
  TargetRecord* const record_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_ADDRESS_MAP_LOG_H_
