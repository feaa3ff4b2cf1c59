#include "read_retries.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "clock.h"

namespace thaw {
namespace {

bool MayPass(int error) { return error == EIO || error == ENOMEM; }

}  // namespace

bool ReadRetries::MustWait(uint32_t page) const {
  if (!any_.load(std::memory_order_acquire)) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto after = stalls_.upper_bound(page);
  if (after == stalls_.begin()) return false;
  const auto& [first, stall] = *std::prev(after);
  return page < first + stall.page_count && MonotonicNs() < stall.due_ns;
}

void ReadRetries::Bind(std::atomic<uint64_t>* since_ns) {
  since_ns_ = since_ns;
  inherited_ns_ = since_ns->load();
  told_ = inherited_ns_ != 0;
  any_ = told_;
}

// The stall of a block whose read has failed.
ReadRetries::Stall* ReadRetries::Begin(const PageSource& source, uint32_t first, uint32_t count,
                                       uint64_t now_ns) {
  const auto [stall, is_new] = stalls_.try_emplace(first, Stall{count, now_ns, 0, kPauseMinNs});
  if (!is_new) return &stall->second;
  uint64_t* const since_ns = &stall->second.since_ns;
  *since_ns = std::min(*since_ns, source.failing_since_ns());
  if (inherited_ns_ != 0 && now_ns - inherited_ns_ < kForgetNs) {
    *since_ns = std::min(*since_ns, inherited_ns_);
  }
  const uint64_t recorded_ns = since_ns_->load();
  if (recorded_ns == 0 || now_ns - recorded_ns >= kForgetNs) since_ns_->store(*since_ns);
  return &stall->second;
}

ReadRetries::Verdict ReadRetries::Judge(const PageSource& source, uint32_t first, uint32_t count,
                                        int error) {
  const bool may_pass = MayPass(error) && source.remote() == nullptr;
  if (!may_pass && !any_.load(std::memory_order_acquire)) return Verdict::kSettle;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (may_pass) {
    const uint64_t now_ns = MonotonicNs();
    Stall* const stall = Begin(source, first, count, now_ns);
    if (now_ns - stall->since_ns < kLimitNs) {
      stall->due_ns = now_ns + stall->pause_ns;
      stall->pause_ns = std::min(stall->pause_ns * 2, kPauseMaxNs);
      any_.store(true, std::memory_order_release);
      return std::exchange(told_, true) ? Verdict::kRetry : Verdict::kStalled;
    }
  }
  stalls_.erase(stalls_.lower_bound(first), stalls_.lower_bound(first + count));
  any_.store(!stalls_.empty(), std::memory_order_release);
  if (!stalls_.empty()) return Verdict::kSettle;
  since_ns_->store(0);
  return std::exchange(told_, false) ? Verdict::kResumed : Verdict::kSettle;
}

}  // namespace thaw
