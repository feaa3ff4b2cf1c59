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
using thaw::Figures;
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
  std::map<uint8_t*, uint64_t> taken;
  bool ok = true;
  for (int step = 0; step < 600 && ok; ++step) {
    if (taken.size() < 40 && random.Below(5) < 3) {
      const uint64_t byte_length = 1 + random.Below(20000);
      uint8_t* const address = arena.Allocate(byte_length);
      ok = address != nullptr && reinterpret_cast<uint64_t>(address) % 4096 == 0 &&
           AllZero(address, byte_length);
      if (!ok) break;
      const auto next = taken.lower_bound(address);
      if (next != taken.end()) ok = address + byte_length <= next->first;
      if (next != taken.begin()) {
        const auto before = std::prev(next);
        ok = ok && before->first + before->second <= address;
      }
      std::memset(address, 0xa5, byte_length);
      taken[address] = byte_length;
    } else if (!taken.empty()) {
      const auto victim = std::next(taken.begin(), random.Below(taken.size()));
      arena.Release(victim->first, victim->second);
      taken.erase(victim);
    }
  }
  EXPECT_EQ("seed " + std::to_string(ok ? 0 : seed), std::string("seed 0"));
}

// After everything is released the first range is as large as at the start.
TEST(ArenaJoinsReleasedRanges) {
  Arena arena;
  ASSERT_TRUE(arena.Create());
  uint8_t* ranges[9];
  for (uint8_t*& range : ranges) range = arena.Allocate(4096);
  for (const int i : {4, 0, 8, 2, 6, 1, 7, 3, 5}) arena.Release(ranges[i], 4096);
  const uint64_t nearly_all = (uint64_t{1} << 40) - thaw::kFiguresSlotBytes * kFiguresSlots;
  uint8_t* const whole = arena.Allocate(nearly_all);
  EXPECT_TRUE(whole == ranges[0]);
  EXPECT_TRUE(arena.Allocate(1) == nullptr);
  arena.Release(whole, nearly_all);
  EXPECT_TRUE(arena.Allocate(1) == ranges[0]);
}

TEST(ArenaFiguresAreZeroedAndLimited) {
  Arena arena;
  ASSERT_TRUE(arena.Create());
  uint32_t first = 0;
  Figures* const figures = arena.TakeFigures(&first);
  ASSERT_TRUE(figures != nullptr);
  figures->faults = 7;
  arena.ReleaseFigures(first);
  uint32_t again = 0;
  Figures* const taken = arena.TakeFigures(&again);
  EXPECT_EQ(again, first);
  EXPECT_EQ(taken->faults.load(), 0u);
  uint32_t slot = 0;
  for (uint32_t i = 1; i < kFiguresSlots; ++i) {
    ASSERT_TRUE(arena.TakeFigures(&slot) != nullptr);
  }
  EXPECT_TRUE(arena.TakeFigures(&slot) == nullptr);
}

}  // namespace
