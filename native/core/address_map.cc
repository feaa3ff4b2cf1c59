#include "address_map.h"

#include <algorithm>
#include <iterator>

namespace thaw {

void AddressMap::Put(uint64_t start, uint64_t end, uint64_t image) {
  segments_[start] = {end, image};
  by_image_[image] = start;
}

void AddressMap::Remove(std::map<uint64_t, Segment>::iterator segment) {
  by_image_.erase(segment->second.image);
  segments_.erase(segment);
}

void AddressMap::Insert(uint64_t start, uint64_t end) { Put(start, end, start); }

void AddressMap::SplitAt(uint64_t vaddr) {
  auto after = segments_.upper_bound(vaddr);
  if (after == segments_.begin()) return;
  const auto segment = std::prev(after);
  const uint64_t start = segment->first;
  const auto [end, image] = segment->second;
  if (start == vaddr || end <= vaddr) return;
  segment->second.end = vaddr;
  Put(vaddr, end, image + (vaddr - start));
}

Translation AddressMap::ToImage(uint64_t vaddr) const {
  const auto after = segments_.upper_bound(vaddr);
  if (after == segments_.begin()) return {};
  const auto& [start, segment] = *std::prev(after);
  if (segment.end <= vaddr) return {};
  return {true, segment.image + (vaddr - start), vaddr - start, segment.end - vaddr};
}

Translation AddressMap::ToRuntime(uint64_t image_vaddr) const {
  const auto after = by_image_.upper_bound(image_vaddr);
  if (after == by_image_.begin()) return {};
  const auto [image_start, start] = *std::prev(after);
  const uint64_t vaddr = start + (image_vaddr - image_start);
  const uint64_t end = segments_.at(start).end;
  if (end <= vaddr) return {};
  return {true, vaddr, vaddr - start, end - vaddr};
}

std::vector<AddressRange> AddressMap::ImageRanges(uint64_t start, uint64_t end) const {
  std::vector<AddressRange> ranges;
  auto segment = segments_.upper_bound(start);
  if (segment != segments_.begin()) --segment;
  for (; segment != segments_.end() && segment->first < end; ++segment) {
    const uint64_t from = std::max(segment->first, start);
    const uint64_t to = std::min(segment->second.end, end);
    if (from >= to) continue;
    const uint64_t image = segment->second.image + (from - segment->first);
    ranges.push_back({image, image + (to - from)});
  }
  return ranges;
}

std::vector<AddressRange> AddressMap::Erase(uint64_t start, uint64_t end) {
  std::vector<AddressRange> ranges = ImageRanges(start, end);
  SplitAt(start);
  SplitAt(end);
  for (auto segment = segments_.lower_bound(start);
       segment != segments_.end() && segment->first < end;) {
    Remove(segment++);
  }
  return ranges;
}

std::vector<AddressRange> AddressMap::Move(uint64_t from, uint64_t to, uint64_t byte_length) {
  struct Moved {
    uint64_t start, end, image;
  };
  std::vector<Moved> moved;
  SplitAt(from);
  SplitAt(from + byte_length);
  for (auto segment = segments_.lower_bound(from);
       segment != segments_.end() && segment->first < from + byte_length;) {
    moved.push_back({segment->first, segment->second.end, segment->second.image});
    Remove(segment++);
  }
  std::vector<AddressRange> overwritten = Erase(to, to + byte_length);
  for (const Moved& segment : moved) {
    Put(to + (segment.start - from), to + (segment.end - from), segment.image);
  }
  return overwritten;
}

std::vector<MapSegment> AddressMap::Segments() const {
  std::vector<MapSegment> segments;
  for (const auto& [start, segment] : segments_) {
    segments.push_back({start, segment.end, segment.image});
  }
  return segments;
}

bool AddressMap::Overlaps(uint64_t start, uint64_t end) const {
  const auto after = segments_.lower_bound(start);
  if (after != segments_.end() && after->first < end) return true;
  return after != segments_.begin() && std::prev(after)->second.end > start;
}

std::vector<AddressRange> AddressMap::RuntimeRanges() const {
  std::vector<AddressRange> ranges;
  for (const auto& [start, segment] : segments_) ranges.push_back({start, segment.end});
  return ranges;
}

}  // namespace thaw
