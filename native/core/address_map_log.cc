#include "address_map_log.h"

#include <algorithm>

namespace thaw {
namespace {

// A page of edits at least; as many as segments, so that writing a map costs an edit little.
constexpr uint64_t kEditsMin = 96;

}  // namespace

std::vector<AddressRange> MapEdit::Apply(AddressMap* map) const {
  return to == kAway ? map->Erase(from, from + byte_length) : map->Move(from, to, byte_length);
}

AddressMapLog::MapImage* AddressMapLog::Current() const {
  const uint32_t current = record_->map_current;
  if (current == 0) return nullptr;
  return reinterpret_cast<MapImage*>(arena_->data(record_->maps[current - 1]));
}

uint64_t AddressMapLog::last_sequence() const {
  MapImage* const image = Current();
  if (image == nullptr) return 0;
  const uint64_t count = image->edit_count;
  return count == 0 ? image->sequence : image->edits()[count - 1].sequence;
}

bool AddressMapLog::Write(const AddressMap& map) {
  const std::vector<MapSegment> segments = map.Segments();
  const uint64_t edit_count_max = std::max<uint64_t>(kEditsMin, segments.size());
  const uint64_t byte_length =
      sizeof(MapImage) + segments.size() * sizeof(MapSegment) + edit_count_max * sizeof(MapEdit);
  const uint32_t before = record_->map_current;
  const uint32_t next = before == 1 ? 2 : 1;
  if (!arena_->Allocate(byte_length, &record_->maps[next - 1])) return false;
  auto* const image = reinterpret_cast<MapImage*>(arena_->data(record_->maps[next - 1]));
  image->sequence = last_sequence();
  image->segment_count = segments.size();
  image->edit_count_max = edit_count_max;
  std::copy(segments.begin(), segments.end(), image->segments());
  record_->map_current = next;
  if (before != 0) arena_->Release(record_->maps[before - 1]);
  return true;
}

bool AddressMapLog::Append(const AddressMap& map, const MapEdit& edit) {
  MapImage* image = Current();
  if (image == nullptr || image->edit_count == image->edit_count_max) {
    if (!Write(map)) return false;
    image = Current();
  }
  image->edits()[image->edit_count] = edit;
  image->edit_count += 1;
  return true;
}

std::vector<AddressRange> AddressMapLog::Replay(AddressMap* map) const {
  std::vector<AddressRange> away;
  MapImage* const image = Current();
  if (image == nullptr) return away;
  *map = AddressMap();
  for (uint64_t i = 0; i < image->segment_count; ++i) map->Insert(image->segments()[i]);
  for (uint64_t i = 0; i < image->edit_count; ++i) {
    const std::vector<AddressRange> ranges = image->edits()[i].Apply(map);
    away.insert(away.end(), ranges.begin(), ranges.end());
  }
  return away;
}

void AddressMapLog::Release() {
  const uint32_t current = record_->map_current.exchange(0);
  if (current != 0) arena_->Release(record_->maps[current - 1]);
}

}  // namespace thaw
