// Page states, the fault window and the latency histogram: the small parts of the fault path.
#include "page_state.h"

#include <atomic>
#include <thread>
#include <vector>

#include "fault_window.h"
#include "latency_histogram.h"
#include "test_image.h"
#include "testing.h"

namespace {

using thaw::FaultWindow;
using thaw::LatencyHistogram;
using thaw::PageState;
using thaw::PageStates;
using thaw::PageWindow;
using thaw::testing::Random;

TEST(PageStatesClaimOnce) {
  constexpr uint32_t kPages = 20000;
  std::vector<uint8_t> bytes(kPages);
  PageStates states(bytes.data());
  std::atomic<uint32_t> claimed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (uint32_t page = 0; page < kPages;) {
        const uint32_t count = states.ClaimRun(page, std::min<uint32_t>(1 + i * 3, kPages - page));
        claimed += count;
        page += count == 0 ? 1 : count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(claimed.load(), kPages);
}

TEST(PageStatesChangeOnlyFromTheStateNamed) {
  uint8_t byte = 0;
  PageStates states(&byte);
  EXPECT_TRUE(states.Claim(0));
  EXPECT_FALSE(states.Claim(0));
  EXPECT_TRUE(states.Exchange(0, PageState::kRemoved) == PageState::kInFlight);
  EXPECT_FALSE(states.Change(0, PageState::kInFlight, PageState::kMissing));
  EXPECT_TRUE(states.Get(0) == PageState::kRemoved);
}

// Nothing is in yet.
PageWindow Decide(FaultWindow* window, uint64_t page) {
  return window->Decide(page, 16, true, [](uint64_t) { return false; });
}

TEST(FaultWindowAlwaysHoldsThePage) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    FaultWindow window;
    uint64_t page = 1;
    for (int i = 0; i < 5000; ++i) {
      switch (random.Below(4)) {
        case 0:
          page = random.Below(uint64_t{1} << 35);
          break;
        case 1:
          page += random.Below(40);
          break;
        default:
          ++page;
      }
      const PageWindow found = Decide(&window, page);
      ASSERT_TRUE(found.first <= page && page < found.end);
      ASSERT_TRUE(found.end - found.first <= 16);
    }
  }
}

// A sweep: the faults are where the window before, and what was brought ahead of it, ended.
TEST(FaultWindowRunsAheadOfASweep) {
  FaultWindow window;
  uint64_t page = 1000;
  std::vector<uint64_t> lengths;
  for (int i = 0; i < 8; ++i) {
    const PageWindow found = Decide(&window, page);
    ASSERT_TRUE(found.end - found.first <= 16);
    lengths.push_back(found.end - found.first + found.ahead);
    page = found.end + found.ahead;
  }
  const std::vector<uint64_t> expected{1, 16, 32, 64, 128, 256, 256, 256};
  EXPECT_TRUE(lengths == expected);
}

// The same where nobody brings in more than the window.
TEST(FaultWindowGoesOnRightBehindASweep) {
  FaultWindow window;
  uint64_t page = 1000;
  for (int i = 0; i < 8; ++i) {
    const PageWindow found = window.Decide(page, 16, false, [](uint64_t) { return false; });
    EXPECT_EQ(found.end - page, i == 0 ? 1u : 16u);
    EXPECT_EQ(found.ahead, 0u);
    page = found.end;
  }
}

TEST(FaultWindowTakesTheGroupAtItsSecondFault) {
  FaultWindow window;
  EXPECT_EQ(Decide(&window, 35).end, 36u);
  const PageWindow found = Decide(&window, 33);
  EXPECT_EQ(found.first, 32u);
  EXPECT_EQ(found.end, 48u);
  // Pages far from each other stay alone.
  for (uint64_t page = 1000; page < 100000; page += 1000) {
    EXPECT_EQ(Decide(&window, page).end, page + 1);
  }
}

TEST(FaultWindowKeepsToItsLimit) {
  for (const uint32_t limit : {1u, 2u, 7u, 16u}) {
    FaultWindow window;
    Random random(limit);
    uint64_t page = 1000;
    for (int i = 0; i < 1000; ++i) {
      const PageWindow found = window.Decide(page, limit, true, [](uint64_t) { return true; });
      ASSERT_TRUE(found.first <= page && page < found.end);
      ASSERT_TRUE(found.end - found.first <= limit);
      page = found.end + random.Below(3);
    }
  }
}

// The fill runs ahead of a stream: its next fault comes behind what was filled.
TEST(FaultWindowFollowsAStreamOverWhatIsPresent) {
  FaultWindow window;
  Decide(&window, 1000);
  Decide(&window, 1001);
  const auto present = [](uint64_t) { return true; };
  EXPECT_TRUE(window.Decide(1001 + 16 + 300, 16, true, present).in_order);
  // Over what is missing it is a jump.
  EXPECT_FALSE(Decide(&window, 1001 + 16 + 300 + 16 + 300).in_order);
}

// Where bucket `bucket` begins, by the format's own description.
uint64_t StartOf(uint32_t bucket) {
  if (bucket == 0) return 0;
  const uint32_t power = LatencyHistogram::kFirstPower + (bucket - 1) / 8;
  return (uint64_t{8} + (bucket - 1) % 8) << (power - 3);
}

TEST(LatencyHistogramBucketsHaveTheirBounds) {
  for (uint32_t bucket = 0; bucket < LatencyHistogram::kBuckets; ++bucket) {
    const uint64_t start = StartOf(bucket);
    ASSERT_EQ(LatencyHistogram::BucketOf(start), bucket);
    if (bucket + 1 == LatencyHistogram::kBuckets) break;
    const uint64_t end = StartOf(bucket + 1);
    ASSERT_EQ(LatencyHistogram::BucketOf(end - 1), bucket);
    if (bucket > 0) EXPECT_TRUE((end - start) * 8 <= start);  // 12.5 %
  }
  EXPECT_EQ(LatencyHistogram::BucketOf(~uint64_t{0}), LatencyHistogram::kBuckets - 1);
}

}  // namespace
