// The CPUs that threads may use, and those that they keep to.
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

// The CPUs that a thread keeps to: all that it may use, one of them, or all but one. Thread-safety:
// the thread's own, from its first call on.
class CpuChoice {
 public:
  void TakeAll() { Choose(kAll); }
  void TakeOnly(int cpu) { Choose(cpu); }
  // A negative number: none is left out.
  void LeaveOut(int cpu) { Choose(cpu < 0 ? kAll : kButOne - cpu); }
  // Takes one that is not `cpu`.
  void TakeAnother(int cpu) {
    if (!Known()) return;
    for (int other = 0; other < CPU_SETSIZE; ++other) {
      if (other != cpu && CPU_ISSET(static_cast<size_t>(other), &all_)) return Choose(other);
    }
  }

 private:
  static constexpr int kAll = -1;
  static constexpr int kButOne = -2;

  bool Known() {
    known_ = known_ || ::sched_getaffinity(0, sizeof(all_), &all_) == 0;
    return known_;
  }

  void Choose(int choice) {
    if (choice == choice_ || !Known()) return;
    choice_ = choice;
    cpu_set_t cpus = all_;
    if (choice >= 0) {
      CPU_ZERO(&cpus);
      CPU_SET(static_cast<size_t>(choice), &cpus);
    } else if (choice != kAll) {
      CPU_CLR(static_cast<size_t>(kButOne - choice), &cpus);
    }
    ::sched_setaffinity(0, sizeof(cpus), &cpus);
  }

  cpu_set_t all_;
  bool known_ = false;
  int choice_ = kAll;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_CPUS_H_
