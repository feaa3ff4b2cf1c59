// The arena against a model of what is allocated: no overlap, zeroed, and everything joins again.
#include "arena.h"

#include <cstring>
#include <ctime>
#include <map>
#include <string>

#include "test_image.h"
#include "testing.h"

namespace {

using thaw::Arena;
using thaw::ArenaRange;
using thaw::kFiguresSlots;
using thaw::testing::Random;

bool AllZero(const uint8_t* bytes, uint64_t byte_length) {
  for (uint64_t i = 0; i < byte_length; ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

TEST(ArenaAllocatesZeroedDisjointRanges) {
  const uint64_t seed = static_cast<uint64_t>(::time(nullptr));
  Random random(seed);
  Arena arena;
  ASSERT_TRUE(arena.Create());
  std::map<uint8_t*, ArenaRange> taken;
  bool ok = true;
  for (int step = 0; step < 600 && ok; ++step) {
    if (taken.size() < 40 && random.Below(5) < 3) {
      const uint64_t byte_length = 1 + random.Below(20000);
      ArenaRange range;
      ok = arena.Allocate(byte_length, &range);
      if (!ok) break;
      uint8_t* const address = arena.data(range);
      ok = reinterpret_cast<uint64_t>(address) % 4096 == 0 && AllZero(address, byte_length);
      if (!ok) break;
      const auto next = taken.lower_bound(address);
      if (next != taken.end()) ok = address + byte_length <= next->first;
      if (next != taken.begin()) {
        const auto before = std::prev(next);
        ok = ok && before->first + before->second.byte_length <= address;
      }
      std::memset(address, 0xa5, byte_length);
      taken[address] = range;
    } else if (!taken.empty()) {
      const auto victim = std::next(taken.begin(), random.Below(taken.size()));
      arena.Release(victim->second);
      taken.erase(victim);
    }
  }
  EXPECT_EQ("seed " + std::to_string(ok ? 0 : seed), std::string("seed 0"));
}

// After everything is released the first range is as large as at the start.
TEST(ArenaJoinsReleasedRanges) {
  Arena arena;
  ASSERT_TRUE(arena.Create());
  ArenaRange ranges[9], whole, none;
  for (ArenaRange& range : ranges) ASSERT_TRUE(arena.Allocate(4096, &range));
  for (const int i : {4, 0, 8, 2, 6, 1, 7, 3, 5}) arena.Release(ranges[i]);
  ASSERT_TRUE(arena.Allocate(thaw::kArenaBytes - thaw::kHeapOffset, &whole));
  EXPECT_EQ(whole.offset, ranges[0].offset);
  EXPECT_FALSE(arena.Allocate(1, &none));
  arena.Release(whole);
  EXPECT_TRUE(arena.Allocate(1, &none));
  EXPECT_EQ(none.offset, ranges[0].offset);
}

TEST(ArenaTargetsAreZeroedAndLimited) {
  Arena arena;
  ASSERT_TRUE(arena.Create());
  uint32_t first = 0;
  ASSERT_TRUE(arena.TakeTarget(&first));
  arena.figures(first)->faults = 7;
  arena.target(first)->published = true;
  arena.ReleaseTarget(first);
  uint32_t again = 0;
  ASSERT_TRUE(arena.TakeTarget(&again));
  EXPECT_EQ(again, first);
  EXPECT_EQ(arena.figures(again)->faults.load(), 0u);
  EXPECT_FALSE(arena.target(again)->published);
  uint32_t slot = 0;
  for (uint32_t i = 1; i < kFiguresSlots; ++i) ASSERT_TRUE(arena.TakeTarget(&slot));
  EXPECT_FALSE(arena.TakeTarget(&slot));
}

// What is published is kept, byte for byte; all else is free and zeroed again.
TEST(ArenaRecoversWhatIsPublished) {
  Arena arena;
  ASSERT_TRUE(arena.Create());
  uint32_t slots[6];
  for (uint32_t i = 0; i < 6; ++i) {
    ASSERT_TRUE(arena.TakeTarget(&slots[i]));
    thaw::TargetRecord& record = *arena.target(slots[i]);
    ASSERT_TRUE(arena.Allocate(10000, &record.memory));
    std::memset(arena.data(record.memory), static_cast<int>(i + 1), 10000);
    record.published = i % 2 == 1;
  }
  thaw::TargetRecord& retired = *arena.target(slots[5]);
  retired.retired_as = thaw::TargetState::kResident;
  ASSERT_TRUE(arena.TakeSource() == arena.source(0));
  arena.source(0)->published = true;
  arena.source(0)->id = 42;
  ASSERT_TRUE(arena.TakeSource() == arena.source(1));
  arena.source(1)->id = 43;

  arena.Recover();
  EXPECT_EQ(arena.PublishedTargets().size(), 3u);
  EXPECT_EQ(arena.PublishedSources().size(), 1u);
  EXPECT_EQ(arena.source(0)->id, 42u);
  EXPECT_TRUE(arena.TakeSource() == arena.source(1));
  EXPECT_EQ(arena.source(1)->id, 0u);
  for (const uint32_t i : {1u, 3u}) {
    EXPECT_EQ(arena.data(arena.target(slots[i])->memory)[9999], i + 1);
  }
  uint32_t slot = 99;
  for (const uint32_t i : {0u, 2u, 4u}) {
    ASSERT_TRUE(arena.TakeTarget(&slot));
    EXPECT_EQ(slot, slots[i]);
    EXPECT_EQ(arena.target(slot)->memory.byte_length, 0u);
  }
  // The places of those that were lost, and of the one that needs none any more.
  for (const uint32_t i : {0u, 2u, 4u}) {
    ArenaRange range;
    ASSERT_TRUE(arena.Allocate(10000, &range));
    EXPECT_EQ(range.offset, thaw::kHeapOffset + i * 12288);
    EXPECT_TRUE(AllZero(arena.data(range), 10000));
  }
}

}  // namespace
