// The one clock of the native side.
#ifndef THAW_NATIVE_CORE_CLOCK_H_
#define THAW_NATIVE_CORE_CLOCK_H_

#include <cstdint>
#include <ctime>

namespace thaw {

inline uint64_t MonotonicNs() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1000000000u + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_CLOCK_H_
