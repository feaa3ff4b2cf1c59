// How busy the targets keep the fault thread: when background work has to make room, and when it
// may spread.
//
// Why: a fault that finds the fault thread awake and the gate open costs a fraction of one that
// does not, so while a program jumps about, the fault thread waits for its next fault and nothing
// else. A program that reads in order is helped most by a fill that runs ahead of it.
// Thread-safety: one writer, any readers.
#ifndef THAW_NATIVE_CORE_FAULT_PACE_H_
#define THAW_NATIVE_CORE_FAULT_PACE_H_

#include <atomic>
#include <cstdint>

namespace thaw {

class FaultPace {
 public:
  // `in_order`: the fault followed a stream.
  void NoteFault(uint64_t now_ns, bool in_order) {
    if (now_ns - last_ns_.load(std::memory_order_relaxed) > kCalmNs) {
      busy_since_ns_.store(now_ns, std::memory_order_relaxed);
    }
    last_ns_.store(now_ns, std::memory_order_relaxed);
    if (!in_order) last_scattered_ns_.store(now_ns, std::memory_order_relaxed);
  }

  // Whether the next fault is so likely and so near that all else waits. Never for longer than
  // kYieldMaxNs in a row: what is never filled has to be faulted in, page by page.
  bool IsHot(uint64_t now_ns) const {
    return now_ns - last_scattered_ns_.load(std::memory_order_relaxed) < kHotNs &&
           now_ns - busy_since_ns_.load(std::memory_order_relaxed) < kYieldMaxNs;
  }

  // Whether for a while no fault has come but those that follow a stream: another thread would
  // compete with the target for a CPU, and hold the gate against faults that nobody foresaw.
  bool IsCalm(uint64_t now_ns) const {
    return now_ns - last_scattered_ns_.load(std::memory_order_relaxed) > kCalmNs;
  }

 private:
  static constexpr uint64_t kHotNs = 100'000;
  static constexpr uint64_t kYieldMaxNs = 300'000'000;
  static constexpr uint64_t kCalmNs = 3'000'000;

  std::atomic<uint64_t> last_ns_{0};
  std::atomic<uint64_t> last_scattered_ns_{0};
  std::atomic<uint64_t> busy_since_ns_{0};
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_FAULT_PACE_H_
