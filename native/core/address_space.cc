#include "address_space.h"

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "clock.h"
#include "kill_point.h"
#include "uffd.h"

namespace thaw {
namespace {

// Where a probe looks in a target without regions: above every mmap_min_addr, below user space's
// end.
constexpr uint64_t kAnyVaddr = uint64_t{1} << 30;

// The usual mmap_min_addr.
constexpr uint64_t kWakeStart = uint64_t{1} << 16;

// An address of this process that no copy can read from.
uint64_t UnreadableVaddr() {
  static const void* const page =
      ::mmap(nullptr, kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return reinterpret_cast<uint64_t>(page);
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

// All memory but the map's, and a record that nobody can find yet.
bool AddressSpace::TakeMemory() {
  uint32_t slot;
  if (!arena_->TakeTarget(&slot)) return false;
  BindSlot(slot);
  record_->id = id_;
  record_->plan_fd = plan_->fd();
  record_->source_count = plan_->source_count();
  const uint64_t source_bytes = plan_->source_count() * sizeof(uint32_t);
  if (!arena_->Allocate(source_bytes + plan_->data_page_count() + 1, &record_->memory)) {
    return false;
  }
  BindMemory();
  figures_->data_pages = plan_->data_page_count();
  figures_->missing_pages = plan_->data_page_count();
  figures_->started_ns = MonotonicNs();
  figures_->state = static_cast<uint64_t>(TargetState::kServing);
  set_ranges_ready(true);
  set_window_pages_max(1);
  return true;
}

void AddressSpace::BindSlot(uint32_t slot) {
  slot_ = slot;
  figures_ = arena_->figures(slot);
  record_ = arena_->target(slot);
  retries_.Bind(&record_->stalled_since_ns);
}

void AddressSpace::BindMemory() {
  states_ = PageStates(arena_->data(record_->memory) + record_->source_count * sizeof(uint32_t));
}

void AddressSpace::Publish() {
  record_->origin = origin_;
  record_->uffd = uffd_.get();
  record_->pidfd = pidfd_.get();
  record_->published = true;
}

void AddressSpace::Attach(Fd uffd, Fd pidfd) {
  uffd_ = std::move(uffd);
  pidfd_ = std::move(pidfd);
  figures_->started_ns = MonotonicNs();
  record_->pidfd = pidfd_.get();
  record_->uffd = uffd_.get();
}

void AddressSpace::ReleaseMemory() {
  AddressMapLog(arena_, record_).Release();
  arena_->Release(std::exchange(record_->memory, ArenaRange{}));
}

AddressSpace::~AddressSpace() {
  if (record_ == nullptr) return;
  record_->published = false;
  ReleaseMemory();
  arena_->ReleaseTarget(slot_);
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

std::shared_ptr<AddressSpace> AddressSpace::Fork(uint64_t id, uint64_t sequence, Fd* uffd) const {
  std::shared_ptr<AddressSpace> child(new AddressSpace(id, Fd(), Fd(), plan_, arena_));
  if (!child->TakeMemory()) return nullptr;
  child->map_ = map_;
  if (record_->map_current != 0 && !AddressMapLog(arena_, child->record_).Write(map_)) {
    return nullptr;
  }
  std::copy_n(source_slots(), plan_->source_count(), child->source_slots());
  child->uffd_ = std::move(*uffd);
  child->origin_ = origin_;
  child->set_image_pid(image_pid());
  child->record_->parent = id_;
  child->record_->fork_sequence = sequence;
  child->set_ranges_ready(ranges_ready());
  child->set_on_error(on_error());
  child->record_->cannot_poison = record_->cannot_poison.load();
  child->set_window_pages_max(window_pages_max());
  if (fill_wanted()) child->want_fill();
  for (uint32_t page = 0; page < plan_->data_page_count(); ++page) {
    const PageState state = states_.Get(page);
    if (state == PageState::kMissing || state == PageState::kInFlight) continue;
    child->states_.Exchange(page, state);
    // The poison itself was inherited, where there is any.
    if (state == PageState::kPoisoned && record_->cannot_poison) continue;
    child->figures_->missing_pages.fetch_sub(1);
  }
  return child;
}

std::shared_ptr<AddressSpace> AddressSpace::Recover(uint32_t slot, std::shared_ptr<const Plan> plan,
                                                    Arena* arena) {
  const TargetRecord& record = *arena->target(slot);
  const TargetState retired_as = record.retired_as;
  const bool retired = retired_as != TargetState::kFree;
  std::shared_ptr<AddressSpace> space(new AddressSpace(record.id, retired ? Fd() : Fd(record.uffd),
                                                       retired ? Fd() : Fd(record.pidfd),
                                                       std::move(plan), arena));
  space->BindSlot(slot);
  space->origin_ = record.origin;
  space->retired_ = retired;
  if (retired) {
    space->record_->memory = {};
    space->record_->map_current = 0;
    space->figures_->state = static_cast<uint64_t>(retired_as);
    return space;
  }
  space->BindMemory();
  for (uint32_t i = 0; i < space->plan_->region_count(); ++i) {
    space->map_.Insert(space->plan_->region_start(i), space->plan_->region_end(i));
  }
  space->Recount();
  THAW_KILL_POINT(kRecovering);
  space->MarkRemoved(AddressMapLog(arena, space->record_).Replay(&space->map_));
  return space;
}

// Whoever had claimed a page is no more; whether it got there, the kernel tells at the next try.
// What was settled but not counted counts as found present.
void AddressSpace::Recount() {
  uint64_t missing = 0;
  for (uint32_t page = 0; page < plan_->data_page_count(); ++page) {
    states_.Change(page, PageState::kInFlight, PageState::kMissing);
    const PageState state = states_.Get(page);
    if (state == PageState::kMissing) ++missing;
    if (state == PageState::kPoisoned && record_->cannot_poison) ++missing;
  }
  figures_->missing_pages = missing;
  const uint64_t settled = plan_->data_page_count() - missing;
  const uint64_t counted = figures_->demand_pages + figures_->filled_pages +
                           figures_->present_pages + figures_->removed_pages +
                           figures_->poisoned_pages;
  if (settled > counted) Add(figures_->present_pages, settled - counted);
}

void AddressSpace::Apply(const abi::Message& message, uint64_t sequence) {
  switch (message.event) {
    case abi::kEventRemove:
      return MarkRemoved(map_.ImageRanges(message.remove.start, message.remove.end));
    case abi::kEventUnmap: {
      const uint64_t start = message.remove.start, end = message.remove.end;
      if (map_.Overlaps(start, end)) EditMap({sequence, start, MapEdit::kAway, end - start});
      return;
    }
    case abi::kEventRemap: {
      const auto& [from, to, length] = message.remap;
      const bool moves = map_.Overlaps(from, from + length) || map_.Overlaps(to, to + length);
      if (moves) EditMap({sequence, from, to, length});
      return;
    }
    default:
      return;
  }
}

void AddressSpace::EditMap(const MapEdit& edit) {
  AddressMapLog log(arena_, record_);
  if (log.last_sequence() >= edit.sequence) return;
  // A map that is not written down would put pages where they do not belong. The next process finds
  // more room: it knows only what is in use.
  if (!log.Append(map_, edit)) std::abort();
  THAW_KILL_POINT(kEditLogged);
  MarkRemoved(edit.Apply(&map_));
}

void AddressSpace::MarkRemoved(const std::vector<AddressRange>& ranges) {
  for (const AddressRange& image : ranges) {
    for (uint32_t i = plan_->FirstExtentFrom(image.start); i < plan_->extent_count(); ++i) {
      const Extent extent = plan_->extent(i);
      if (extent.vaddr >= image.end) break;
      if (extent.kind != kExtentData) continue;
      const uint64_t from = std::max(extent.vaddr, image.start);
      const uint64_t to = std::min(extent.end(), image.end);
      const uint32_t last =
          extent.page_index + static_cast<uint32_t>((to - extent.vaddr) / kPageSize);
      uint32_t page = extent.page_index + static_cast<uint32_t>((from - extent.vaddr) / kPageSize);
      for (; page < last; ++page) {
        const PageState before = states_.Exchange(page, PageState::kRemoved);
        // In flight: a page server was asked, and its answer will find the page removed.
        if (before != PageState::kMissing && before != PageState::kInFlight) continue;
        Add(figures_->removed_pages, 1);
        figures_->missing_pages.fetch_sub(1);
      }
    }
  }
}

void AddressSpace::WakeAll() const {
  // Everywhere: registered memory may have grown beyond what the map knows.
  if (uffd::Wake(uffd_.get(), {kWakeStart, kUserSpaceEnd - kWakeStart}) == 0) return;
  for (const AddressRange& range : map_.RuntimeRanges()) {
    uffd::Wake(uffd_.get(), {range.start, range.byte_length()});
  }
}

bool AddressSpace::IsGone() const { return Probe() == ESRCH; }

uffd::Value AddressSpace::Read(abi::Message* messages, size_t capacity) const {
  const iovec vector{messages, capacity * sizeof(abi::Message)};
  const ssize_t count = ::preadv2(uffd_.get(), &vector, 1, -1, RWF_NOWAIT);
  if (count >= 0) return {static_cast<long>(count / sizeof(abi::Message)), 0};
  // Kernels before 6.10 do not know it for a uffd.
  if (errno == EOPNOTSUPP) return uffd::Read(uffd_.get(), messages, capacity);
  return {0, errno};
}

// The error of a copy that cannot install anything.
int AddressSpace::Probe() const {
  const uint64_t vaddr = plan_->region_count() > 0 ? plan_->region_start(0) : kAnyVaddr;
  return uffd::Copy(uffd_.get(), vaddr, UnreadableVaddr(), kPageSize).error;
}

// A thread of the target that is in the middle of a removal, a move or a fork waits until its event
// is read. Where others hold the uffd, closing ours would leave it waiting.
void AddressSpace::ReleaseEventWaiters() const {
  for (int round = 0; round < kEventRoundsMax; ++round) {
    abi::Message message;
    while (Read(&message, 1).ok()) {
      // Nothing is missing here, so nothing is missing in a child.
      if (message.event == abi::kEventFork) Fd(static_cast<int>(message.fork.ufd));
    }
    // EAGAIN: an event is still to come.
    if (Probe() != EAGAIN) return;
    ::usleep(kEventPauseUs);
  }
}

void AddressSpace::Retire(TargetState state) {
  gate_.LockExclusive();
  retired_.store(true, std::memory_order_release);
  if (state == TargetState::kResident) {
    // Others may hold the uffd too (a VMM does), so closing ours would not end the registration.
    for (const AddressRange& range : map_.RuntimeRanges()) {
      uffd::Unregister(uffd_.get(), {range.start, range.byte_length()});
    }
    ReleaseEventWaiters();
    figures_->resident_ns = MonotonicNs();
  }
  // First of all that the descriptors are not its own: others may get their numbers.
  record_->retired_as = state;
  THAW_KILL_POINT(kRetiring);
  uffd_.Reset();
  pidfd_.Reset();
  ReleaseMemory();
  figures_->state = static_cast<uint64_t>(state);
  gate_.UnlockExclusive();
}

std::vector<AddressRange> AddressSpace::ImageRangesOf(uint64_t start, uint64_t end) {
  gate_.LockShared();
  std::vector<AddressRange> ranges = map_.ImageRanges(start, end);
  gate_.UnlockShared();
  return ranges;
}

void AddressSpace::TellErrors(const std::function<void(const PageError&)>& tell) {
  std::vector<PageError> errors;
  {
    const std::lock_guard<std::mutex> lock(errors_mutex_);
    errors.assign(record_->errors, record_->errors + record_->error_count);
    errors_told_ = record_->error_count;
  }
  for (const PageError& error : errors) tell(error);
  const std::lock_guard<std::mutex> lock(errors_mutex_);
  std::copy(record_->errors + errors_told_, record_->errors + record_->error_count,
            record_->errors);
  record_->error_count -= std::exchange(errors_told_, 0);
}

}  // namespace thaw
