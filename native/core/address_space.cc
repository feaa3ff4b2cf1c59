#include "address_space.h"

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "clock.h"
#include "uffd.h"

namespace thaw {
namespace {

// How often, and for how many microseconds each, Retire() waits for an event that is on its way.
constexpr int kReleaseRoundsMax = 1000;
constexpr unsigned kReleasePauseUs = 20;

// Where a probe looks in a target without regions: above every mmap_min_addr, below user space's
// end.
constexpr uint64_t kAnyVaddr = uint64_t{1} << 30;

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

std::shared_ptr<AddressSpace> AddressSpace::Fork(uint64_t id, Fd* uffd) const {
  std::shared_ptr<AddressSpace> child(new AddressSpace(id, Fd(), Fd(), plan_, arena_));
  if (!child->TakeMemory()) return nullptr;
  child->uffd_ = std::move(*uffd);
  child->origin_ = origin_;
  child->remote_task_ = remote_task_;
  child->map_ = map_;
  child->set_ranges_ready(ranges_ready());
  child->set_on_error(on_error());
  child->can_poison_ = can_poison_.load();
  child->set_window_pages_max(window_pages_max());
  if (fill_wanted()) child->want_fill();
  for (uint32_t page = 0; page < plan_->data_page_count(); ++page) {
    const PageState state = states_.Get(page);
    if (state == PageState::kMissing || state == PageState::kInFlight) continue;
    child->states_.Exchange(page, state);
    // The poison itself was inherited, where there is any.
    if (state == PageState::kPoisoned && !can_poison_) continue;
    child->figures_->missing_pages.fetch_sub(1);
  }
  return child;
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
      const PageState before = states_.Exchange(page, PageState::kRemoved);
      // In flight: a page server was asked, and its answer will find the page removed.
      if (before != PageState::kMissing && before != PageState::kInFlight) continue;
      Add(figures_->removed_pages, 1);
      figures_->missing_pages.fetch_sub(1);
    }
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
  for (int round = 0; round < kReleaseRoundsMax; ++round) {
    abi::Message message;
    while (Read(&message, 1).ok()) {
      // Nothing is missing here, so nothing is missing in a child.
      if (message.event == abi::kEventFork) Fd(static_cast<int>(message.fork.ufd));
    }
    // EAGAIN: an event is still to come.
    if (Probe() != EAGAIN) return;
    ::usleep(kReleasePauseUs);
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
  has_errors_.store(false, std::memory_order_release);
  return std::exchange(errors_, {});
}

}  // namespace thaw
