// How pages get into an address space: for a fault, or by the fill.
#include <algorithm>
#include <cerrno>

#include "address_space.h"
#include "clock.h"
#include "kill_point.h"
#include "uffd.h"

namespace thaw {
namespace {

// Pages installed by background work before it lets the gate go: events are read in between.
constexpr uint32_t kGatePages = 16;
// The same for mapped pages in a calm. (Bytes that are read in larger pieces have left the cache
// before they are copied.)
constexpr uint32_t kCalmMappedPages = 64;

// Has the CPU fetch the bytes of a mapped run, so that the gate is held for a short copy. (Where a
// page is not there any more, a prefetch does nothing.)
void BringNear(const PageRun& run) {
  constexpr uint64_t kLineBytes = 64;
  const uint64_t end = run.source + run.page_count * kPageSize;
  for (uint64_t at = run.source; at < end; at += kLineBytes) {
    __builtin_prefetch(reinterpret_cast<const void*>(at));
  }
}

}  // namespace

Outcome AddressSpace::ServeFault(uint64_t vaddr, PageReader* reader, bool* in_order) {
  const Translation image = map_.ToImage(vaddr);
  if (!image.found) return ServeZero(vaddr, 1);
  const uint32_t first_page = plan_->FirstPageFrom(image.address);
  const auto are_present = [&](uint64_t count) {
    const uint32_t first =
        first_page - static_cast<uint32_t>(std::min<uint64_t>(count, first_page));
    return states_.FindMissing(first, first_page) == first_page;
  };
  // Nothing is installed, or asked for, that may not get in.
  const uint32_t page_count_max = ranges_ready() ? window_pages_max() : 1;
  const int64_t index = plan_->FindExtent(image.address);
  const bool is_data =
      index >= 0 && plan_->extent(static_cast<uint32_t>(index)).kind == kExtentData;
  const PageWindow window =
      window_.Decide(vaddr / kPageSize, page_count_max, is_data && fill_wanted(), are_present);
  *in_order = window.in_order;
  if (window.end - window.first > 1) Add(figures_->window_faults, 1);
  if (!is_data) {
    return ServeZero(vaddr, CountHolePages(image, window.end - vaddr / kPageSize));
  }
  return ServePage(plan_->extent(static_cast<uint32_t>(index)), vaddr, image, window, reader);
}

// Pages without stored bytes from `image` on.
uint32_t AddressSpace::CountHolePages(const Translation& image, uint64_t page_count_max) const {
  const uint64_t end = image.address + std::min(image.byte_length, page_count_max * kPageSize);
  for (uint32_t i = plan_->FirstExtentFrom(image.address); i < plan_->extent_count(); ++i) {
    const Extent extent = plan_->extent(i);
    if (extent.vaddr >= end) break;
    if (extent.kind != kExtentData) continue;
    return static_cast<uint32_t>((extent.vaddr - image.address) / kPageSize);
  }
  return static_cast<uint32_t>((end - image.address) / kPageSize);
}

Outcome AddressSpace::ServePage(const Extent& extent, uint64_t vaddr, const Translation& image,
                                const PageWindow& window, PageReader* reader) {
  const uint32_t page_index =
      extent.page_index + static_cast<uint32_t>((image.address - extent.vaddr) / kPageSize);
  if (retries_.MustWait(page_index)) return Outcome::kDeferred;
  // Longer work is nothing to wait for.
  if (window.end - window.first > 1) LetHeldGo();
  if (window.in_order && fill_wanted()) {
    const uint32_t end = page_index + static_cast<uint32_t>(window.end - vaddr / kPageSize);
    RunAhead(end, window.ahead, reader);
  }
  while (!states_.Claim(page_index)) {
    switch (states_.Get(page_index)) {
      case PageState::kMissing:
        continue;
      case PageState::kInFlight:
        Add(figures_->awaited_faults, 1);
        return Outcome::kAwaited;
      case PageState::kPoisoned:
        return ServePoisoned(vaddr);
      case PageState::kResident:
      case PageState::kRemoved:
        // Installed by the fill meanwhile (then it is present: EEXIST), or discarded by the target
        // since: then it is zero for ever.
        return ServeZero(vaddr, 1);
    }
  }
  const Outcome outcome = extent.block_pages == 0
                              ? ServeRaw(extent, vaddr, image, window, reader)
                              : ServeBlock(extent, vaddr, image, window, reader);
  CountCost(reader);
  return outcome;
}

// Brings in what a stream is about to need, while its thread waits: it would be back at once, and
// each time its CPU would have to be woken. The fill goes on behind that.
void AddressSpace::RunAhead(uint32_t first, uint32_t page_count, PageReader* reader) {
  const uint32_t end = std::min<uint64_t>(uint64_t{first} + page_count, plan_->data_page_count());
  if (end < plan_->data_page_count()) fill_cursor_.store(end, std::memory_order_relaxed);
  const FillStep step{kWindowPagesMax, Patience::kNoWait, &figures_->demand_pages};
  while (first < end && FillRange(first, end, step, reader, &first) == Outcome::kDone) {
  }
}

// One copy over every unclaimed page of the window, as far as extent and segment reach. The faulted
// page is claimed.
Outcome AddressSpace::ServeRaw(const Extent& extent, uint64_t vaddr, const Translation& image,
                               const PageWindow& window, PageReader* reader) {
  const uint64_t runtime_page = vaddr / kPageSize;
  const uint32_t page = static_cast<uint32_t>((image.address - extent.vaddr) / kPageSize);
  uint32_t first = page;
  const uint32_t first_min =
      page - static_cast<uint32_t>(
                 std::min<uint64_t>({runtime_page - window.first, page, image.before / kPageSize}));
  while (first > first_min && states_.Claim(extent.page_index + first - 1)) --first;
  const uint64_t after =
      std::min<uint64_t>({window.end - runtime_page - 1, extent.page_count - page - 1,
                          image.byte_length / kPageSize - 1});
  const uint32_t behind =
      states_.ClaimRun(extent.page_index + page + 1, static_cast<uint32_t>(after));
  const uint32_t count = page - first + 1 + behind;
  if (plan_->source(extent.source).remote() != nullptr) return Ask(extent, first, count, page);
  PageRun run = reader->Read(*plan_, extent, first, count, Patience::kNoWait);
  if (run.page_count == count && run.error != EAGAIN) {
    if (holds_wakes_ && count == 1) run.held = &held_;
    return InstallClaimed(extent, run, first, count, vaddr - (page - first) * kPageSize,
                          &figures_->demand_pages);
  }
  // Something in the window cannot be read, or not at once: then the faulted page alone.
  Unclaim(extent.page_index + first, page - first);
  Unclaim(extent.page_index + page + 1, behind);
  const PageRun alone = reader->Read(*plan_, extent, page, 1, Patience::kNoWait);
  if (alone.error == EAGAIN) {
    Unclaim(extent.page_index + page, 1);
    return Outcome::kWouldWait;
  }
  return InstallClaimed(extent, alone, page, 1, vaddr, &figures_->demand_pages);
}

// The faulted page, which is claimed, first; the rest of what was decoded with it afterwards.
Outcome AddressSpace::ServeBlock(const Extent& extent, uint64_t vaddr, const Translation& image,
                                 const PageWindow& window, PageReader* reader) {
  const uint32_t page = static_cast<uint32_t>((image.address - extent.vaddr) / kPageSize);
  const uint32_t ahead = static_cast<uint32_t>(window.end - vaddr / kPageSize);
  PageRun run = reader->Read(*plan_, extent, page, ahead, Patience::kNoWait);
  if (run.error == EAGAIN) {
    Unclaim(extent.page_index + page, 1);
    return Outcome::kWouldWait;
  }
  if (holds_wakes_ && run.page_count == 1) run.held = &held_;
  const Outcome outcome = InstallClaimed(extent, run, page, 1, vaddr, &figures_->demand_pages);
  if (outcome != Outcome::kDone || run.error != 0) return outcome;
  const Outcome rest = InstallRun(extent, run, run.first_page, run.first_page + run.page_count,
                                  &figures_->demand_pages);
  return rest == Outcome::kGone ? Outcome::kGone : Outcome::kDone;
}

Outcome AddressSpace::ServeColdFault(uint64_t vaddr, PageReader* reader) {
  gate_.LockShared();
  const Translation image = map_.ToImage(vaddr);
  gate_.UnlockShared();
  Outcome outcome = Outcome::kNothing;
  if (image.found) {
    const uint32_t first = plan_->FirstPageFrom(image.address);
    uint32_t next;
    outcome =
        FillRange(first, first + 1, {1, Patience::kWait, &figures_->demand_pages}, reader, &next);
  }
  if (outcome == Outcome::kDeferred) return outcome;
  // Others may have settled it, or moved it away: whoever waits has to look again.
  WakeUnlessRetired(PageRange(vaddr, 1));
  return outcome;
}

// `page_count` pages: none of them has stored bytes, or the one has been dealt with.
Outcome AddressSpace::ServeZero(uint64_t vaddr, uint32_t page_count) {
  const uffd::Result result = uffd::Zeropage(uffd_.get(), PageRange(vaddr, page_count));
  // Present pages behind the first end the run early: that is enough.
  if (result.bytes > 0) {
    Add(figures_->zeroed_pages, result.bytes / kPageSize);
    return Outcome::kNothing;
  }
  switch (result.error) {
    case EAGAIN:
    case ENOMEM:
      return Outcome::kDeferred;
    case ESRCH:
      return Outcome::kGone;
    default:
      // A run that crosses the border of a VMA (ENOENT) says nothing of its first page.
      if (page_count > 1) return ServeZero(vaddr, 1);
      // Present already (EEXIST), or not registered any more: the thread only has to look again.
      uffd::Wake(uffd_.get(), PageRange(vaddr, 1));
      return Outcome::kNothing;
  }
}

// Where addresses reach the next multiple of `batch_pages`, behind data page `first`.
uint32_t AddressSpace::EndOfBatch(uint32_t first, uint32_t batch_pages) const {
  const Extent extent = plan_->extent(plan_->FindExtentOfPage(first));
  const uint64_t number = extent.vaddr / kPageSize + first - extent.page_index;
  const auto count = static_cast<uint32_t>(batch_pages - number % batch_pages);
  return std::min(first + count, plan_->data_page_count());
}

Outcome AddressSpace::FillNext(uint32_t piece_pages, uint32_t batch_pages, Patience patience,
                               const FaultPace& pace, PageReader* reader) {
  const uint32_t count = plan_->data_page_count();
  uint32_t cursor = fill_cursor_.load(std::memory_order_relaxed);
  uint32_t first, end;
  do {
    if (retired()) return Outcome::kGone;
    // Not under the gate: a page state that is out of date costs one turn.
    first = states_.FindMissing(cursor, count);
    if (first == count) first = states_.FindMissing(0, cursor);
    if (first == count || states_.Get(first) != PageState::kMissing) return Outcome::kNothing;
    end = batch_pages > piece_pages ? EndOfBatch(first, batch_pages)
                                    : std::min(first + batch_pages, count);
    // Taken, so that fillers do not meet.
  } while (!fill_cursor_.compare_exchange_strong(cursor, end));
  const bool many = batch_pages > piece_pages;
  HeldWake held;
  FillStep step{piece_pages, patience, &figures_->filled_pages, true};
  if (many) step.held = &held;
  bool done = false;
  Outcome outcome;
  uint32_t before;
  do {
    before = first;
    outcome = FillPiece(first, end, step, reader, &first);
    done = done || outcome == Outcome::kDone;
    // Pages that have to wait for a retry are passed over.
  } while (first < end && first > before && outcome != Outcome::kGone &&
           (!many || pace.IsCalm(MonotonicNs())));
  if (!held.empty()) WakeUnlessRetired(held.range());
  return done && outcome != Outcome::kGone ? Outcome::kDone : outcome;
}

void AddressSpace::WakeHeld() {
  holds_wakes_ = false;
  LetHeldGo();
}

void AddressSpace::LetHeldGo() {
  if (!held_.empty()) WakeUnlessRetired(held_.range());
  held_ = {};
}

void AddressSpace::WakeUnlessRetired(abi::Range range) {
  gate_.LockShared();
  if (!retired()) uffd::Wake(uffd_.get(), range);
  gate_.UnlockShared();
}

Outcome AddressSpace::Fill(uint32_t first, uint32_t end, uint32_t page_count_max, Patience patience,
                           PageReader* reader, uint32_t* next) {
  const FillStep step{page_count_max, patience, &figures_->filled_pages, true};
  return FillPiece(first, end, step, reader, next);
}

Outcome AddressSpace::FillPiece(uint32_t first, uint32_t end, const FillStep& step,
                                PageReader* reader, uint32_t* next) {
  const uint64_t start_ns = MonotonicNs();
  const Outcome outcome = FillRange(first, end, step, reader, next);
  Add(figures_->fill_ns, MonotonicNs() - start_ns);
  return outcome;
}

Outcome AddressSpace::FillRange(uint32_t first, uint32_t end, const FillStep& step,
                                PageReader* reader, uint32_t* next) {
  *next = first = states_.FindMissing(first, end);
  if (first >= end) return Outcome::kNothing;
  const Extent extent = plan_->extent(plan_->FindExtentOfPage(first));
  const uint32_t page = first - extent.page_index;
  const uint32_t count = std::min({step.page_count_max, end - first, extent.page_count - page});
  if (plan_->source(extent.source).remote() != nullptr) {
    uint32_t page_done = page;
    const Outcome outcome = FillRemote(extent, page, count, &page_done);
    *next = extent.page_index + page_done;
    return outcome;
  }
  if (retries_.MustWait(first)) {
    *next = first + 1;
    return Outcome::kDeferred;
  }
  PageRun run;
  if (step.held != nullptr) {
    const uint32_t most = std::min({kCalmMappedPages, end - first, extent.page_count - page});
    run = reader->FindMapped(*plan_, extent, page, most);
  }
  const uint32_t gate_pages = run.mapped ? kCalmMappedPages : kGatePages;
  if (!run.mapped) run = reader->Read(*plan_, extent, page, count, step.patience);
  CountCost(reader);
  if (run.error == EAGAIN) return Outcome::kWouldWait;
  run.held = step.held;
  if (step.in_turn && run.mapped && run.page_count <= kGatePages) BringNear(run);
  const uint32_t run_end = run.first_page + run.page_count;
  for (uint32_t at = run.first_page; at < run_end; at += gate_pages) {
    const uint32_t to = std::min(at + gate_pages, run_end);
    step.in_turn ? gate_.LockSharedInTurn() : gate_.LockShared();
    const Outcome outcome =
        retired() ? Outcome::kGone : InstallRun(extent, run, at, to, step.counter);
    gate_.UnlockShared();
    if (outcome != Outcome::kDone) return outcome;
  }
  *next = extent.page_index + run_end;
  return Outcome::kDone;
}

void AddressSpace::CountCost(PageReader* reader) {
  const ReadCost cost = reader->TakeCost();
  if (cost.raw_bytes > 0) Add(figures_->raw_bytes, cost.raw_bytes);
  if (cost.lz4_bytes > 0) Add(figures_->lz4_bytes, cost.lz4_bytes);
  if (cost.decode_ns > 0) Add(figures_->decode_ns, cost.decode_ns);
  if (cost.stalled_ns > 0) Add(figures_->stalled_ns, cost.stalled_ns);
}

// Claims and installs what is still missing of pages [first, end) of `extent`, which `run` holds.
Outcome AddressSpace::InstallRun(const Extent& extent, const PageRun& run, uint32_t first,
                                 uint32_t end, Figures::Counter* counter) {
  for (uint32_t page = first; page < end;) {
    const uint64_t image_vaddr = extent.vaddr + page * kPageSize;
    const Translation runtime = map_.ToRuntime(image_vaddr);
    if (!runtime.found) {
      ++page;  // unmapped by the target: its state says removed
      continue;
    }
    const uint64_t reach = std::min<uint64_t>(end - page, runtime.byte_length / kPageSize);
    const uint32_t count = states_.ClaimRun(extent.page_index + page, static_cast<uint32_t>(reach));
    if (count == 0) {
      ++page;
      continue;
    }
    const Outcome outcome = InstallClaimed(extent, run, page, count, runtime.address, counter);
    if (outcome == Outcome::kDeferred) {
      // Given back: a fault that came meanwhile was told to wait for this copy.
      uffd::Wake(uffd_.get(), PageRange(runtime.address, count));
    }
    if (outcome != Outcome::kDone) return outcome;
    page += count;
  }
  return Outcome::kDone;
}

// Installs `page_count` claimed pages of `run` from `page` of `extent` on at `vaddr`, and poisons
// those that cannot be produced. Whatever is not settled is given back.
Outcome AddressSpace::InstallClaimed(const Extent& extent, const PageRun& run, uint32_t page,
                                     uint32_t page_count, uint64_t vaddr,
                                     Figures::Counter* counter) {
  if (IsPutOff(extent, run, vaddr)) {
    Unclaim(extent.page_index + page, page_count);
    return Outcome::kDeferred;
  }
  uint32_t limit = page_count;  // pages a call; 1 after the border of a VMA or the file's end
  int error = run.error;        // why pages are poisoned; 0: they are installed
  while (page_count > 0) {
    // An error that is not the run's own is that of one page.
    const uint32_t wanted = error != run.error ? 1 : std::min(limit, page_count);
    THAW_KILL_POINT(kClaimed);
    const uffd::Result result = Install(extent, run, page, PageRange(vaddr, wanted), error);
    THAW_KILL_POINT(kInstalled);
    const uint32_t page_index = extent.page_index + page;
    uint32_t settled = static_cast<uint32_t>(result.bytes / kPageSize);
    if (settled > 0 && error == 0) Settle(page_index, settled, PageState::kResident, counter);
    if (settled > 0 && error != 0) FailPages(extent, page, settled, vaddr, error, true);
    if (settled == 0) {
      switch (result.error) {
        case EEXIST:
          settled = SettleOne(page_index, vaddr, PageState::kResident, &figures_->present_pages);
          break;
        case ENOENT:
          if (wanted > 1) {
            limit = 1;
            continue;
          }
          if (!ranges_ready()) {
            Unclaim(page_index, page_count);
            return Outcome::kDeferred;
          }
          // Not mapped or not registered, and no event about it came: the page cannot get there,
          // and whoever set the ranges up has to know.
          RecordError(
              {vaddr, 1, extent.source, ENOENT, plan_->OffsetOf(extent, page), ErrorAction::kNone});
          settled = SettleOne(page_index, vaddr, PageState::kRemoved, &figures_->removed_pages);
          break;
        case ESRCH:
          Unclaim(page_index, page_count);
          return Outcome::kGone;
        case EAGAIN:
        case ENOMEM:
          Unclaim(page_index, page_count);
          return Outcome::kDeferred;
        default:
          if (run.mapped) {
            // To be read instead, which tells why.
            plan_->source(extent.source).GiveMappingUp();
            Unclaim(page_index, page_count);
            return Outcome::kDeferred;
          }
          if (error == 0) {
            error = result.error;
            continue;
          }
          settled = wanted;
          FailPages(extent, page, settled, vaddr, error, false);
          break;
      }
    }
    error = run.error;
    page += settled;
    page_count -= settled;
    vaddr += settled * kPageSize;
  }
  return Outcome::kDone;
}

// One attempt at pages of `run` from `page` of `extent` on; `error`, unless 0, poisons them.
uffd::Result AddressSpace::Install(const Extent& extent, const PageRun& run, uint32_t page,
                                   abi::Range range, int error) const {
  // Never zeros, never a hang: a touch of these pages is SIGBUS from now on.
  if (error != 0) return uffd::Poison(uffd_.get(), range, abi::kPoisonDontWake);
  if (run.zero) return uffd::Zeropage(uffd_.get(), range);
  if (run.held != nullptr) run.held->Add(range.start, range.length);
  return uffd::Copy(uffd_.get(), range.start, run.source + (page - run.first_page) * kPageSize,
                    range.length, run.held != nullptr ? abi::kCopyDontWake : 0);
}

void AddressSpace::Settle(uint32_t page_index, uint32_t page_count, PageState state,
                          Figures::Counter* counter) {
  if (page_count == 0) return;
  for (uint32_t i = 0; i < page_count; ++i) states_.Exchange(page_index + i, state);
  Add(*counter, page_count);
  figures_->missing_pages.fetch_sub(page_count);
}

void AddressSpace::Unclaim(uint32_t page_index, uint32_t page_count) {
  for (uint32_t i = 0; i < page_count; ++i) {
    states_.Change(page_index + i, PageState::kInFlight, PageState::kMissing);
  }
}

// A page that is not as expected: its thread has to look again. Returns 1, the pages settled.
uint32_t AddressSpace::SettleOne(uint32_t page_index, uint64_t vaddr, PageState state,
                                 Figures::Counter* counter) {
  Settle(page_index, 1, state, counter);
  uffd::Wake(uffd_.get(), PageRange(vaddr, 1));
  return 1;
}

}  // namespace thaw
