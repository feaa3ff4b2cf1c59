// What becomes of pages that cannot be produced, and of reads that failed for a while.
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>

#include "address_space.h"
#include "syscall.h"
#include "uffd.h"

namespace thaw {

// Whether what has to be read for `run` is to be tried again later.
bool AddressSpace::IsPutOff(const Extent& extent, const PageRun& run, uint64_t vaddr) {
  const uint32_t first = extent.page_index + run.first_page;
  const ReadRetries::Verdict verdict =
      retries_.Judge(plan_->source(extent.source), first, run.page_count, run.error);
  const auto tell = [&](ErrorAction action) {
    RecordError({vaddr, run.page_count, extent.source, run.error,
                 plan_->OffsetOf(extent, run.first_page), action});
  };
  if (verdict == ReadRetries::Verdict::kStalled) tell(ErrorAction::kRetrying);
  if (verdict == ReadRetries::Verdict::kResumed) tell(ErrorAction::kResumed);
  return verdict == ReadRetries::Verdict::kRetry || verdict == ReadRetries::Verdict::kStalled;
}

// What the policy asks for, and what a kernel without UFFDIO_POISON (before 6.6) leaves: to stop
// the process before it sees anything wrong.
ErrorAction AddressSpace::ActOnError(bool poisoned) const {
  int signal = 0;
  if (on_error() == OnError::kKill) {
    signal = SIGKILL;
  } else if (on_error() == OnError::kStop || !poisoned) {
    signal = SIGSTOP;
  }
  const bool sent = signal != 0 && pidfd_.valid() &&
                    Syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, 0, 0) == 0;
  if (!sent) return poisoned ? ErrorAction::kPoisoned : ErrorAction::kHeld;
  return signal == SIGKILL ? ErrorAction::kKilled : ErrorAction::kStopped;
}

// A touch of a page that could not be produced, which raced with its poisoning or cannot be
// poisoned.
Outcome AddressSpace::ServePoisoned(uint64_t vaddr) {
  if (record_->cannot_poison) {
    ActOnError(false);
    return Outcome::kDone;
  }
  if (uffd::Poison(uffd_.get(), PageRange(vaddr, 1)).error == EAGAIN) return Outcome::kDeferred;
  uffd::Wake(uffd_.get(), PageRange(vaddr, 1));
  return Outcome::kDone;
}

// Neighbours with the same failure become one.
void AddressSpace::RecordError(const PageError& error) {
  const std::lock_guard<std::mutex> lock(errors_mutex_);
  const uint32_t count = record_->error_count;
  // Not only the last one: several threads fill.
  for (uint32_t i = errors_told_; i < count; ++i) {
    PageError& before = record_->errors[i];
    if (before.error != error.error || before.source != error.source) continue;
    if (before.action != error.action) continue;
    if (before.vaddr + before.page_count * kPageSize != error.vaddr) continue;
    before.page_count += error.page_count;
    return;
  }
  if (count == kErrorsMax) return;
  record_->errors[count] = error;
  record_->error_count.store(count + 1, std::memory_order_release);
}

// Waiting threads are woken last, so that whoever sees a touch fail finds the reason in the
// figures, and a process that is to stop has stopped.
void AddressSpace::FailPages(const Extent& extent, uint32_t page, uint32_t page_count,
                             uint64_t vaddr, int error, bool poisoned) {
  if (!poisoned) record_->cannot_poison = true;
  RecordError({vaddr, page_count, extent.source, error, plan_->OffsetOf(extent, page),
               ActOnError(poisoned)});
  const uint32_t page_index = extent.page_index + page;
  if (poisoned) {
    Settle(page_index, page_count, PageState::kPoisoned, &figures_->poisoned_pages);
    uffd::Wake(uffd_.get(), PageRange(vaddr, page_count));
    return;
  }
  // They stay missing, and nobody is woken: once the uffd is closed they would read as zeros.
  for (uint32_t i = 0; i < page_count; ++i) {
    states_.Exchange(page_index + i, PageState::kPoisoned);
  }
  Add(figures_->poisoned_pages, page_count);
}

RefusedFork AddressSpace::RefuseFork() const {
  std::vector<bool> missing(plan_->data_page_count());
  for (uint32_t page = 0; page < missing.size(); ++page) {
    const PageState state = states_.Get(page);
    missing[page] = state == PageState::kMissing || state == PageState::kInFlight;
  }
  return RefusedFork(plan_.get(), map_, std::move(missing));
}

}  // namespace thaw
