// The gate under threads: exclusion, and that the exclusive side gets in while others crowd.
#include "gate.h"

#include <atomic>
#include <thread>
#include <vector>

#include "clock.h"
#include "testing.h"

namespace {

using thaw::Gate;
using thaw::MonotonicNs;

constexpr int kSharers = 4;

// `value` is deliberately no atomic: ThreadSanitizer sees when the gate lets both sides in.
TEST(GateKeepsTheSidesApart) {
  Gate gate;
  uint64_t value = 0;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> torn{0};
  std::vector<std::thread> sharers;
  for (int i = 0; i < kSharers; ++i) {
    sharers.emplace_back([&, i] {
      while (!stop) {
        i % 2 == 0 ? gate.LockShared() : gate.LockSharedInTurn();
        if (value % 2 != 0) ++torn;
        gate.UnlockShared();
      }
    });
  }
  for (int i = 0; i < 5000; ++i) {
    gate.LockExclusive();
    ++value;
    ++value;
    gate.UnlockExclusive(static_cast<size_t>(i % 5));
  }
  stop = true;
  for (std::thread& sharer : sharers) sharer.join();
  EXPECT_EQ(torn.load(), 0u);
  EXPECT_EQ(value, 10000u);
}

// Faults that stop coming keep nobody waiting.
TEST(GateLetsBackgroundWorkInWithoutATurn) {
  Gate gate;
  gate.LockExclusive();
  gate.UnlockExclusive(4);
  for (int i = 0; i < 6; ++i) {
    gate.LockSharedInTurn();
    gate.UnlockShared();
  }
  gate.LockExclusive();
  gate.UnlockExclusive();
}

// Sharers that hold the gate nearly always, overlapping each other, must not keep it out.
TEST(GateLetsTheExclusiveSideIn) {
  Gate gate;
  std::atomic<bool> stop{false};
  std::vector<std::thread> sharers;
  for (int i = 0; i < kSharers; ++i) {
    sharers.emplace_back([&] {
      while (!stop) {
        gate.LockShared();
        const uint64_t until = MonotonicNs() + 200'000;
        while (MonotonicNs() < until) {
        }
        gate.UnlockShared();
      }
    });
  }
  uint64_t longest_ns = 0;
  for (int i = 0; i < 100; ++i) {
    const uint64_t before = MonotonicNs();
    gate.LockExclusive();
    longest_ns = std::max(longest_ns, MonotonicNs() - before);
    gate.UnlockExclusive();
  }
  stop = true;
  for (std::thread& sharer : sharers) sharer.join();
  // Each sharer holds it for 0.2 ms; the rest is for a machine with few cores.
  EXPECT_TRUE(longest_ns < 5'000'000'000);
}

TEST(GateLetsSharersGoOn) {
  Gate gate;
  std::atomic<uint64_t> rounds{0};
  std::atomic<bool> stop{false};
  std::thread sharer([&] {
    for (; rounds < 200; ++rounds) {
      gate.LockShared();
      gate.UnlockShared();
    }
    stop = true;
  });
  while (!stop) {
    gate.LockExclusive();
    gate.UnlockExclusive();
  }
  sharer.join();
  EXPECT_EQ(rounds.load(), 200u);
}

}  // namespace
