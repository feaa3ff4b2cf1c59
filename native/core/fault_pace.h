// How busy the targets keep the fault thread: when background work has to make room, and when it
// may spread.
//
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
    if (!in_order) last_scattered_ns_.store(now_ns, std::memory_order_relaxed);
  }

  // Whether faults that nobody foresees come one after the other.
  bool IsHot(uint64_t now_ns) const { return SinceScattered(now_ns) < kHotNs; }

  // Whether for a while no fault has come but those that follow a stream: another thread would
  // compete with the target for a CPU, and hold the gate against faults that nobody foresaw.
  bool IsCalm(uint64_t now_ns) const { return SinceScattered(now_ns) > kCalmNs; }

 private:
  // Longer than a fault takes that finds its CPU asleep.
  static constexpr int64_t kHotNs = 250'000;
  static constexpr int64_t kCalmNs = 3'000'000;

  // Negative when one came after `now_ns` was taken.
  int64_t SinceScattered(uint64_t now_ns) const {
    return static_cast<int64_t>(now_ns - last_scattered_ns_.load(std::memory_order_relaxed));
  }

  std::atomic<uint64_t> last_scattered_ns_{0};
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_FAULT_PACE_H_
