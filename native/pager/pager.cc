#include "pager.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "plan.h"

namespace thaw {
namespace {

void Refuse(ControlPacket* answer, Refusal refusal, int error = 0) {
  answer->refusal = static_cast<uint32_t>(refusal);
  answer->error = error;
}

bool IsUffd(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  char target[64] = {};
  if (::readlink(path.c_str(), target, sizeof(target) - 1) < 0) return false;
  return std::strcmp(target, "anon_inode:[userfaultfd]") == 0;
}

}  // namespace

Pager::Pager(Fd control)
    : control_(std::move(control)),
      servicer_([this](const PagerEvent& event) { PassOn(event); }, &arena_),
      fill_([this](const PagerEvent& event) { PassOn(event); }, &servicer_) {}

int Pager::Run() {
  if (!arena_.Create() || servicer_.Start() != 0) {
    std::perror("thaw-pager: cannot start");
    return 1;
  }
  fill_.Start();
  ControlPacket hello{};
  hello.kind = static_cast<uint32_t>(PacketKind::kHello);
  hello.a = kControlVersion;
  control_.Send(hello, arena_.fd());
  for (;;) {
    ReceivedRequest received;
    switch (control_.Receive(&received)) {
      case ControlSocket::Received::kEnd:
        fill_.Stop();
        servicer_.Stop();
        return 0;
      case ControlSocket::Received::kMalformed: {
        ControlPacket answer{};
        answer.kind = static_cast<uint32_t>(PacketKind::kAnswer);
        answer.request_id = received.request.request_id;
        Refuse(&answer, Refusal::kMalformed);
        control_.Send(answer);
        break;
      }
      case ControlSocket::Received::kRequest:
        Handle(&received);
        break;
    }
  }
}

void Pager::Handle(ReceivedRequest* received) {
  const ControlRequest& request = received->request;
  ControlPacket answer{};
  answer.kind = static_cast<uint32_t>(PacketKind::kAnswer);
  answer.request_id = request.request_id;
  answer.target = request.target;
  switch (static_cast<RequestOp>(request.op)) {
    case RequestOp::kAddSource:
      AddSource(received, &answer);
      break;
    case RequestOp::kAddTarget:
      AddTarget(received, &answer);
      break;
    case RequestOp::kDropSource:
      if (sources_.erase(request.target) == 0) Refuse(&answer, Refusal::kUnknownSource);
      break;
    case RequestOp::kFill:
    case RequestOp::kPrefetch:
    case RequestOp::kDropTarget:
      WithTarget(request, &answer);
      break;
    default:
      Refuse(&answer, Refusal::kMalformed);
  }
  control_.Send(answer);
}

void Pager::AddSource(ReceivedRequest* received, ControlPacket* answer) {
  if (received->fds.size() != 1) return Refuse(answer, Refusal::kMalformed);
  int error = 0;
  std::shared_ptr<PageSource> source = PageSource::Open(std::move(received->fds[0]), &error);
  if (source == nullptr) return Refuse(answer, Refusal::kSourceFailed, error);
  sources_[received->request.target] = std::move(source);
}

void Pager::AddTarget(ReceivedRequest* received, ControlPacket* answer) {
  const ControlRequest& request = received->request;
  std::vector<Fd>& fds = received->fds;
  const bool has_pidfd = request.flags & kTargetHasPidfd;
  if (fds.size() != (has_pidfd ? 3u : 2u) || received->payload.size() % sizeof(uint32_t) != 0) {
    return Refuse(answer, Refusal::kMalformed);
  }
  if (!IsUffd(fds[0].get())) return Refuse(answer, Refusal::kNotUffd);
  std::vector<std::shared_ptr<PageSource>> sources;
  for (size_t at = 0; at < received->payload.size(); at += sizeof(uint32_t)) {
    uint32_t id;
    std::memcpy(&id, received->payload.data() + at, sizeof(id));
    const auto found = sources_.find(id);
    if (found == sources_.end()) return Refuse(answer, Refusal::kUnknownSource);
    sources.push_back(found->second);
  }
  Plan::Error plan_error = Plan::Error::kNone;
  std::shared_ptr<const Plan> plan = Plan::Open(fds[1].get(), std::move(sources), &plan_error);
  if (plan == nullptr) {
    answer->a = static_cast<uint64_t>(plan_error);
    return Refuse(answer, Refusal::kBadPlan);
  }
  // poll(2) answers POLLERR for a blocking uffd, and a read must never hold the fault thread up.
  ::fcntl(fds[0].get(), F_SETFL, ::fcntl(fds[0].get(), F_GETFL) | O_NONBLOCK);
  std::shared_ptr<AddressSpace> space =
      AddressSpace::Create(request.target, std::move(fds[0]), has_pidfd ? std::move(fds[2]) : Fd(),
                           std::move(plan), &arena_);
  if (space == nullptr) return Refuse(answer, Refusal::kOutOfMemory);
  answer->a = space->figures_slot();
  const int error = servicer_.Add(std::move(space), request.flags & kTargetWindow);
  if (error == EEXIST) return Refuse(answer, Refusal::kTargetExists);
  if (error != 0) Refuse(answer, Refusal::kFailed, error);
}

void Pager::WithTarget(const ControlRequest& request, ControlPacket* answer) {
  std::shared_ptr<AddressSpace> space = servicer_.Find(request.target);
  if (space == nullptr) return Refuse(answer, Refusal::kUnknownTarget);
  switch (static_cast<RequestOp>(request.op)) {
    case RequestOp::kFill:
      return fill_.AddTarget(std::move(space));
    case RequestOp::kPrefetch:
      return fill_.Prefetch(std::move(space), request.a, request.b, request.request_id);
    default:
      return servicer_.Drop(request.target);
  }
}

void Pager::PassOn(const PagerEvent& event) {
  ControlPacket packet{};
  packet.kind = static_cast<uint32_t>(PacketKind::kEvent);
  packet.event_kind = static_cast<uint32_t>(event.kind);
  packet.error = event.error;
  packet.target = event.target;
  packet.a = event.a;
  packet.b = event.b;
  packet.c = event.c;
  control_.Send(packet);
}

}  // namespace thaw
