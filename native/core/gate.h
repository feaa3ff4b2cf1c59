// Keeps copies and the reading of uffd events apart.
//
// Why: reading a removal lets the target go on. A copy that was decided before the read and enters
// the kernel after it would put image content into memory that the target has just discarded. The
// kernel refuses copies (EAGAIN) only while the event is unread, so "decide and copy" (shared) must
// not overlap "read and apply" (exclusive). Thread-safety: many sharers, ONE exclusive user (the
// fault thread). The exclusive side has priority.
#ifndef THAW_NATIVE_CORE_GATE_H_
#define THAW_NATIVE_CORE_GATE_H_

#include <linux/futex.h>
#include <sys/syscall.h>

#include <atomic>
#include <cstdint>

#include "syscall.h"

namespace thaw {

class Gate {
 public:
  void LockShared() {
    uint32_t state = state_.load(std::memory_order_relaxed);
    for (;;) {
      if (state & kExclusive) {
        Sleep(state);
        state = state_.load(std::memory_order_relaxed);
      } else if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire)) {
        return;
      }
    }
  }

  void UnlockShared() {
    const uint32_t before = state_.fetch_sub(1);
    if (before == (kExclusive | 1)) WakeSleepers();
  }

  void LockExclusive() {
    uint32_t state = state_.fetch_or(kExclusive, std::memory_order_acquire) | kExclusive;
    for (int spins = 0; state != kExclusive; ++spins) {
      if (spins < kSpins) {
        __builtin_ia32_pause();
      } else {
        Sleep(state);
      }
      state = state_.load(std::memory_order_acquire);
    }
  }

  void UnlockExclusive() {
    state_.fetch_and(~kExclusive);
    WakeSleepers();
  }

 private:
  static constexpr uint32_t kExclusive = 1u << 31;
  // About as long as a copy of 64 KiB takes, beyond which sleeping is cheaper than a core.
  static constexpr int kSpins = 1000;

  // Without a limit: the other side holds the gate for one copy, or for one read and its
  // application.
  void Sleep(uint32_t state) {
    sleepers_.fetch_add(1);
    Syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, state, 0, 0, 0);
    sleepers_.fetch_sub(1);
  }

  void WakeSleepers() {
    if (sleepers_.load() != 0) Syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
  }

  std::atomic<uint32_t> state_{0};
  std::atomic<uint32_t> sleepers_{0};
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_GATE_H_
