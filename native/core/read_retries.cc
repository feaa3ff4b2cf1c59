#include "read_retries.h"

#include <algorithm>
#include <cerrno>

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

ReadRetries::Verdict ReadRetries::Judge(const PageSource& source, uint32_t first, uint32_t count,
                                        int error) {
  const bool may_pass = MayPass(error) && source.remote() == nullptr;
  if (!may_pass && !any_.load(std::memory_order_acquire)) return Verdict::kSettle;
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool had_any = !stalls_.empty();
  if (may_pass) {
    const uint64_t now_ns = MonotonicNs();
    const uint64_t since_ns = std::min(now_ns, source.failing_since_ns());
    const auto [stall, is_new] = stalls_.try_emplace(first, Stall{count, since_ns, 0, kPauseMinNs});
    if (now_ns - stall->second.since_ns < kLimitNs) {
      stall->second.due_ns = now_ns + stall->second.pause_ns;
      stall->second.pause_ns = std::min(stall->second.pause_ns * 2, kPauseMaxNs);
      any_.store(true, std::memory_order_release);
      return had_any ? Verdict::kRetry : Verdict::kStalled;
    }
  }
  stalls_.erase(stalls_.lower_bound(first), stalls_.lower_bound(first + count));
  any_.store(!stalls_.empty(), std::memory_order_release);
  return had_any && stalls_.empty() ? Verdict::kResumed : Verdict::kSettle;
}

}  // namespace thaw
