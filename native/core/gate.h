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
#include <cstddef>
#include <cstdint>

#include "clock.h"
#include "syscall.h"

namespace thaw {

class Gate {
 public:
  void LockShared() {
    uint32_t state = state_.load(std::memory_order_relaxed);
    for (int spins = 0;; ++spins) {
      if (state & kExclusive) {
        Wait(spins, kPatientSpins, state);
        state = state_.load(std::memory_order_relaxed);
      } else if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire)) {
        return;
      }
    }
  }

  // The same for background work. While one fault follows the other it begins right after faults
  // were read: the next are some time away then, and it does not meet them.
  void LockSharedInTurn() {
    const uint64_t start_ns = MonotonicNs();
    uint64_t now_ns = start_ns;
    uint32_t turns = turns_.load(std::memory_order_relaxed);
    while (turns == 0) {
      const uint64_t wait_ns = turns_apart_ns_.load(std::memory_order_relaxed);
      const uint64_t last_ns = last_turns_ns_.load(std::memory_order_relaxed);
      if (now_ns >= start_ns + wait_ns || now_ns > last_ns + wait_ns) break;
      __builtin_ia32_pause();
      now_ns = MonotonicNs();
      turns = turns_.load(std::memory_order_relaxed);
    }
    if (turns > 0) turns_.compare_exchange_strong(turns, turns - 1, std::memory_order_relaxed);
    LockShared();
  }

  void UnlockShared() {
    const uint32_t before = state_.fetch_sub(1);
    if (before == (kExclusive | 1)) WakeSleepers();
  }

  // `hot`: one fault follows the other, so the sharer has another CPU, and this one must not sleep.
  void LockExclusive(bool hot = false) {
    const int spins_max = hot ? kPatientSpins : kBriefSpins;
    uint32_t state = state_.fetch_or(kExclusive, std::memory_order_acquire) | kExclusive;
    for (int spins = 0; state != kExclusive; ++spins) {
      Wait(spins, spins_max, state);
      state = state_.load(std::memory_order_acquire);
    }
  }

  // `message_count` messages were read, if any, nearly always faults: serving them leaves time for
  // background work.
  void UnlockExclusive(size_t message_count = 0) {
    if (message_count > 0) {
      last_turns_ns_.store(MonotonicNs(), std::memory_order_relaxed);
      turns_apart_ns_.store(message_count * kTurnMaxNs, std::memory_order_relaxed);
      turns_.store(static_cast<uint32_t>(1 + message_count / 2), std::memory_order_relaxed);
    }
    state_.fetch_and(~kExclusive);
    WakeSleepers();
  }

 private:
  static constexpr uint32_t kExclusive = 1u << 31;
  // About 45 us, far longer than a read or a copy takes: to sleep would cost more than that.
  static constexpr int kPatientSpins = 1000;
  // About 12 us, as long as a copy of 32 KiB takes. Beyond that the other side may have lost its
  // CPU, perhaps to this very thread.
  static constexpr int kBriefSpins = 270;
  // Longest wait for a turn, for each fault read last: those that come less often are not met by
  // waiting for them.
  static constexpr uint64_t kTurnMaxNs = 30'000;

  void Wait(int spins, int spins_max, uint32_t state) {
    if (spins < spins_max) {
      __builtin_ia32_pause();
    } else {
      Sleep(state);
    }
  }

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
  std::atomic<uint32_t> turns_{0};  // left until faults are read again
  std::atomic<uint64_t> turns_apart_ns_{kTurnMaxNs};
  std::atomic<uint64_t> last_turns_ns_{0};
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_GATE_H_
