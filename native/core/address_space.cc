#include "address_space.h"

#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "clock.h"
#include "syscall.h"
#include "uffd.h"

namespace thaw {
namespace {

// Failures kept for the control plane; more of them only count.
constexpr size_t kErrorsMax = 1024;

// Where a probe looks in a target without regions: above every mmap_min_addr, below user space's
// end.
constexpr uint64_t kAnyVaddr = uint64_t{1} << 30;

// An address of this process that no copy can read from.
uint64_t UnreadableVaddr() {
  static const void* const page =
      ::mmap(nullptr, kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return reinterpret_cast<uint64_t>(page);
}

abi::Range PageRange(uint64_t vaddr, uint32_t page_count) {
  return {vaddr, page_count * kPageSize};
}

}  // namespace

AddressSpace::AddressSpace(uint64_t id, Fd uffd, Fd pidfd, std::shared_ptr<const Plan> plan,
                           Arena* arena)
    : id_(id),
      origin_(id),
      uffd_(std::move(uffd)),
      pidfd_(std::move(pidfd)),
      plan_(std::move(plan)),
      arena_(arena) {}

bool AddressSpace::TakeMemory() {
  figures_ = arena_->TakeFigures(&figures_slot_);
  if (figures_ == nullptr) return false;
  state_bytes_ = arena_->Allocate(std::max<uint64_t>(plan_->data_page_count(), 1));
  if (state_bytes_ == nullptr) return false;
  states_ = PageStates(state_bytes_);
  figures_->data_pages = plan_->data_page_count();
  figures_->missing_pages = plan_->data_page_count();
  figures_->started_ns = MonotonicNs();
  figures_->state = static_cast<uint64_t>(TargetState::kServing);
  return true;
}

void AddressSpace::ReleaseStates() {
  if (state_bytes_ == nullptr) return;
  arena_->Release(state_bytes_, std::max<uint64_t>(plan_->data_page_count(), 1));
  state_bytes_ = nullptr;
}

AddressSpace::~AddressSpace() {
  ReleaseStates();
  if (figures_ != nullptr) arena_->ReleaseFigures(figures_slot_);
}

std::shared_ptr<AddressSpace> AddressSpace::Create(uint64_t id, Fd uffd, Fd pidfd,
                                                   std::shared_ptr<const Plan> plan, Arena* arena) {
  std::shared_ptr<AddressSpace> space(
      new AddressSpace(id, std::move(uffd), std::move(pidfd), std::move(plan), arena));
  if (!space->TakeMemory()) return nullptr;
  for (uint32_t i = 0; i < space->plan_->region_count(); ++i) {
    space->map_.Insert(space->plan_->region_start(i), space->plan_->region_end(i));
  }
  return space;
}

std::shared_ptr<AddressSpace> AddressSpace::Fork(uint64_t id, Fd uffd) const {
  std::shared_ptr<AddressSpace> child(new AddressSpace(id, std::move(uffd), Fd(), plan_, arena_));
  if (!child->TakeMemory()) return nullptr;
  child->origin_ = origin_;
  child->map_ = map_;
  child->set_ranges_ready(ranges_ready());
  if (fill_wanted()) child->want_fill();
  for (uint32_t page = 0; page < plan_->data_page_count(); ++page) {
    const PageState state = states_.Get(page);
    if (state == PageState::kMissing || state == PageState::kInFlight) continue;
    child->states_.Exchange(page, state);
    child->figures_->missing_pages.fetch_sub(1);
  }
  return child;
}

Outcome AddressSpace::ServeFault(uint64_t vaddr, bool window, PageReader* reader) {
  const Translation image = map_.ToImage(vaddr);
  const int64_t index = image.found ? plan_->FindExtent(image.address) : -1;
  if (index < 0) return ServeZero(vaddr);
  const Extent extent = plan_->extent(static_cast<uint32_t>(index));
  if (extent.kind != kExtentData) return ServeZero(vaddr);
  const uint32_t page_index =
      extent.page_index + static_cast<uint32_t>((image.address - extent.vaddr) / kPageSize);
  if (states_.Claim(page_index)) return ServeData(extent, vaddr, image, window, reader);
  switch (states_.Get(page_index)) {
    case PageState::kMissing:
    case PageState::kInFlight:
      return Outcome::kDeferred;
    case PageState::kPoisoned:
      uffd::Poison(uffd_.get(), PageRange(vaddr, 1));
      uffd::Wake(uffd_.get(), PageRange(vaddr, 1));
      return Outcome::kDone;
    case PageState::kResident:
    case PageState::kRemoved:
      break;
  }
  // Installed by the fill meanwhile (then it is present: EEXIST), or discarded by the target since:
  // then it is zero for ever.
  return ServeZero(vaddr);
}

// The faulted page is claimed.
Outcome AddressSpace::ServeData(const Extent& extent, uint64_t vaddr, const Translation& image,
                                bool window, PageReader* reader) {
  const uint64_t runtime_page = vaddr / kPageSize;
  const PageWindow wanted =
      window ? window_.Decide(runtime_page) : PageWindow{runtime_page, runtime_page + 1};
  const uint32_t page = static_cast<uint32_t>((image.address - extent.vaddr) / kPageSize);
  if (extent.block_pages != 0) {
    // The faulted page first; the rest of what was decoded with it afterwards.
    const PageRun run =
        reader->Read(*plan_, extent, page, static_cast<uint32_t>(wanted.end - runtime_page));
    const Outcome outcome = InstallClaimed(extent, run, page, 1, vaddr, &figures_->demand_pages);
    if (outcome != Outcome::kDone || run.error != 0) return outcome;
    return InstallRun(extent, run, &figures_->demand_pages) == Outcome::kGone ? Outcome::kGone
                                                                              : Outcome::kDone;
  }
  // One copy over every unclaimed page of the window, as far as extent and segment reach.
  uint32_t first = page;
  const uint32_t first_min =
      page - static_cast<uint32_t>(
                 std::min<uint64_t>({runtime_page - wanted.first, page, image.before / kPageSize}));
  while (first > first_min && states_.Claim(extent.page_index + first - 1)) --first;
  const uint64_t after =
      std::min<uint64_t>({wanted.end - runtime_page - 1, extent.page_count - page - 1,
                          image.byte_length / kPageSize - 1});
  const uint32_t behind =
      states_.ClaimRun(extent.page_index + page + 1, static_cast<uint32_t>(after));
  const PageRun run = reader->Read(*plan_, extent, first, page - first + 1 + behind);
  return InstallClaimed(extent, run, first, run.page_count, vaddr - (page - first) * kPageSize,
                        &figures_->demand_pages);
}

Outcome AddressSpace::ServeZero(uint64_t vaddr) {
  const uffd::Result result = uffd::Zeropage(uffd_.get(), PageRange(vaddr, 1));
  switch (result.error) {
    case 0:
      Add(figures_->zeroed_pages, 1);
      return Outcome::kDone;
    case EAGAIN:
      return Outcome::kDeferred;
    case ESRCH:
      return Outcome::kGone;
    default:
      // Present already (EEXIST), or not registered any more (ENOENT): the thread only has to look
      // again.
      uffd::Wake(uffd_.get(), PageRange(vaddr, 1));
      return Outcome::kDone;
  }
}

Outcome AddressSpace::Fill(const Extent& extent, uint32_t page, uint32_t page_count_max,
                           PageReader* reader, uint32_t* page_done) {
  const PageRun run = reader->Read(*plan_, extent, page, page_count_max);
  *page_done = run.first_page + run.page_count;
  if (extent.block_pages == 0) {
    plan_->source(extent.source)
        .Populate(extent.file_offset + run.first_page * kPageSize, run.page_count * kPageSize);
  }
  gate_.LockShared();
  const Outcome outcome =
      retired() ? Outcome::kGone : InstallRun(extent, run, &figures_->filled_pages);
  gate_.UnlockShared();
  return outcome;
}

// Claims and installs what is still missing of `run`.
Outcome AddressSpace::InstallRun(const Extent& extent, const PageRun& run,
                                 Figures::Counter* counter) {
  const uint32_t end = run.first_page + run.page_count;
  for (uint32_t page = run.first_page; page < end;) {
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
    if (outcome != Outcome::kDone) return outcome;
    page += count;
  }
  return Outcome::kDone;
}

// Installs `page_count` claimed pages of `run` from `page` of `extent` on at `vaddr`. Whatever is
// not installed is given back.
Outcome AddressSpace::InstallClaimed(const Extent& extent, const PageRun& run, uint32_t page,
                                     uint32_t page_count, uint64_t vaddr,
                                     Figures::Counter* counter) {
  if (run.error != 0) {
    return PoisonClaimed(extent, page, page_count, vaddr, run.error);
  }
  uint32_t limit = page_count;  // pages a call; 1 after the border of a VMA or the file's end
  while (page_count > 0) {
    const uint32_t wanted = std::min(limit, page_count);
    const abi::Range range = PageRange(vaddr, wanted);
    const bool held =
        run.zero || extent.block_pages != 0 ||
        plan_->source(extent.source).Holds(extent.file_offset + page * kPageSize, range.length);
    if (!held && wanted > 1) {
      limit = 1;
      continue;
    }
    const uint64_t source = run.source + (page - run.first_page) * kPageSize;
    const uffd::Result result = !held      ? uffd::Result{0, ENODATA}
                                : run.zero ? uffd::Zeropage(uffd_.get(), range)
                                           : uffd::Copy(uffd_.get(), vaddr, source, range.length);
    const uint32_t page_index = extent.page_index + page;
    uint32_t settled = static_cast<uint32_t>(result.bytes / kPageSize);
    Settle(page_index, settled, PageState::kResident, counter);
    if (result.bytes == 0) {
      switch (result.error) {
        case EEXIST:
          Settle(page_index, 1, PageState::kResident, &figures_->present_pages);
          uffd::Wake(uffd_.get(), PageRange(vaddr, 1));
          settled = 1;
          break;
        case ENOENT:
          if (wanted > 1) {
            limit = 1;
            break;
          }
          if (!ranges_ready()) {
            Unclaim(page_index, page_count);
            return Outcome::kDeferred;
          }
          // Not mapped or not registered any more, and no event about it is unread: nothing of ours
          // belongs there.
          Settle(page_index, 1, PageState::kRemoved, &figures_->removed_pages);
          uffd::Wake(uffd_.get(), PageRange(vaddr, 1));
          settled = 1;
          break;
        case ESRCH:
          Unclaim(page_index, page_count);
          return Outcome::kGone;
        case EAGAIN:
        case ENOMEM:
          Unclaim(page_index, page_count);
          return Outcome::kDeferred;
        default:
          if (const Outcome outcome = PoisonClaimed(extent, page, 1, vaddr, result.error);
              outcome != Outcome::kDone) {
            Unclaim(page_index, page_count);
            return outcome;
          }
          settled = 1;
          break;
      }
    }
    page += settled;
    page_count -= settled;
    vaddr += settled * kPageSize;
  }
  return Outcome::kDone;
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

// Never zeros, never a hang: a touch of these pages is SIGBUS from now on. Waiting threads are
// woken last, so that whoever sees a touch fail finds the reason in the figures.
Outcome AddressSpace::PoisonClaimed(const Extent& extent, uint32_t page, uint32_t page_count,
                                    uint64_t vaddr, int error) {
  const abi::Range range = PageRange(vaddr, page_count);
  const uffd::Result result = uffd::Poison(uffd_.get(), range, abi::kPoisonDontWake);
  if (result.error == EAGAIN || result.error == ENOMEM) {
    Unclaim(extent.page_index + page, page_count);
    return Outcome::kDeferred;
  }
  if (result.error == ESRCH) {
    Unclaim(extent.page_index + page, page_count);
    return Outcome::kGone;
  }
  if (!result.ok() && result.error != EEXIST && pidfd_.valid()) {
    // A kernel without UFFDIO_POISON (before 6.6) leaves only the end of the target.
    Syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, 0, 0);
  }
  {
    const std::lock_guard<std::mutex> lock(errors_mutex_);
    if (errors_.size() < kErrorsMax) errors_.push_back({vaddr, page_count, extent.source, error});
  }
  Settle(extent.page_index + page, page_count, PageState::kPoisoned, &figures_->poisoned_pages);
  uffd::Wake(uffd_.get(), range);
  return Outcome::kDone;
}

void AddressSpace::Apply(const abi::Message& message) {
  switch (message.event) {
    case abi::kEventRemove:
      for (const AddressRange& range : map_.ImageRanges(message.remove.start, message.remove.end)) {
        MarkRemoved(range);
      }
      return;
    case abi::kEventUnmap:
      for (const AddressRange& range : map_.Erase(message.remove.start, message.remove.end)) {
        MarkRemoved(range);
      }
      return;
    case abi::kEventRemap:
      for (const AddressRange& range :
           map_.Move(message.remap.from, message.remap.to, message.remap.length)) {
        MarkRemoved(range);
      }
      return;
    default:
      return;
  }
}

void AddressSpace::MarkRemoved(const AddressRange& image) {
  for (uint32_t i = plan_->FirstExtentFrom(image.start); i < plan_->extent_count(); ++i) {
    const Extent extent = plan_->extent(i);
    if (extent.vaddr >= image.end) return;
    if (extent.kind != kExtentData) continue;
    const uint64_t from = std::max(extent.vaddr, image.start);
    const uint64_t to = std::min(extent.end(), image.end);
    const uint32_t last =
        extent.page_index + static_cast<uint32_t>((to - extent.vaddr) / kPageSize);
    uint32_t page = extent.page_index + static_cast<uint32_t>((from - extent.vaddr) / kPageSize);
    for (; page < last; ++page) {
      if (states_.Exchange(page, PageState::kRemoved) != PageState::kMissing) continue;
      Add(figures_->removed_pages, 1);
      figures_->missing_pages.fetch_sub(1);
    }
  }
}

bool AddressSpace::IsGone() const {
  const uint64_t vaddr = plan_->region_count() > 0 ? plan_->region_start(0) : kAnyVaddr;
  return uffd::Copy(uffd_.get(), vaddr, UnreadableVaddr(), kPageSize).error == ESRCH;
}

void AddressSpace::Retire(TargetState state) {
  gate_.LockExclusive();
  retired_.store(true, std::memory_order_release);
  if (state == TargetState::kResident) {
    // Others may hold the uffd too (a VMM does), so closing ours would not end the registration.
    for (const AddressRange& range : map_.RuntimeRanges()) {
      uffd::Unregister(uffd_.get(), {range.start, range.byte_length()});
    }
    figures_->resident_ns = MonotonicNs();
  }
  uffd_.Reset();
  pidfd_.Reset();
  ReleaseStates();
  figures_->state = static_cast<uint64_t>(state);
  gate_.UnlockExclusive();
}

std::vector<AddressRange> AddressSpace::ImageRangesOf(uint64_t start, uint64_t end) {
  gate_.LockShared();
  std::vector<AddressRange> ranges = map_.ImageRanges(start, end);
  gate_.UnlockShared();
  return ranges;
}

std::vector<PageError> AddressSpace::TakeErrors() {
  const std::lock_guard<std::mutex> lock(errors_mutex_);
  return std::exchange(errors_, {});
}

}  // namespace thaw
