#include "pager.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
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

const char* DescribeError(int error) {
  return error == EILSEQ ? "another checksum than they were written with" : std::strerror(error);
}

const char* DescribeAction(ErrorAction action) {
  switch (action) {
    case ErrorAction::kNone:
    case ErrorAction::kRetrying:
    case ErrorAction::kResumed:
      break;
    case ErrorAction::kPoisoned:
      return "a touch is SIGBUS";
    case ErrorAction::kStopped:
      return "the process was stopped";
    case ErrorAction::kKilled:
      return "the process was killed";
    case ErrorAction::kHeld:
      return "whoever touches them waits";
  }
  return "nothing is registered there";
}

void LogPageError(const std::string& target, const PagerEvent& event) {
  const auto action = static_cast<ErrorAction>(event.e);
  if (action == ErrorAction::kRetrying) {
    std::fprintf(stderr, "Warn: %s: a read failed, and is tried again: %s\n", target.c_str(),
                 std::strerror(event.error));
    return;
  }
  if (action == ErrorAction::kResumed) {
    std::fprintf(stderr, "%s: no read is tried again any more\n", target.c_str());
    return;
  }
  std::fprintf(stderr, "Error: %s: %s pages from 0x%llx on cannot be produced: %s; %s\n",
               target.c_str(), std::to_string(event.b).c_str(),
               static_cast<unsigned long long>(event.a), DescribeError(event.error),
               DescribeAction(action));
}

bool IsUffd(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  char target[64] = {};
  if (::readlink(path.c_str(), target, sizeof(target) - 1) < 0) return false;
  return std::strcmp(target, "anon_inode:[userfaultfd]") == 0;
}

}  // namespace

Pager::Pager(Fd control, const BackgroundFill::Options& options)
    : control_(std::move(control)),
      options_(options),
      servicer_([this](const PagerEvent& event) { PassOn(event); }, &arena_),
      fill_([this](const PagerEvent& event) { PassOn(event); }, &servicer_),
      sources_(&arena_, [this](Fd fd, const RemoteSource::Options& options) {
        return StartRemote(std::move(fd), options);
      }) {}

int Pager::Run() {
  if (!arena_.Create() || servicer_.Start(&fill_) != 0) {
    std::perror("thaw-pager: cannot start");
    return 1;
  }
  fill_.Start();
  fill_.Configure(options_);
  ControlPacket hello{};
  hello.kind = static_cast<uint32_t>(PacketKind::kHello);
  hello.a = kControlVersion;
  control_.Send(hello, arena_.fd());
  for (;;) {
    ReceivedRequest received;
    switch (control_.Receive(&received)) {
      case ControlSocket::Received::kEnd:
        if (outlives_) ServeToTheEnd();
        fill_.Stop();
        for (const auto& remote : sources_.Remotes()) remote->Stop();
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
      DropSource(request.target, &answer);
      break;
    case RequestOp::kAddRemoteSource:
      AddRemoteSource(received, &answer);
      break;
    case RequestOp::kReplaceSource:
    case RequestOp::kAbandonSource:
    case RequestOp::kCloseSource:
      WithRemote(received, &answer);
      break;
    case RequestOp::kFill:
    case RequestOp::kPrefetch:
    case RequestOp::kSettle:
    case RequestOp::kDropTarget:
    case RequestOp::kRangesReady:
      WithTarget(request, &answer);
      break;
    case RequestOp::kOutlive:
      Outlive(received, &answer);
      break;
    default:
      Refuse(&answer, Refusal::kMalformed);
  }
  control_.Send(answer);
}

void Pager::AddSource(ReceivedRequest* received, ControlPacket* answer) {
  if (received->fds.size() != 1) return Refuse(answer, Refusal::kMalformed);
  const int error = sources_.Add(received->request.target, std::move(received->fds[0]));
  if (error != 0) Refuse(answer, Refusal::kSourceFailed, error);
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
  if (source == nullptr) return Refuse(answer, Refusal::kUnknownSource);
  if (source->remote() != nullptr) source->remote()->Stop();
  sources_.Drop(id);
}

void Pager::AddTarget(ReceivedRequest* received, ControlPacket* answer) {
  const ControlRequest& request = received->request;
  std::vector<Fd>& fds = received->fds;
  const bool has_pidfd = request.flags & kTargetHasPidfd;
  if (request.b == 0 || request.b > kWindowPagesMax) return Refuse(answer, Refusal::kMalformed);
  if (fds.size() != (has_pidfd ? 3u : 2u) || received->payload.size() % sizeof(uint32_t) != 0) {
    return Refuse(answer, Refusal::kMalformed);
  }
  const auto on_error =
      static_cast<OnError>(request.flags >> kTargetOnErrorShift & kTargetOnErrorMask);
  if (on_error > OnError::kKill) return Refuse(answer, Refusal::kMalformed);
  if (!IsUffd(fds[0].get())) return Refuse(answer, Refusal::kNotUffd);
  std::vector<std::shared_ptr<PageSource>> sources;
  std::vector<uint32_t> source_slots;
  for (size_t at = 0; at < received->payload.size(); at += sizeof(uint32_t)) {
    uint32_t id;
    std::memcpy(&id, received->payload.data() + at, sizeof(id));
    uint32_t slot = 0;
    sources.push_back(sources_.Find(id, &slot));
    source_slots.push_back(slot);
    if (sources.back() == nullptr) return Refuse(answer, Refusal::kUnknownSource);
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
  space->set_remote_task(request.a);
  std::copy(source_slots.begin(), source_slots.end(), space->source_slots());
  space->set_ranges_ready((request.flags & kTargetAwaitsRanges) == 0);
  space->set_on_error(on_error);
  answer->a = space->figures_slot();
  space->set_window_pages_max(static_cast<uint32_t>(request.b));
  const int error = servicer_.Add(std::move(space));
  if (error == EEXIST) return Refuse(answer, Refusal::kTargetExists);
  if (error != 0) Refuse(answer, Refusal::kFailed, error);
}

void Pager::WithTarget(const ControlRequest& request, ControlPacket* answer) {
  std::shared_ptr<AddressSpace> space = servicer_.Find(request.target);
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

// The ranges of a target, and of all that it forked, are registered. Fills them, or has them looked
// at: they may have everything already.
void Pager::Release(AddressSpace& target, bool fill) {
  // In itself first: what it forks meanwhile takes that from there (AdoptChild).
  target.set_ranges_ready(true);
  if (fill) target.want_fill();
  for (std::shared_ptr<AddressSpace>& space : servicer_.FindFamily(target.id())) {
    ReleaseOne(std::move(space), fill);
  }
}

void Pager::ReleaseOne(std::shared_ptr<AddressSpace> space, bool fill) {
  space->set_ranges_ready(true);
  if (fill) return fill_.AddTarget(std::move(space));
  servicer_.Notify(space->id(), false);
}

void Pager::AdoptChild(const PagerEvent& event) {
  std::shared_ptr<AddressSpace> child = servicer_.Find(event.a);
  if (child == nullptr) return;
  const std::shared_ptr<AddressSpace> origin = servicer_.Find(child->origin());
  const AddressSpace& model = origin == nullptr ? *child : *origin;
  const bool fill = model.fill_wanted();
  if (model.ranges_ready()) ReleaseOne(std::move(child), fill);
}

void Pager::Outlive(ReceivedRequest* received, ControlPacket* answer) {
  if (received->fds.size() != 1) return Refuse(answer, Refusal::kMalformed);
  // What it inherited may be a pipe whose reader waits for the end.
  if (::dup2(received->fds[0].get(), STDERR_FILENO) < 0) {
    return Refuse(answer, Refusal::kFailed, errno);
  }
  outlives_ = true;
}

// Without a limit: it takes as long as the targets do, filled or not.
void Pager::ServeToTheEnd() {
  alone_ = true;
  for (const auto& remote : sources_.Remotes()) remote->ExpectNoOther();
  std::unique_lock<std::mutex> lock(end_mutex_);
  end_.wait(lock, [this] { return servicer_.CountServing() == 0; });
  lock.unlock();
  CloseRemotes();
}

// Takes leave of the page servers, each of which has a limit of its own for it.
void Pager::CloseRemotes() {
  std::unique_lock<std::mutex> lock(end_mutex_);
  for (const auto& remote : sources_.Remotes()) {
    if (remote->Close()) ++remotes_open_;
  }
  end_.wait(lock, [this] { return remotes_open_ == 0; });
}

void Pager::PassOn(const PagerEvent& event) {
  if (event.kind == PagerEventKind::kForked) AdoptChild(event);
  if (alone_) {
    Log(event);
    const std::lock_guard<std::mutex> lock(end_mutex_);
    if (event.kind == PagerEventKind::kSourceClosed && remotes_open_ > 0) --remotes_open_;
    return end_.notify_all();
  }
  ControlPacket packet{};
  packet.kind = static_cast<uint32_t>(PacketKind::kEvent);
  packet.event_kind = static_cast<uint32_t>(event.kind);
  packet.error = event.error;
  packet.target = event.target;
  packet.a = event.a;
  packet.b = event.b;
  packet.c = event.c;
  packet.d = event.d;
  packet.e = event.e;
  control_.Send(packet);
}

// What the control plane would say, once it is gone.
void Pager::Log(const PagerEvent& event) {
  if (event.kind == PagerEventKind::kSourceLost) {
    std::fprintf(stderr, "Error: the connection to the page server is lost: %s\n",
                 std::strerror(event.error));
    return;
  }
  const std::shared_ptr<AddressSpace> space = servicer_.Find(event.target);
  if (space == nullptr) return;
  const std::string target = "target " + std::to_string(event.target);
  switch (event.kind) {
    case PagerEventKind::kPageError:
      return LogPageError(target, event);
    case PagerEventKind::kResident:
    case PagerEventKind::kGone: {
      const Figures& figures = space->figures();
      std::fprintf(stderr, "%s: UFFD transferred pages: (%s/%s)\n", target.c_str(),
                   std::to_string(figures.demand_pages + figures.filled_pages).c_str(),
                   std::to_string(figures.data_pages).c_str());
      return;
    }
    default:
      return;
  }
}

}  // namespace thaw
