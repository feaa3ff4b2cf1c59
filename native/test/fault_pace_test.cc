#include "fault_pace.h"

#include "testing.h"

namespace {

using thaw::FaultPace;

constexpr uint64_t kMsNs = 1'000'000;

TEST(PaceIsHotRightAfterAFaultAndCalmLongAfter) {
  FaultPace pace;
  pace.NoteFault(100 * kMsNs, false);
  EXPECT_TRUE(pace.IsHot(100 * kMsNs + 100'000));
  EXPECT_TRUE(!pace.IsCalm(100 * kMsNs + 100'000));
  EXPECT_TRUE(!pace.IsHot(101 * kMsNs));
  EXPECT_TRUE(!pace.IsCalm(101 * kMsNs));
  EXPECT_TRUE(!pace.IsHot(110 * kMsNs));
  EXPECT_TRUE(pace.IsCalm(110 * kMsNs));
}

TEST(PaceIsCalmBesideAStream) {
  FaultPace pace;
  pace.NoteFault(100 * kMsNs, true);
  EXPECT_TRUE(pace.IsCalm(100 * kMsNs));
}

// Whoever asks has taken the time a moment earlier.
TEST(PaceIsHotForWhoLookedAtTheClockBeforeTheFault) {
  FaultPace pace;
  pace.NoteFault(100 * kMsNs, false);
  EXPECT_TRUE(pace.IsHot(100 * kMsNs - 50));
  EXPECT_TRUE(!pace.IsCalm(100 * kMsNs - 50));
}

}  // namespace
