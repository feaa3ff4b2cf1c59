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
// one thread's at a time, which need not be the one that is kept.
class CpuChoice {
 public:
  // Of the thread with this number; 0: of whoever calls.
  explicit CpuChoice(pid_t tid = 0) : tid_(tid) {}

  void TakeAll() { Choose(kAll); }
  void TakeOnly(int cpu) { Choose(cpu); }
  void LeaveOut(int cpu) { Choose(kButOne - cpu); }

 private:
  static constexpr int kAll = -1;
  static constexpr int kButOne = -2;

  bool Known() {
    known_ = known_ || ::sched_getaffinity(tid_, sizeof(all_), &all_) == 0;
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
    ::sched_setaffinity(tid_, sizeof(cpus), &cpus);
  }

  const pid_t tid_;
  cpu_set_t all_;
  bool known_ = false;
  int choice_ = kAll;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_CPUS_H_
