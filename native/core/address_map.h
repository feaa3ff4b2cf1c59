// Where an address space keeps its image memory now.
//
// A target may move (mremap) and unmap what it got; the plan knows dump-time addresses only. This
// maps run-time ranges to image ranges and back. Starts as the plan's regions; every edit is one
// uffd event. Addresses in no segment hold no image content: their missing pages are zero.
// Thread-safety: none; edits happen under the address space's exclusive gate.
#ifndef THAW_NATIVE_CORE_ADDRESS_MAP_H_
#define THAW_NATIVE_CORE_ADDRESS_MAP_H_

#include <cstdint>
#include <map>
#include <vector>

namespace thaw {

// One run-time range that stands for an image range.
struct MapSegment {
  uint64_t start;
  uint64_t end;
  uint64_t image;
};

// A half-open range of addresses.
struct AddressRange {
  uint64_t start;
  uint64_t end;
  uint64_t byte_length() const { return end - start; }
};

// Where one address is on the other side, and how far it stays contiguous there.
struct Translation {
  bool found = false;
  uint64_t address = 0;
  uint64_t before = 0;       // contiguous bytes in front of it
  uint64_t byte_length = 0;  // contiguous bytes from it on
};

class AddressMap {
 public:
  // Adds an identity segment; ranges must not overlap those present.
  void Insert(uint64_t start, uint64_t end);
  // The same where the image range is another.
  void Insert(const MapSegment& segment) { Put(segment.start, segment.end, segment.image); }
  // All segments, sorted.
  std::vector<MapSegment> Segments() const;
  // Whether anything of a run-time range is mapped.
  bool Overlaps(uint64_t start, uint64_t end) const;

  Translation ToImage(uint64_t vaddr) const;
  Translation ToRuntime(uint64_t image_vaddr) const;

  // Forgets a run-time range; returns the image ranges that were there.
  std::vector<AddressRange> Erase(uint64_t start, uint64_t end);

  // Moves [from, from + byte_length) to `to`; what was at the destination is forgotten and returned
  // as image ranges.
  std::vector<AddressRange> Move(uint64_t from, uint64_t to, uint64_t byte_length);

  // Image ranges within a run-time range, which stay mapped.
  std::vector<AddressRange> ImageRanges(uint64_t start, uint64_t end) const;

  // Run-time ranges of all segments, sorted.
  std::vector<AddressRange> RuntimeRanges() const;

 private:
  struct Segment {
    uint64_t end;
    uint64_t image;
  };

  void SplitAt(uint64_t vaddr);
  void Put(uint64_t start, uint64_t end, uint64_t image);
  void Remove(std::map<uint64_t, Segment>::iterator segment);

  std::map<uint64_t, Segment> segments_;   // run-time start -> segment
  std::map<uint64_t, uint64_t> by_image_;  // image start -> run-time start
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_ADDRESS_MAP_H_
