// How the fault thread reads messages, applies the events among them, and takes forked children on.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fault_servicer.h"
#include "kill_point.h"
#include "uffd.h"

namespace thaw {
namespace {

// A child that is refused for want of a descriptor takes one for as long as it is being poisoned,
// and so does each that it forks meanwhile.
constexpr size_t kSparesMax = 4;
// Ids of forked children; the control plane's own stay below.
constexpr uint64_t kForkIdBase = uint64_t{1} << 32;

}  // namespace

// Where to read the next messages of `space` to. Nothing that could be taken for one stands there.
abi::Message* FaultServicer::BeginBatch(const AddressSpace& space) {
  MessageBatch& batch = arena_->header().batch;
  const bool unused = batch.messages[0].event == 0;
  if (unused && batch.target_slot == space.figures_slot() + 1) return batch.messages;
  batch.target_slot = 0;
  for (abi::Message& message : batch.messages) message.event = 0;
  batch.applied = 0;
  batch.sequence += kMessagesMax;
  batch.target_slot = space.figures_slot() + 1;
  return batch.messages;
}

// Applies the events of the batch that are not applied yet.
void FaultServicer::ApplyBatch(Served* served) {
  MessageBatch& batch = arena_->header().batch;
  for (uint32_t i = batch.applied; i < kMessagesMax && batch.messages[i].event != 0; ++i) {
    const abi::Message& message = batch.messages[i];
    const uint64_t sequence = batch.sequence + i;
    // A child's descriptor is the batch's until the message is marked: closed any earlier, its
    // number could be another's when the message is applied again.
    Fd refused;
    if (message.event == abi::kEventFork) {
      refused = AcceptFork(*served, static_cast<int>(message.fork.ufd), sequence);
    } else if (message.event != abi::kEventPagefault) {
      served->space->Apply(message, sequence);
      // The page may be another by now, or none.
      RetryAwaited(served);
    }
    if (message.event != abi::kEventPagefault) THAW_KILL_POINT(kEventApplied);
    batch.applied.store(i + 1, std::memory_order_release);
    // Its place at once for a spare one.
    if (refused.valid() && spares_.size() < kSparesMax) {
      spares_.emplace_back(::dup3(wake_.get(), refused.Release(), O_CLOEXEC));
    }
  }
}

void FaultServicer::TellForks() {
  for (const PagerEvent& event : forks_) sink_(event);
  forks_.clear();
}

void FaultServicer::TakeSpares() {
  while (spares_.size() < kSparesMax) {
    Fd spare(::eventfd(0, EFD_CLOEXEC));
    if (!spare.valid()) return;
    spares_.push_back(std::move(spare));
  }
}

// A fork's message needs a descriptor for the child. When there is none, read(2) fails, the message
// stays, and the whole target would wait for it.
uffd::Value FaultServicer::ReadWithSpares(const std::function<uffd::Value(size_t)>& read,
                                          size_t capacity) {
  const uffd::Value value = read(capacity);
  if ((value.error != EMFILE && value.error != ENFILE) || spares_.empty()) return value;
  spares_.pop_back();
  return read(1);
}

uffd::Value FaultServicer::ReadMessages(const AddressSpace& space, abi::Message* messages) {
  TakeSpares();
  return ReadWithSpares([&](size_t capacity) { return space.Read(messages, capacity); },
                        kMessagesMax);
}

bool FaultServicer::IsAdopted(uint64_t sequence) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::any_of(served_.begin(), served_.end(), [sequence](const auto& entry) {
    return entry.second->space->fork_sequence() == sequence;
  });
}

// Takes the child's descriptor, or returns it to be closed.
Fd FaultServicer::AcceptFork(const Served& parent, int child_fd, uint64_t sequence) {
  if (IsAdopted(sequence)) return Fd();
  Fd fd(child_fd);
  MakeNonBlocking(fd.get());
  const uint64_t parent_id = parent.space->id();
  // It may have a spare one's place, which the next fork needs.
  TakeSpares();
  if (spares_.size() < kSparesMax) {
    return RefuseFork(parent_id, std::move(fd), parent.space->RefuseFork(), EMFILE);
  }
  const uint64_t id = kForkIdBase + arena_->header().next_fork_id++;
  const std::shared_ptr<AddressSpace> child = parent.space->Fork(id, sequence, &fd);
  THAW_KILL_POINT(kChildMade);
  if (child == nullptr) {
    return RefuseFork(parent_id, std::move(fd), parent.space->RefuseFork(), ENOMEM);
  }
  if (const int error = Add(child)) {
    return RefuseFork(parent_id, child->TakeUffd(), parent.space->RefuseFork(), error);
  }
  forks_.push_back({PagerEventKind::kForked, 0, parent_id, id, child->figures_slot(), 0});
  return Fd();
}

// The child's descriptor, to be closed, unless that would make zeros of what is missing.
Fd FaultServicer::RefuseFork(uint64_t parent, Fd child, RefusedFork refused, int error) {
  const auto read = [this](int uffd, abi::Message* message) {
    return ReadWithSpares([&](size_t capacity) { return uffd::Read(uffd, message, capacity); }, 1);
  };
  const auto refuse = [&](Fd uffd, RefusedFork grandchild) {
    MakeNonBlocking(uffd.get());
    RefuseFork(parent, std::move(uffd), std::move(grandchild), error).Reset();
    TakeSpares();
  };
  const bool poisoned = refused.Poison(child.get(), read, refuse);
  PageError failure = refused.failure();
  failure.error = error;
  failure.action = poisoned ? ErrorAction::kChildPoisoned : ErrorAction::kChildHeld;
  if (failure.page_count > 0) forks_.push_back(ToEvent(parent, failure));
  if (!poisoned) HoldFork(std::move(child));
  return child;
}

void FaultServicer::HoldFork(Fd child) {
  for (std::atomic<int32_t>& held : arena_->header().held_forks) {
    if (held != 0) continue;
    held = child.Release();
    return;
  }
  child.Release();  // it stays open for as long as this process lives
}

}  // namespace thaw
