// How pages that a page server has get into an address space: asked for, awaited, delivered.
#include <algorithm>

#include "address_space.h"
#include "clock.h"
#include "remote_source.h"

namespace thaw {

// Hands claimed pages over to the page server's thread; where it takes none any more, they cannot
// be produced. Under the gate, or on the fault thread.
Outcome AddressSpace::Ask(const Extent& extent, uint32_t page, uint32_t page_count,
                          uint32_t fault_page) {
  const int error =
      plan_->source(extent.source)
          .remote()
          ->Ask({shared_from_this(), extent, page, page_count, fault_page, MonotonicNs()});
  if (error == 0) return Outcome::kAwaited;
  Unclaim(extent.page_index + page, page_count);
  return InstallRun(extent, {page, page_count, false, 0, error}, page, page + page_count,
                    &figures_->filled_pages);
}

Outcome AddressSpace::FillRemote(const Extent& extent, uint32_t page, uint32_t page_count,
                                 uint32_t* page_done) {
  if (!plan_->source(extent.source).remote()->HasRoom()) return Outcome::kAwaited;
  gate_.LockShared();
  Outcome outcome = retired() ? Outcome::kGone : Outcome::kDone;
  if (outcome == Outcome::kDone) {
    const uint32_t claimed = states_.ClaimRun(extent.page_index + page, page_count);
    *page_done = page + std::max(claimed, 1u);
    if (claimed > 0) outcome = Ask(extent, page, claimed, RemoteSource::kNoFault);
    if (outcome == Outcome::kAwaited) outcome = Outcome::kDone;
  }
  gate_.UnlockShared();
  return outcome;
}

Outcome AddressSpace::Deliver(const Extent& extent, const PageRun& run, bool demand, bool first) {
  gate_.LockShared();
  Outcome outcome = Outcome::kGone;
  if (!retired()) {
    Figures::Counter* const counter = demand ? &figures_->demand_pages : &figures_->filled_pages;
    outcome =
        first ? InstallAsked(extent, run, counter)
              : InstallRun(extent, run, run.first_page, run.first_page + run.page_count, counter);
  }
  gate_.UnlockShared();
  return outcome;
}

// Installs the pages of `run` that are still in flight: the target has let go of the others.
Outcome AddressSpace::InstallAsked(const Extent& extent, const PageRun& run,
                                   Figures::Counter* counter) {
  const uint32_t end = run.first_page + run.page_count;
  for (uint32_t page = run.first_page; page < end;) {
    const Translation runtime = map_.ToRuntime(extent.vaddr + page * kPageSize);
    const uint64_t reach =
        runtime.found ? std::min<uint64_t>(end - page, runtime.byte_length / kPageSize) : 0;
    uint32_t count = 0;
    while (count < reach && states_.Get(extent.page_index + page + count) == PageState::kInFlight) {
      ++count;
    }
    if (count == 0) {
      ++page;
      continue;
    }
    const Outcome outcome = InstallClaimed(extent, run, page, count, runtime.address, counter);
    page += count;
    if (outcome != Outcome::kDone) {
      Unclaim(extent.page_index + page, end - page);
      return outcome;
    }
  }
  return Outcome::kDone;
}

}  // namespace thaw
