#include "fault_servicer.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "clock.h"
#include "cpus.h"
#include "kill_point.h"
#include "thread_name.h"
#include "uffd.h"

namespace thaw {
namespace {

constexpr int kEventsMax = 64;
// Rounds of reading one target before the others get their turn.
constexpr int kRoundsMax = 8;
// Awaited faults that are kept; most of them are over by then, which nobody tells.
constexpr size_t kAwaitedMax = 256;
// Longer than the service of a warm fault takes by itself.
constexpr uint64_t kServiceNs = 10'000;
// Looks for the next fault of one target before the others get their turn.
constexpr int kSpinReads = 16;
// A deferred fault is tried again after this time even when no event comes.
constexpr int kDeferredRetryMs = 1;

// An exec, or the end of a forked child, tells nobody: so often are targets asked whether they
// still are. Two intervals stay below the second within which their end is to be noticed.
constexpr uint64_t kProbeIntervalNs = 400'000'000;

constexpr uint64_t kWakeKey = ~uint64_t{0};
constexpr uint64_t kPidfdBit = uint64_t{1} << 63;

short Poll(int fd) {
  pollfd poll{fd, POLLIN, 0};
  return ::poll(&poll, 1, 0) > 0 ? poll.revents : 0;
}

}  // namespace

int FaultServicer::Start(BackgroundWork* background,
                         std::vector<std::shared_ptr<AddressSpace>> recovered) {
  background_ = background;
  shares_cpu_ = CountCpus() <= 2;
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_.valid() || !wake_.valid()) return errno;
  TakeSpares();
  if (const int error = WatchReadable(epoll_.get(), wake_.get(), kWakeKey)) return error;
  if (const int error = Recover(std::move(recovered))) return error;
  thread_ = std::thread([this] { Run(); });
  return 0;
}

int FaultServicer::Recover(std::vector<std::shared_ptr<AddressSpace>> spaces) {
  const MessageBatch& batch = arena_->header().batch;
  std::shared_ptr<Served> unfinished;
  for (const std::shared_ptr<AddressSpace>& space : spaces) {
    if (space->disowned()) {
      if (!space->retired()) space->Retire(TargetState::kGone);
      continue;
    }
    auto served = std::make_shared<Served>();
    served->space = space;
    if (space->figures_slot() + 1 == batch.target_slot && !space->retired()) unfinished = served;
    served_.emplace(space->id(), std::move(served));
  }
  // Before anything is installed: pages may have been discarded, or be elsewhere by now.
  if (unfinished != nullptr) ApplyBatch(unfinished.get());
  for (const std::shared_ptr<AddressSpace>& space : spaces) {
    if (space->retired()) continue;
    if (const int error = WatchTarget(*space)) return error;
    Notify(space->id(), false);
    space->WakeAll();
  }
  TellAgain(spaces);
  return 0;
}

// Whoever hears it knows what it has heard before.
void FaultServicer::TellAgain(const std::vector<std::shared_ptr<AddressSpace>>& spaces) {
  for (const std::shared_ptr<AddressSpace>& space : spaces) {
    if (space->disowned()) continue;
    if (space->fork_sequence() != 0) {
      sink_({PagerEventKind::kForked, 0, space->parent(), space->id(), space->figures_slot(), 0});
    }
  }
  TellForks();
  for (const std::shared_ptr<AddressSpace>& space : spaces) {
    if (space->disowned() || !space->retired()) continue;
    TellErrors(space.get());
    TellEnd(*space);
  }
}

void FaultServicer::Stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

int FaultServicer::Add(std::shared_ptr<AddressSpace> space) {
  const uint64_t id = space->id();
  // It would be readable, and unreadable, for ever.
  if (Poll(space->uffd()) & POLLERR) return EINVAL;
  {
    // Until both are watched: the fault thread finds, and ends, the target only then.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (served_.count(id) != 0) return EEXIST;
    if (const int error = WatchTarget(*space)) return error;
    space->Publish();
    auto served = std::make_shared<Served>();
    served->space = std::move(space);
    served_.emplace(id, std::move(served));
  }
  Notify(id, false);  // a plan without data pages is complete at once
  return 0;
}

int FaultServicer::WatchTarget(const AddressSpace& space) {
  if (const int error = WatchReadable(epoll_.get(), space.uffd(), space.id())) return error;
  if (space.pidfd() < 0) return 0;
  const int error = WatchReadable(epoll_.get(), space.pidfd(), space.id() | kPidfdBit);
  if (error != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, space.uffd(), nullptr);
  return error;
}

void FaultServicer::Drop(uint64_t id) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = served_.find(id);
    if (found == served_.end()) return;
    found->second->space->Disown();
    // Others may hold its descriptors: only the fault thread can stop watching them, and only its
    // retirement ends the fill.
    notices_.push_back({std::move(found->second), NoticeKind::kDropped, 0});
    served_.erase(found);
  }
  ::eventfd_write(wake_.get(), 1);
}

void FaultServicer::Notify(uint64_t id, bool gone) {
  PostNotice(id, gone ? NoticeKind::kGone : NoticeKind::kLook, 0);
}

void FaultServicer::Settle(uint64_t id, uint64_t request_id) {
  PostNotice(id, NoticeKind::kSettle, request_id);
}

void FaultServicer::PostNotice(uint64_t id, NoticeKind kind, uint64_t request_id) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = served_.find(id);
    if (found == served_.end()) return;
    notices_.push_back({found->second, kind, request_id});
  }
  ::eventfd_write(wake_.get(), 1);
}

std::shared_ptr<FaultServicer::Served> FaultServicer::FindServed(uint64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = served_.find(id);
  return found == served_.end() ? nullptr : found->second;
}

std::shared_ptr<AddressSpace> FaultServicer::Find(uint64_t id) {
  const std::shared_ptr<Served> served = FindServed(id);
  return served == nullptr ? nullptr : served->space;
}

void FaultServicer::Run() {
  NameThread("thaw-faults");
  tid_ = ::gettid();
  epoll_event events[kEventsMax];
  while (!stopping_) {
    // It looks for the next fault without a pause.
    const bool hot = !shares_cpu_ && pace_.IsHot(MonotonicNs());
    const int wait_ms = hot ? 0 : WaitMsMax();
    const int count = ::epoll_wait(epoll_.get(), events, kEventsMax, wait_ms);
    others_wait_ = count > 1;
    for (int i = 0; i < count; ++i) HandleEvent(events[i].data.u64, events[i].events);
    RetryDeferred();
    if (probing_ && MonotonicNs() >= next_probe_ns_) ProbeTargets();
    if (count == 0 && hot) LookForNext();
  }
}

void FaultServicer::HandleEvent(uint64_t key, uint32_t events) {
  if (key == kWakeKey) return HandleNotices();
  const std::shared_ptr<Served> served = FindServed(key & ~kPidfdBit);
  if (served == nullptr || served->space->retired()) return;
  if (key & kPidfdBit) {
    // Asked again: the event may be that of an earlier target of this id.
    if (Poll(served->space->pidfd()) != 0) Finish(served.get(), TargetState::kGone);
    return;
  }
  // Another holder made it blocking: poll(2) fails then.
  if (events & EPOLLERR) MakeNonBlocking(served->space->uffd());
  ReadAndServe(served);
  last_served_ = served;
}

// Nothing has come, but the next fault is near: looks for it where the last one was, a few times
// before the others are asked.
void FaultServicer::LookForNext() {
  if (last_served_ == nullptr || last_served_->space->retired()) return;
  for (int i = 0; i < kSpinReads; ++i) {
    if (ReadAndServe(last_served_)) return;
  }
}

// Without targets the wait has no limit: the wake-up ends it.
int FaultServicer::WaitMsMax() const {
  if (!with_deferred_.empty()) return kDeferredRetryMs;
  if (!probing_) return -1;
  const uint64_t now_ns = MonotonicNs();
  return now_ns >= next_probe_ns_ ? 0 : static_cast<int>((next_probe_ns_ - now_ns) / 1000000 + 1);
}

void FaultServicer::ProbeTargets() {
  std::vector<std::shared_ptr<Served>> targets;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [id, served] : served_) {
      if (!served->space->retired()) targets.push_back(served);
    }
  }
  for (const std::shared_ptr<Served>& served : targets) {
    if (served->space->IsGone()) Finish(served.get(), TargetState::kGone);
  }
  probing_ = !targets.empty();
  next_probe_ns_ = MonotonicNs() + kProbeIntervalNs;
}

std::vector<std::shared_ptr<AddressSpace>> FaultServicer::FindFamily(uint64_t origin) {
  std::vector<std::shared_ptr<AddressSpace>> family;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [id, served] : served_) {
    if (served->space->origin() == origin) family.push_back(served->space);
  }
  return family;
}

size_t FaultServicer::CountServing() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::count_if(served_.begin(), served_.end(),
                       [](const auto& entry) { return !entry.second->space->retired(); });
}

// Faults are served by this thread, so they are counted by now. A fill counts before it leaves the
// gate.
void FaultServicer::TellSettled(Served* served, uint64_t request_id) {
  AddressSpace* const space = served->space.get();
  space->gate().LockExclusive();
  space->gate().UnlockExclusive();
  if (!space->retired()) Report(served);
  sink_({PagerEventKind::kSettled, 0, space->id(), request_id, 0, 0});
}

void FaultServicer::HandleNotices() {
  eventfd_t ignored;
  ::eventfd_read(wake_.get(), &ignored);
  probing_ = true;  // there may be a new target
  std::vector<Notice> notices;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    notices.swap(notices_);
  }
  for (const Notice& notice : notices) {
    Served* const served = notice.served.get();
    if (notice.kind == NoticeKind::kSettle) TellSettled(served, notice.request_id);
    if (served->space->retired()) continue;
    switch (notice.kind) {
      case NoticeKind::kSettle:
        break;
      case NoticeKind::kLook:
        Report(served);
        // A page server's answer that could not be installed was given back.
        if (!served->awaited.empty() && served->deferred.empty()) {
          with_deferred_.push_back(notice.served);
        }
        RetryAwaited(served);
        break;
      case NoticeKind::kGone:
        Finish(served, TargetState::kGone);
        break;
      case NoticeKind::kDropped:
        Unwatch(*served->space);
        served->space->Retire(TargetState::kGone);
        break;
    }
  }
  // Of a target that was dropped nothing may stay.
  if (last_served_ != nullptr && last_served_->space->retired()) last_served_ = nullptr;
}

// Whether whoever was woken has had this CPU meanwhile: the next fault is likely there then, and
// need not be waited for.
bool FaultServicer::HasLetTargetRun(size_t message_count, uint64_t read_ns) const {
  return shares_cpu_ && !others_wait_ && MonotonicNs() - read_ns > message_count * kServiceNs;
}

// False when nothing was there.
bool FaultServicer::ReadAndServe(const std::shared_ptr<Served>& served) {
  AddressSpace* const space = served->space.get();
  const size_t deferred_before = served->deferred.size();
  bool found = false;
  for (int round = 0; round < kRoundsMax && !space->retired(); ++round) {
    space->gate().LockExclusive(pace_.IsHot(MonotonicNs()));
    abi::Message* const messages = BeginBatch(*space);
    const uffd::Value read = ReadMessages(*space, messages);
    const size_t count = read.ok() ? static_cast<size_t>(read.value) : 0;
    if (count > 0) THAW_KILL_POINT(kMessagesRead);
    ApplyBatch(served.get());
    space->gate().UnlockExclusive(count);
    TellForks();
    if (count == 0) break;
    found = true;
    const uint64_t read_ns = MonotonicNs();
    ServeFaults(served.get(), messages, count, read_ns);
    if (count < kMessagesMax && !HasLetTargetRun(count, read_ns)) break;
  }
  if (deferred_before == 0 && !served->deferred.empty()) with_deferred_.push_back(served);
  return found;
}

void FaultServicer::ServeFaults(Served* served, const abi::Message* messages, size_t count,
                                uint64_t read_ns) {
  Figures& figures = served->space->figures();
  // Counted first: a thread that runs again finds its own fault counted.
  const auto faults = std::count_if(messages, messages + count, [](const abi::Message& message) {
    return message.event == abi::kEventPagefault;
  });
  thaw::Add(figures.faults, faults);
  RaiseTo(figures.queue_depth_max, faults);
  // The first thread to wake would take this CPU from the others' service, and each in turn: that
  // costs two switches between address spaces a fault.
  if (shares_cpu_ && faults > 1) served->space->HoldWakes();
  size_t woken_later = 0;
  for (size_t i = 0; i < count && !served->space->retired(); ++i) {
    if (messages[i].event != abi::kEventPagefault) continue;
    const uint64_t vaddr = messages[i].pagefault.address & ~(kPageSize - 1);
    const Outcome outcome = ServeOne(served, vaddr, read_ns);
    if (outcome == Outcome::kDone && served->space->holds_wakes()) ++woken_later;
    if (outcome == Outcome::kAwaited) served->awaited.push_back(vaddr);
    if (outcome != Outcome::kDeferred) continue;
    thaw::Add(figures.deferrals, 1);
    // A thread that a signal took out of its fault comes back with the same one.
    std::vector<uint64_t>& deferred = served->deferred;
    if (std::find(deferred.begin(), deferred.end(), vaddr) == deferred.end()) {
      deferred.push_back(vaddr);
    }
  }
  served->space->WakeHeld();
  const uint64_t woken_ns = MonotonicNs();
  for (; woken_later > 0; --woken_later) figures.demand_latency.Record(woken_ns - read_ns);
  if (served->awaited.size() > kAwaitedMax) RetryAwaited(served);
  if (!served->space->retired()) Report(served);
}

Outcome FaultServicer::ServeOne(Served* served, uint64_t vaddr, uint64_t read_ns) {
  AddressSpace* const space = served->space.get();
  bool in_order = false;
  const Outcome outcome = space->ServeFault(vaddr, &reader_, &in_order);
  const uint64_t now_ns = MonotonicNs();
  if (!in_order && pace_.IsHot(now_ns)) background_->StayAwake();
  pace_.NoteFault(now_ns, in_order);
  switch (outcome) {
    case Outcome::kDone:
      if (!space->holds_wakes()) space->figures().demand_latency.Record(now_ns - read_ns);
      break;
    case Outcome::kNothing:
      space->figures().zero_latency.Record(now_ns - read_ns);
      break;
    case Outcome::kWouldWait:
      thaw::Add(space->figures().cold_faults, 1);
      background_->ServeColdFault({served->space, vaddr, read_ns});
      break;
    case Outcome::kGone:
      Finish(served, TargetState::kGone);
      break;
    case Outcome::kAwaited:
    case Outcome::kDeferred:
      break;
  }
  return outcome;
}

// Has awaited faults tried again with the deferred ones.
void FaultServicer::RetryAwaited(Served* served) {
  served->deferred.insert(served->deferred.end(), served->awaited.begin(), served->awaited.end());
  served->awaited.clear();
}

void FaultServicer::RetryDeferred() {
  if (with_deferred_.empty()) return;
  std::vector<std::shared_ptr<Served>> targets;
  targets.swap(with_deferred_);
  for (const std::shared_ptr<Served>& served : targets) {
    // The event in the way first.
    if (!served->space->retired()) ReadAndServe(served);
    std::vector<uint64_t> faults;
    faults.swap(served->deferred);
    for (const uint64_t vaddr : faults) {
      if (served->space->retired()) break;
      const Outcome outcome = ServeOne(served.get(), vaddr, MonotonicNs());
      if (outcome == Outcome::kDeferred) served->deferred.push_back(vaddr);
      if (outcome == Outcome::kAwaited) served->awaited.push_back(vaddr);
    }
    if (served->space->retired()) continue;
    if (!served->deferred.empty()) with_deferred_.push_back(served);
    Report(served.get());
  }
}

// Closing would not do: others may hold the same descriptors.
void FaultServicer::Unwatch(const AddressSpace& space) {
  if (space.pidfd() >= 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, space.pidfd(), nullptr);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, space.uffd(), nullptr);
}

PagerEvent FaultServicer::ToEvent(uint64_t target, const PageError& error) {
  return {PagerEventKind::kPageError,
          error.error,
          target,
          error.vaddr,
          error.page_count,
          error.source,
          error.file_offset,
          static_cast<uint64_t>(error.action)};
}

void FaultServicer::TellErrors(AddressSpace* space) {
  if (!space->has_errors()) return;
  space->TellErrors([&](const PageError& error) { sink_(ToEvent(space->id(), error)); });
}

// Passes failures on and lets go of a target that has everything.
void FaultServicer::Report(Served* served) {
  AddressSpace* const space = served->space.get();
  // Looked at first: with the last page all failures are recorded.
  const bool ends = space->complete() && space->ranges_ready();
  TellErrors(space);
  if (ends) Finish(served, TargetState::kResident);
}

void FaultServicer::Finish(Served* served, TargetState state) {
  AddressSpace* const space = served->space.get();
  Unwatch(*space);
  space->Retire(state);
  served->deferred.clear();
  served->awaited.clear();
  // What the fill has found, too: perhaps it is why the target ended.
  TellErrors(space);
  TellEnd(*space);
}

void FaultServicer::TellEnd(const AddressSpace& space) {
  const bool resident = space.retired_as() == TargetState::kResident;
  sink_({resident ? PagerEventKind::kResident : PagerEventKind::kGone, 0, space.id(), 0, 0, 0});
}

}  // namespace thaw
