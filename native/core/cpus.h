// How many CPUs this process may use.
#ifndef THAW_NATIVE_CORE_CPUS_H_
#define THAW_NATIVE_CORE_CPUS_H_

#include <sched.h>

#include <cstdint>

namespace thaw {

inline uint32_t CountCpus() {
  cpu_set_t cpus;
  if (::sched_getaffinity(0, sizeof(cpus), &cpus) != 0) return 1;
  return static_cast<uint32_t>(CPU_COUNT(&cpus));
}

// Moves the calling thread off the CPU that it runs on, if it may use another; it may come back.
inline void LeaveCpu() {
  cpu_set_t cpus;
  if (::sched_getaffinity(0, sizeof(cpus), &cpus) != 0) return;
  cpu_set_t others = cpus;
  CPU_CLR(static_cast<size_t>(::sched_getcpu()), &others);
  if (::sched_setaffinity(0, sizeof(others), &others) == 0) {
    ::sched_setaffinity(0, sizeof(cpus), &cpus);
  }
}

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_CPUS_H_
