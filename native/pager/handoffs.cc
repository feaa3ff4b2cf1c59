#include "handoffs.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "attached_fds.h"
#include "clock.h"
#include "descriptors.h"
#include "kill_point.h"
#include "process_facts.h"

namespace thaw {
namespace {

// Instead of a pid: every task is past its last stage. "FTSR" in memory.
constexpr int32_t kRestoredWord = 0x52535446;

// No handoff's: that of the descriptor by which Abandon() wakes.
constexpr uint64_t kWakeKey = 0;

// Straight into shared memory, and never more than asked for: a byte too many would swallow what
// travels with the next message.
Received Receive(int fd, void* bytes, size_t byte_length, uint8_t (&attached)[kAttachedBytes]) {
  return ReceiveAttached(fd, bytes, byte_length, attached, sizeof(attached), MSG_DONTWAIT);
}

bool HasAttached(const uint8_t (&attached)[kAttachedBytes]) {
  return reinterpret_cast<const cmsghdr*>(attached)->cmsg_len != 0;
}

// Longest wait for CRIU to let go of tasks that it has restored. It takes milliseconds.
constexpr uint64_t kTracedNsMax = 10'000'000'000;
constexpr int kTracedLookMs = 2;

}  // namespace

int Handoffs::Start(const std::vector<std::shared_ptr<AddressSpace>>& spaces) {
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_.valid() || !wake_.valid()) return errno;
  if (const int error = WatchReadable(epoll_.get(), wake_.get(), kWakeKey); error != 0)
    return error;
  for (const uint32_t slot : arena_->PublishedHandoffs()) {
    HandoffRecord* const record = arena_->handoff(slot);
    Handoff& handoff = handoffs_[record->id];
    handoff.record = record;
    handoff.fd = Fd(record->fd);
    handoff.heard_ns = MonotonicNs();
    if (const int error = WatchReadable(epoll_.get(), record->fd, record->id); error != 0)
      return error;
  }
  for (const std::shared_ptr<AddressSpace>& space : spaces) {
    const auto found = handoffs_.find(space->handoff());
    if (found != handoffs_.end()) {
      found->second.tasks[space->image_pid()] = space;
    } else if (!space->attached()) {
      expected_[space->id()] = space;
    }
  }
  for (auto& [id, handoff] : handoffs_) RecoverWord(&handoff);
  // What was received, or has come since, is served even where nothing more comes.
  ::eventfd_write(wake_.get(), 1);
  return 0;
}

// Whether the announcement in hand was done with, but for being forgotten.
void Handoffs::RecoverWord(Handoff* handoff) {
  HandoffRecord* const record = handoff->record;
  if (record->word == 0) return ForgetWord(record);
  std::memset(record->word_attached, 0, sizeof(record->word_attached));
  const auto task = handoff->tasks.find(static_cast<uint64_t>(record->word.load()));
  if (task == handoff->tasks.end() || !task->second->attached()) return;
  if (!HasAttached(record->task_attached)) return;
  TellHandedOver(*task->second);
  ForgetWord(record);
}

void Handoffs::Expect(std::shared_ptr<AddressSpace> space) {
  space->Publish();
  expected_[space->id()] = std::move(space);
}

std::shared_ptr<AddressSpace> Handoffs::FindExpected(uint64_t id) const {
  const auto found = expected_.find(id);
  if (found != expected_.end()) return found->second;
  for (const auto& [handoff_id, handoff] : handoffs_) {
    for (const auto& [pid, space] : handoff.tasks) {
      if (space->id() == id && !space->attached()) return space;
    }
  }
  return nullptr;
}

bool Handoffs::Forget(uint64_t id) {
  if (expected_.erase(id) != 0) return true;
  for (auto& [handoff_id, handoff] : handoffs_) {
    for (auto task = handoff.tasks.begin(); task != handoff.tasks.end(); ++task) {
      if (task->second->id() != id || task->second->attached()) continue;
      handoff.tasks.erase(task);
      return true;
    }
  }
  return false;
}

int Handoffs::Begin(const Request& request, Fd connection) {
  if (Has(request.id) || request.id == kWakeKey) return EEXIST;
  for (const uint64_t id : request.targets) {
    if (expected_.count(id) == 0) return ENOENT;
  }
  HandoffRecord* const record = arena_->TakeHandoff();
  if (record == nullptr) return ENOSPC;
  if (const int error = WatchReadable(epoll_.get(), connection.get(), request.id); error != 0) {
    arena_->ReleaseHandoff(record);
    return error;
  }
  Handoff& handoff = handoffs_[request.id];
  handoff.record = record;
  handoff.fd = std::move(connection);
  handoff.heard_ns = MonotonicNs();
  for (const uint64_t id : request.targets) {
    const auto expected = expected_.find(id);
    expected->second->set_handoff(request.id);
    handoff.tasks[expected->second->image_pid()] = std::move(expected->second);
    expected_.erase(expected);
  }
  record->id = request.id;
  record->fill = request.fill;
  record->fd = handoff.fd.get();
  record->silence_ns_max = request.silence_ns_max;
  record->zombies = request.zombies;
  record->zombies_left = request.zombies;
  record->zombies_next = request.zombies;
  record->published = true;
  return 0;
}

bool Handoffs::Drop(uint64_t id) {
  const auto found = handoffs_.find(id);
  if (found == handoffs_.end()) return false;
  Close(&found->second);
  return true;
}

int Handoffs::WaitMsMax() const {
  int64_t wait_ms = -1;
  const uint64_t now = MonotonicNs();
  for (const auto& [id, handoff] : handoffs_) {
    if (handoff.record->word == kRestoredWord) return kTracedLookMs;
    if (!AwaitsMore(handoff)) continue;
    const uint64_t end_ns = handoff.heard_ns + handoff.record->silence_ns_max;
    const int64_t left_ms = end_ns > now ? static_cast<int64_t>((end_ns - now) / 1'000'000 + 1) : 0;
    wait_ms = wait_ms < 0 ? left_ms : std::min(wait_ms, left_ms);
  }
  return static_cast<int>(wait_ms);
}

void Handoffs::Serve() {
  eventfd_t ignored;
  ::eventfd_read(wake_.get(), &ignored);
  std::vector<uint64_t> ids;
  for (const auto& [id, handoff] : handoffs_) ids.push_back(id);
  for (const uint64_t id : ids) {
    Handoff& handoff = handoffs_.at(id);
    if (abandoned_) {
      Finish(&handoff, {HandoffEnd::kSourceLost});
    } else {
      ServeOne(&handoff);
    }
  }
}

void Handoffs::Abandon() {
  abandoned_ = true;
  ::eventfd_write(wake_.get(), 1);
}

size_t Handoffs::CountAnnounced(const Handoff& handoff) {
  const auto come = std::count_if(handoff.tasks.begin(), handoff.tasks.end(),
                                  [](const auto& task) { return task.second->attached(); });
  return static_cast<size_t>(come) + handoff.record->zombies - handoff.record->zombies_left;
}

bool Handoffs::IsAllAnnounced(const Handoff& handoff) {
  return CountAnnounced(handoff) == handoff.tasks.size() + handoff.record->zombies;
}

// Whether it may not be silent for long: how long CRIU needs for what comes after the
// announcements, nobody can say.
bool Handoffs::AwaitsMore(const Handoff& handoff) {
  return handoff.tasks.empty() || !IsAllAnnounced(handoff);
}

// Takes everything that it has said by now.
void Handoffs::ServeOne(Handoff* handoff) {
  HandoffRecord* const record = handoff->record;
  for (;;) {
    End end{};
    Step step = record->word == 0 ? TakeWord(handoff, &end) : Step::kTaken;
    if (step == Step::kTaken) step = CarryOut(handoff, &end);
    if (step == Step::kEnded) return Finish(handoff, end);
    if (step == Step::kNothing) break;
    handoff->heard_ns = MonotonicNs();
  }
  const bool silent = MonotonicNs() - handoff->heard_ns >= record->silence_ns_max;
  if (silent && AwaitsMore(*handoff)) Finish(handoff, {HandoffEnd::kSilent});
}

Handoffs::Step Handoffs::TakeWord(Handoff* handoff, End* end) {
  HandoffRecord* const record = handoff->record;
  const Received message =
      Receive(handoff->fd.get(), &record->word, sizeof(record->word), record->word_attached);
  if (message.byte_length < 0 && errno == EAGAIN) return Step::kNothing;
  // Its sender's pidfd is closed again: what counts is that of the descriptor's sender.
  const AttachedFds attached =
      TakeAttachedFds(record->word_attached, sizeof(record->word_attached));
  THAW_KILL_POINT(kAnnouncementReceived);
  end->word = record->word;
  end->fds = attached.fds.size();
  std::memset(record->word_attached, 0, sizeof(record->word_attached));
  if (message.byte_length <= 0) {
    end->how = HandoffEnd::kHungUp;
  } else if (static_cast<size_t>(message.byte_length) < sizeof(record->word)) {
    end->how = HandoffEnd::kHalfMessage;
  } else if (!attached.fds.empty()) {
    end->how = HandoffEnd::kStrayFds;
  } else {
    return Step::kTaken;
  }
  return Step::kEnded;
}

Handoffs::Step Handoffs::CarryOut(Handoff* handoff, End* end) {
  HandoffRecord* const record = handoff->record;
  end->word = record->word;
  if (end->word == kRestoredWord) return EndRestored(handoff, end);
  if (!IsKnown(*handoff, end->word)) {
    end->how = HandoffEnd::kStranger;
    return Step::kEnded;
  }
  if (end->word > 0) {
    const Step step = TakeTask(handoff, end);
    if (step != Step::kTaken) return step;
  } else {
    record->zombies_next = record->zombies_left - 1;
  }
  ForgetWord(record);
  return Step::kTaken;
}

bool Handoffs::IsKnown(const Handoff& handoff, int32_t word) {
  const auto pid = static_cast<uint64_t>(std::abs(static_cast<int64_t>(word)));
  const auto task = handoff.tasks.find(pid);
  if (word < 0) return task == handoff.tasks.end() && handoff.record->zombies_left > 0;
  return task != handoff.tasks.end() && !task->second->attached();
}

// The descriptor behind a pid.
Handoffs::Step Handoffs::TakeTask(Handoff* handoff, End* end) {
  HandoffRecord* const record = handoff->record;
  if (!HasAttached(record->task_attached)) {
    const Received message =
        Receive(handoff->fd.get(), &record->byte, sizeof(record->byte), record->task_attached);
    if (message.byte_length < 0 && errno == EAGAIN) return Step::kNothing;
    THAW_KILL_POINT(kUffdReceived);
    if (message.byte_length <= 0) {
      end->how = HandoffEnd::kHalfMessage;
      return Step::kEnded;
    }
    if (message.flags & MSG_CTRUNC) {
      const AttachedFds closed =
          TakeAttachedFds(record->task_attached, sizeof(record->task_attached));
      end->how = HandoffEnd::kNoDescriptors;
      return Step::kEnded;
    }
  }
  AttachedFds attached = TakeAttachedFds(record->task_attached, sizeof(record->task_attached));
  end->fds = attached.fds.size();
  end->how = HandoffEnd::kNotOneFd;
  if (end->fds != 1) return Step::kEnded;
  Fd uffd = std::move(attached.fds[0]);
  end->how = HandoffEnd::kNotUffd;
  if (!PrepareUffd(uffd.get())) return Step::kEnded;
  const std::shared_ptr<AddressSpace> space = handoff->tasks.at(static_cast<uint64_t>(end->word));
  space->Attach(std::move(uffd), std::move(attached.pidfd));
  THAW_KILL_POINT(kAttached);
  TellHandedOver(*space);
  end->how = HandoffEnd::kNotServed;
  end->error = handlers_.serve(space);
  return end->error == 0 ? Step::kTaken : Step::kEnded;
}

Handoffs::Step Handoffs::EndRestored(Handoff* handoff, End* end) {
  end->how = IsAllAnnounced(*handoff) ? HandoffEnd::kRestored : HandoffEnd::kTooEarly;
  if (end->how == HandoffEnd::kTooEarly) return Step::kEnded;
  if (MustWaitForCriu(*handoff)) {
    // It has hung up, or will: nothing more is heard of it.
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, handoff->fd.get(), nullptr);
    return Step::kNothing;
  }
  for (const auto& [pid, space] : handoff->tasks) {
    handlers_.release(*space, handoff->record->fill);
  }
  THAW_KILL_POINT(kReleased);
  return Step::kEnded;
}

// A restore fails if a task is stopped or killed before CRIU has let go of all its threads, and the
// fill may find at once what that is the policy for.
bool Handoffs::MustWaitForCriu(const Handoff& handoff) {
  if (MonotonicNs() - handoff.heard_ns >= kTracedNsMax) return false;
  return std::any_of(handoff.tasks.begin(), handoff.tasks.end(), [](const auto& task) {
    const AddressSpace& space = *task.second;
    if (space.retired() || space.on_error() == OnError::kPoison) return false;
    return IsAnyThreadTraced(PidOfPidfd(space.pidfd()));
  });
}

// In an order in which nothing is done twice, or not at all, by whoever goes on in between.
void Handoffs::ForgetWord(HandoffRecord* record) {
  record->word = 0;
  record->zombies_left = record->zombies_next.load();
  std::memset(record->word_attached, 0, sizeof(record->word_attached));
  std::memset(record->task_attached, 0, sizeof(record->task_attached));
}

void Handoffs::TellHandedOver(const AddressSpace& space) {
  handlers_.tell({PagerEventKind::kHandedOver, 0, space.id(), PidOfPidfd(space.pidfd()), 0, 0});
}

void Handoffs::Finish(Handoff* handoff, const End& end) {
  PagerEvent event{PagerEventKind::kHandoffEnd, end.error, handoff->record->id, 0, 0, 0};
  event.a = static_cast<uint64_t>(end.how);
  event.b = CountAnnounced(*handoff);
  event.c = static_cast<uint64_t>(static_cast<int64_t>(end.word));
  event.d = end.fds;
  handlers_.tell(event);
  Close(handoff);
}

// The record goes before the descriptor in it does.
void Handoffs::Close(Handoff* handoff) {
  for (auto& [pid, space] : handoff->tasks) {
    if (!space->attached()) expected_[space->id()] = space;
  }
  const uint64_t id = handoff->record->id;
  const Fd connection = std::move(handoff->fd);
  // Others may have it open still.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.get(), nullptr);
  arena_->ReleaseHandoff(handoff->record);
  handoffs_.erase(id);
}

}  // namespace thaw
