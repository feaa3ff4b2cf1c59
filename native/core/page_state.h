// One byte of state for every data page of a plan: who may install it, and whether it is in.
//
//   missing -> in flight (claimed by one thread) -> resident
//                                                -> poisoned
//   any but resident -> removed (the target discarded or unmapped it: zero for ever)
//
// Thread-safety: all transitions are atomic; a claim belongs to the thread whose Claim succeeded.
// The bytes stand in the arena, so that they outlive the process that serves.
#ifndef THAW_NATIVE_CORE_PAGE_STATE_H_
#define THAW_NATIVE_CORE_PAGE_STATE_H_

#include <atomic>
#include <cstdint>

namespace thaw {

enum class PageState : uint8_t {
  kMissing = 0,
  kInFlight = 1,
  kResident = 2,
  kRemoved = 3,
  kPoisoned = 4,
};

class PageStates {
 public:
  PageStates() = default;
  explicit PageStates(uint8_t* bytes) : bytes_(reinterpret_cast<std::atomic<PageState>*>(bytes)) {
    static_assert(sizeof(std::atomic<PageState>) == 1);
  }

  PageState Get(uint32_t page) const { return bytes_[page].load(std::memory_order_acquire); }

  // The first missing page in [first, end), or `end`.
  uint32_t FindMissing(uint32_t first, uint32_t end) const {
    while (first < end && bytes_[first].load(std::memory_order_relaxed) != PageState::kMissing) {
      ++first;
    }
    return first;
  }

  // missing -> in flight. True for exactly one of those who try.
  bool Claim(uint32_t page) { return Change(page, PageState::kMissing, PageState::kInFlight); }

  // Claims pages from `page` on, at most `count_max`, and stops at the first that is not missing.
  uint32_t ClaimRun(uint32_t page, uint32_t count_max) {
    uint32_t count = 0;
    while (count < count_max && Claim(page + count)) ++count;
    return count;
  }

  // Changes `from` to `to`; false when the page is in another state by now.
  bool Change(uint32_t page, PageState from, PageState to) {
    return bytes_[page].compare_exchange_strong(from, to, std::memory_order_acq_rel);
  }

  // Any state -> `to`; returns the state before.
  PageState Exchange(uint32_t page, PageState to) {
    return bytes_[page].exchange(to, std::memory_order_acq_rel);
  }

 private:
  std::atomic<PageState>* bytes_ = nullptr;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_PAGE_STATE_H_
