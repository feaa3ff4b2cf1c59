// Latencies in log-linear buckets: eight to every power of two, so a percentile is at most 12.5 %
// high.
//
// Lives in shared memory: other processes read it while it is written. Thread-safety: any thread.
#ifndef THAW_NATIVE_CORE_LATENCY_HISTOGRAM_H_
#define THAW_NATIVE_CORE_LATENCY_HISTOGRAM_H_

#include <atomic>
#include <cstdint>

namespace thaw {

class LatencyHistogram {
 public:
  static constexpr uint32_t kSubBuckets = 8;
  static constexpr uint32_t kFirstPower = 8;  // everything below 256 ns is bucket 0
  static constexpr uint32_t kPowers = 27;     // up to 34 s; the last bucket takes what is longer
  static constexpr uint32_t kBuckets = 1 + kPowers * kSubBuckets;

  static constexpr uint32_t BucketOf(uint64_t latency_ns) {
    if (latency_ns < (1u << kFirstPower)) return 0;
    const uint32_t power = 63 - static_cast<uint32_t>(__builtin_clzll(latency_ns));
    const uint32_t sub = (latency_ns >> (power - 3)) & (kSubBuckets - 1);
    const uint32_t bucket = 1 + (power - kFirstPower) * kSubBuckets + sub;
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }

  void Record(uint64_t latency_ns) {
    counts_[BucketOf(latency_ns)].fetch_add(1, std::memory_order_relaxed);
    uint64_t max = max_ns_.load(std::memory_order_relaxed);
    while (latency_ns > max && !max_ns_.compare_exchange_weak(max, latency_ns)) {
    }
  }

 private:
  std::atomic<uint64_t> max_ns_;
  std::atomic<uint64_t> counts_[kBuckets];
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_LATENCY_HISTOGRAM_H_
