// The address map against a model that knows the image page of every single run-time page.
#include "address_map.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <map>
#include <set>
#include <string>

#include "address_map_log.h"
#include "plan.h"
#include "test_image.h"
#include "testing.h"

namespace {

using thaw::AddressMap;
using thaw::AddressMapLog;
using thaw::AddressRange;
using thaw::Arena;
using thaw::kPageSize;
using thaw::MapEdit;
using thaw::MapSegment;
using thaw::Translation;
using thaw::testing::Random;

constexpr uint64_t kPages = 96;

uint64_t Bytes(uint64_t page) { return page * kPageSize; }

std::set<uint64_t> PagesOf(const std::vector<AddressRange>& ranges) {
  std::set<uint64_t> pages;
  for (const AddressRange& range : ranges) {
    for (uint64_t at = range.start; at < range.end; at += kPageSize) pages.insert(at / kPageSize);
  }
  return pages;
}

struct Model {
  std::map<uint64_t, uint64_t> image_of;  // run-time page -> image page

  std::set<uint64_t> ImagePages(uint64_t start, uint64_t end) const {
    std::set<uint64_t> pages;
    for (uint64_t page = start; page < end; ++page) {
      if (const auto found = image_of.find(page); found != image_of.end()) {
        pages.insert(found->second);
      }
    }
    return pages;
  }

  std::set<uint64_t> Erase(uint64_t start, uint64_t end) {
    const std::set<uint64_t> pages = ImagePages(start, end);
    for (uint64_t page = start; page < end; ++page) image_of.erase(page);
    return pages;
  }

  std::set<uint64_t> Move(uint64_t from, uint64_t to, uint64_t count) {
    std::map<uint64_t, uint64_t> moved;
    for (uint64_t i = 0; i < count; ++i) {
      if (const auto found = image_of.find(from + i); found != image_of.end()) {
        moved[to + i] = found->second;
        image_of.erase(found);
      }
    }
    const std::set<uint64_t> overwritten = Erase(to, to + count);
    image_of.insert(moved.begin(), moved.end());
    return overwritten;
  }
};

// Every page of both sides, and how far each translation says that it reaches.
bool Agrees(const AddressMap& map, const Model& model) {
  std::map<uint64_t, uint64_t> runtime_of;
  for (const auto& [runtime, image] : model.image_of) runtime_of[image] = runtime;
  for (uint64_t page = 0; page < kPages; ++page) {
    const Translation image = map.ToImage(Bytes(page) + 5);
    const auto found = model.image_of.find(page);
    if (image.found != (found != model.image_of.end())) return false;
    if (image.found) {
      if (image.address != Bytes(found->second) + 5) return false;
      for (uint64_t i = 1; Bytes(i) < image.byte_length; ++i) {
        const auto next = model.image_of.find(page + i);
        if (next == model.image_of.end() || next->second != found->second + i) return false;
      }
      for (uint64_t i = 1; Bytes(i) <= image.before; ++i) {
        const auto next = model.image_of.find(page - i);
        if (next == model.image_of.end() || next->second != found->second - i) return false;
      }
    }
    const Translation runtime = map.ToRuntime(Bytes(page) + 5);
    const auto back = runtime_of.find(page);
    if (runtime.found != (back != runtime_of.end())) return false;
    if (runtime.found && runtime.address != Bytes(back->second) + 5) return false;
  }
  return true;
}

bool RunOnce(uint64_t seed) {
  Random random(seed);
  AddressMap map;
  Model model;
  for (uint64_t page = random.Below(6); page < 60;) {
    const uint64_t end = page + 1 + random.Below(12);
    map.Insert(Bytes(page), Bytes(end));
    for (; page < end; ++page) model.image_of[page] = page;
    page = end + random.Below(4);
  }
  for (int step = 0; step < 40; ++step) {
    const uint64_t start = random.Below(kPages - 1);
    const uint64_t count = 1 + random.Below(std::min<uint64_t>(kPages - start, 24));
    const uint64_t kind = random.Below(3);
    if (kind == 0) {
      if (PagesOf(map.Erase(Bytes(start), Bytes(start + count))) !=
          model.Erase(start, start + count)) {
        return false;
      }
    } else if (kind == 1) {
      const uint64_t to = random.Below(kPages - count + 1);
      if (to < start + count && start < to + count) continue;  // mremap(2) refuses an overlap
      if (PagesOf(map.Move(Bytes(start), Bytes(to), Bytes(count))) !=
          model.Move(start, to, count)) {
        return false;
      }
    } else if (PagesOf(map.ImageRanges(Bytes(start), Bytes(start + count))) !=
               model.ImagePages(start, start + count)) {
      return false;
    }
    if (!Agrees(map, model)) return false;
  }
  std::set<uint64_t> runtime;
  for (const auto& entry : model.image_of) runtime.insert(entry.first);
  return PagesOf(map.RuntimeRanges()) == runtime;
}

TEST(AddressMapAgreesWithModel) {
  const uint64_t first = static_cast<uint64_t>(::time(nullptr)) * 1000;
  for (uint64_t seed = first; seed < first + 400; ++seed) {
    if (RunOnce(seed)) continue;
    EXPECT_EQ("seed " + std::to_string(seed), std::string("agrees"));
    return;
  }
}

TEST(AddressMapMovesAcrossAnotherSegment) {
  AddressMap map;
  map.Insert(Bytes(10), Bytes(20));
  map.Insert(Bytes(30), Bytes(40));
  const std::vector<AddressRange> overwritten = map.Move(Bytes(12), Bytes(32), Bytes(4));
  ASSERT_EQ(overwritten.size(), 1u);
  EXPECT_EQ(overwritten[0].start, Bytes(32));
  EXPECT_EQ(overwritten[0].end, Bytes(36));
  EXPECT_EQ(map.ToImage(Bytes(33)).address, Bytes(13));
  EXPECT_EQ(map.ToRuntime(Bytes(13)).address, Bytes(33));
  EXPECT_FALSE(map.ToImage(Bytes(13)).found);
  EXPECT_FALSE(map.ToRuntime(Bytes(33)).found);
}

AddressMap TwoRegions() {
  AddressMap map;
  map.Insert(Bytes(2), Bytes(40));
  map.Insert(Bytes(50), Bytes(70));
  return map;
}

bool Same(const AddressMap& a, const AddressMap& b) {
  const std::vector<MapSegment> left = a.Segments(), right = b.Segments();
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const MapSegment& l, const MapSegment& r) {
                      return l.start == r.start && l.end == r.end && l.image == r.image;
                    });
}

// Whenever the writer stops, the log gives its map; old images of it are freed.
TEST(AddressMapLogReplaysToTheSameMap) {
  const uint64_t seed = static_cast<uint64_t>(::time(nullptr));
  Random random(seed);
  Arena arena;
  ASSERT_TRUE(arena.Create());
  uint32_t slot = 0;
  ASSERT_TRUE(arena.TakeTarget(&slot));
  AddressMapLog log(&arena, arena.target(slot));
  AddressMap map = TwoRegions();
  uint64_t sequence = 0;
  for (int step = 0; step < 2000; ++step) {
    const uint64_t start = random.Below(kPages - 1);
    const uint64_t count = 1 + random.Below(std::min<uint64_t>(kPages - start, 24));
    const uint64_t to = random.Below(kPages - count + 1);
    if (to < start + count && start < to + count) continue;
    const bool away = random.Below(200) == 0;
    const MapEdit edit{++sequence, Bytes(start), away ? MapEdit::kAway : Bytes(to), Bytes(count)};
    ASSERT_TRUE(log.Append(map, edit));
    edit.Apply(&map);
    AddressMap replayed = TwoRegions();
    log.Replay(&replayed);
    if (Same(map, replayed) && log.last_sequence() == sequence) continue;
    EXPECT_EQ("seed " + std::to_string(seed) + " step " + std::to_string(step),
              std::string("same"));
    return;
  }
  log.Release();
  thaw::ArenaRange whole;
  EXPECT_TRUE(arena.Allocate(thaw::kArenaBytes - thaw::kHeapOffset, &whole));
}

// The ranges of an edit that was written but not carried out any more.
TEST(AddressMapLogTellsWhatWentAway) {
  Arena arena;
  ASSERT_TRUE(arena.Create());
  uint32_t slot = 0;
  ASSERT_TRUE(arena.TakeTarget(&slot));
  AddressMapLog log(&arena, arena.target(slot));
  const AddressMap map = TwoRegions();
  ASSERT_TRUE(log.Append(map, {17, Bytes(30), MapEdit::kAway, Bytes(30)}));
  AddressMap replayed = TwoRegions();
  const std::set<uint64_t> pages = PagesOf(log.Replay(&replayed));
  EXPECT_EQ(pages.size(), 20u);
  EXPECT_TRUE(pages.count(30) == 1 && pages.count(59) == 1);
  EXPECT_FALSE(replayed.Overlaps(Bytes(30), Bytes(60)));
  EXPECT_TRUE(replayed.Overlaps(Bytes(29), Bytes(60)));
  EXPECT_TRUE(replayed.Overlaps(Bytes(40), Bytes(61)));
  EXPECT_EQ(log.last_sequence(), 17u);
}

}  // namespace
