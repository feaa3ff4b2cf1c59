// What the control plane can ask for.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "descriptors.h"
#include "pager.h"
#include "plan.h"

namespace thaw {
namespace {

std::vector<uint32_t> ToNumbers(const std::vector<uint8_t>& payload) {
  std::vector<uint32_t> numbers(payload.size() / sizeof(uint32_t));
  if (!numbers.empty()) std::memcpy(numbers.data(), payload.data(), payload.size());
  return numbers;
}

}  // namespace

void Pager::Handle(ReceivedRequest* received, ControlPacket* answer) {
  const ControlRequest& request = received->request;
  switch (static_cast<RequestOp>(request.op)) {
    case RequestOp::kAddSource:
      AddSource(received, answer);
      break;
    case RequestOp::kAddTarget:
      AddTarget(received, answer);
      break;
    case RequestOp::kDropSource:
      DropSource(request.target, answer);
      break;
    case RequestOp::kAddRemoteSource:
      AddRemoteSource(received, answer);
      break;
    case RequestOp::kReplaceSource:
    case RequestOp::kAbandonSource:
    case RequestOp::kCloseSource:
      WithRemote(received, answer);
      break;
    case RequestOp::kFill:
    case RequestOp::kPrefetch:
    case RequestOp::kSettle:
    case RequestOp::kDropTarget:
    case RequestOp::kRangesReady:
      WithTarget(request, answer);
      break;
    case RequestOp::kHandoff:
      BeginHandoff(received, answer);
      break;
    case RequestOp::kDropHandoff:
      handoffs_.Drop(request.target);  // or it is over already
      break;
    case RequestOp::kOutlive:
      Outlive(received, answer);
      break;
    case RequestOp::kLeave:
      if (!processes().outlives) return Refuse(answer, Refusal::kMalformed);
      SetAlone();
      break;
    default:
      Refuse(answer, Refusal::kMalformed);
  }
}

void Pager::AddSource(ReceivedRequest* received, ControlPacket* answer) {
  if (received->fds.size() != 1) return Refuse(answer, Refusal::kMalformed);
  uint32_t slot = 0;
  if (again_ && sources_.Find(received->request.target, &slot) != nullptr) return;
  const uint64_t id = received->request.target;
  const int error = sources_.Add(id, std::move(received->fds[0]));
  if (error != 0) return Refuse(answer, Refusal::kSourceFailed, error);
  if (received->request.flags & kSourceMapAhead) fill_.MapAhead(sources_.Find(id, &slot));
}

// Null (errno set) without a thread or an eventfd to wait with.
std::shared_ptr<RemoteSource> Pager::StartRemote(Fd fd, const RemoteSource::Options& options) {
  auto remote = std::make_shared<RemoteSource>(
      std::move(fd), options, [this](const PagerEvent& event) { PassOn(event); },
      [this](const std::shared_ptr<AddressSpace>& space, bool gone) {
        // The id may be another target's by now.
        if (servicer_.Find(space->id()) == space) servicer_.Notify(space->id(), gone);
      });
  return remote->Start() ? remote : nullptr;
}

void Pager::AddRemoteSource(ReceivedRequest* received, ControlPacket* answer) {
  const ControlRequest& request = received->request;
  if (received->fds.size() != 1) return Refuse(answer, Refusal::kMalformed);
  uint32_t slot = 0;
  const std::shared_ptr<PageSource> known = sources_.Find(request.target, &slot);
  if (again_ && known != nullptr) return known->remote()->Replace(std::move(received->fds[0]));
  RemoteSource::Options options;
  options.id = request.target;
  if (request.flags & kRemoteWideHeader) options.header_bytes = wire::kWideBytes;
  options.close_command = static_cast<uint32_t>(request.a);
  options.first_answer_ms = static_cast<uint32_t>(request.b);
  const int error = sources_.AddRemote(std::move(received->fds[0]), options);
  if (error != 0) Refuse(answer, Refusal::kSourceFailed, error);
}

void Pager::WithRemote(ReceivedRequest* received, ControlPacket* answer) {
  const ControlRequest& request = received->request;
  uint32_t slot = 0;
  const std::shared_ptr<PageSource> source = sources_.Find(request.target, &slot);
  if (source == nullptr || source->remote() == nullptr) {
    return Refuse(answer, Refusal::kUnknownSource);
  }
  RemoteSource* const remote = source->remote().get();
  switch (static_cast<RequestOp>(request.op)) {
    case RequestOp::kReplaceSource:
      if (received->fds.size() != 1) return Refuse(answer, Refusal::kMalformed);
      return remote->Replace(std::move(received->fds[0]));
    case RequestOp::kAbandonSource:
      return remote->Abandon();
    default:
      remote->Close();
      return;
  }
}

void Pager::DropSource(uint64_t id, ControlPacket* answer) {
  uint32_t slot = 0;
  const std::shared_ptr<PageSource> source = sources_.Find(id, &slot);
  if (source == nullptr && again_) return;
  if (source == nullptr) return Refuse(answer, Refusal::kUnknownSource);
  if (source->remote() != nullptr) source->remote()->Stop();
  sources_.Drop(id);
}

void Pager::AddTarget(ReceivedRequest* received, ControlPacket* answer) {
  const ControlRequest& request = received->request;
  std::vector<Fd>& fds = received->fds;
  const bool expected = request.flags & kTargetExpected;
  const bool has_pidfd = request.flags & kTargetHasPidfd;
  const auto on_error =
      static_cast<OnError>(request.flags >> kTargetOnErrorShift & kTargetOnErrorMask);
  const bool well_formed = request.b > 0 && request.b <= kWindowPagesMax &&
                           on_error <= OnError::kKill && !(expected && has_pidfd) &&
                           fds.size() == (expected    ? 1u
                                          : has_pidfd ? 3u
                                                      : 2u) &&
                           received->payload.size() % sizeof(uint32_t) == 0;
  if (!well_formed) return Refuse(answer, Refusal::kMalformed);
  if (!expected && !PrepareUffd(fds[0].get())) return Refuse(answer, Refusal::kNotUffd);
  if (const std::shared_ptr<AddressSpace> known = FindTarget(request.target); known != nullptr) {
    if (!again_) return Refuse(answer, Refusal::kTargetExists);
    answer->a = known->figures_slot();
    return;
  }
  std::vector<uint32_t> source_slots;
  std::shared_ptr<const Plan> plan =
      OpenPlan(std::move(fds[expected ? 0 : 1]), received->payload, &source_slots, answer);
  if (plan == nullptr) return;
  std::shared_ptr<AddressSpace> space =
      AddressSpace::Create(request.target, expected ? Fd() : std::move(fds[0]),
                           has_pidfd ? std::move(fds[2]) : Fd(), std::move(plan), arena_);
  if (space == nullptr) return Refuse(answer, Refusal::kOutOfMemory, ENOMEM);
  space->set_image_pid(request.a);
  std::copy(source_slots.begin(), source_slots.end(), space->source_slots());
  space->set_ranges_ready(!expected && (request.flags & kTargetAwaitsRanges) == 0);
  space->set_on_error(on_error);
  answer->a = space->figures_slot();
  space->set_window_pages_max(static_cast<uint32_t>(request.b));
  if (expected) return handoffs_.Expect(std::move(space));
  const int error = servicer_.Add(std::move(space));
  if (error != 0) Refuse(answer, Refusal::kFailed, error);
}

std::shared_ptr<AddressSpace> Pager::FindTarget(uint64_t id) {
  const std::shared_ptr<AddressSpace> served = servicer_.Find(id);
  return served == nullptr ? handoffs_.FindExpected(id) : served;
}

// Null with the answer a refusal.
std::shared_ptr<const Plan> Pager::OpenPlan(Fd fd, const std::vector<uint8_t>& source_ids,
                                            std::vector<uint32_t>* source_slots,
                                            ControlPacket* answer) {
  std::vector<std::shared_ptr<PageSource>> sources;
  for (const uint32_t id : ToNumbers(source_ids)) {
    uint32_t slot = 0;
    sources.push_back(sources_.Find(id, &slot));
    source_slots->push_back(slot);
    if (sources.back() == nullptr) {
      Refuse(answer, Refusal::kUnknownSource);
      return nullptr;
    }
  }
  Plan::Error plan_error = Plan::Error::kNone;
  std::shared_ptr<const Plan> plan = Plan::Adopt(std::move(fd), std::move(sources), &plan_error);
  if (plan_error == Plan::Error::kUnmappable) {
    Refuse(answer, Refusal::kOutOfMemory, ENOMEM);
  } else if (plan == nullptr) {
    answer->a = static_cast<uint64_t>(plan_error);
    Refuse(answer, Refusal::kBadPlan);
  }
  return plan;
}

void Pager::BeginHandoff(ReceivedRequest* received, ControlPacket* answer) {
  const ControlRequest& request = received->request;
  if (received->fds.size() != 1 || received->payload.size() % sizeof(uint32_t) != 0) {
    return Refuse(answer, Refusal::kMalformed);
  }
  if (again_ && handoffs_.Has(request.target)) return;
  const std::vector<uint32_t> targets = ToNumbers(received->payload);
  const int error =
      handoffs_.Begin({request.target, (request.flags & kHandoffFill) != 0,
                       static_cast<uint32_t>(request.a), request.b * 1'000'000, targets},
                      std::move(received->fds[0]));
  if (error == ENOENT) return Refuse(answer, Refusal::kUnknownTarget);
  if (error == EEXIST) return Refuse(answer, Refusal::kMalformed);
  if (error == ENOSPC) return Refuse(answer, Refusal::kNoHandoffSlot);
  if (error != 0) Refuse(answer, Refusal::kFailed, error);
}

void Pager::WithTarget(const ControlRequest& request, ControlPacket* answer) {
  std::shared_ptr<AddressSpace> space = servicer_.Find(request.target);
  const auto op = static_cast<RequestOp>(request.op);
  if (op == RequestOp::kDropTarget && handoffs_.Forget(request.target)) return;
  if (space == nullptr && again_ && op == RequestOp::kDropTarget) return;
  if (space == nullptr) return Refuse(answer, Refusal::kUnknownTarget);
  switch (static_cast<RequestOp>(request.op)) {
    case RequestOp::kFill:
      return Release(*space, true);
    case RequestOp::kRangesReady:
      return Release(*space, false);
    case RequestOp::kSettle:
      return servicer_.Settle(request.target, request.request_id);
    case RequestOp::kPrefetch:
      return fill_.Prefetch(std::move(space), request.a, request.b, request.request_id);
    default:
      return servicer_.Drop(request.target);
  }
}

void Pager::Outlive(ReceivedRequest* received, ControlPacket* answer) {
  if (received->fds.size() != 1) return Refuse(answer, Refusal::kMalformed);
  // What it inherited may be a pipe whose reader waits for the end.
  if (::dup2(received->fds[0].get(), STDERR_FILENO) < 0) {
    return Refuse(answer, Refusal::kFailed, errno);
  }
  processes().outlives = true;
}

}  // namespace thaw
