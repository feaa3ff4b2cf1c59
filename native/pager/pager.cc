#include "pager.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <unordered_map>

#include "clock.h"
#include "keeper.h"
#include "kill_point.h"
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
    case ErrorAction::kChildPoisoned:
      return "it has forked a child that cannot be served, where a touch is SIGBUS";
    case ErrorAction::kChildHeld:
      return "it has forked a child that cannot be served, where whoever touches them waits";
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

// Another worker goes on: it begins with less.
[[noreturn]] void EndWithoutMemory() {
  constexpr char kText[] = "thaw-pager: Error: out of memory\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText, sizeof(kText) - 1);
  std::abort();
}

bool IsEnd(PagerEventKind kind) {
  return kind == PagerEventKind::kResident || kind == PagerEventKind::kGone;
}

// Workers that may die of one request.
constexpr uint32_t kRequestTriesMax = 3;

bool IsUffd(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  char target[64] = {};
  if (::readlink(path.c_str(), target, sizeof(target) - 1) < 0) return false;
  return std::strcmp(target, "anon_inode:[userfaultfd]") == 0;
}

}  // namespace

Pager::Pager(int control, const BackgroundFill::Options& options, Arena* arena)
    : control_(control),
      options_(options),
      arena_(arena),
      servicer_([this](const PagerEvent& event) { PassOn(event); }, arena_),
      fill_([this](const PagerEvent& event) { PassOn(event); }, &servicer_),
      sources_(arena_, [this](Fd fd, const RemoteSource::Options& options) {
        return StartRemote(std::move(fd), options);
      }) {}

int Pager::Run(bool recovered) {
  if (!(recovered ? Recover() : Start())) {
    std::perror("thaw-pager: cannot start");
    if (!recovered) processes().end = 1 + 1;
    return 1;
  }
  while (Step()) {
  }
  if (processes().outlives) ServeToTheEnd();
  fill_.Stop();
  for (const auto& remote : sources_.Remotes()) remote->Stop();
  servicer_.Stop();
  processes().end = 0 + 1;
  return 0;
}

bool Pager::Start() {
  errno = control_.Start();
  if (errno != 0) return false;
  errno = servicer_.Start(&fill_);
  if (errno != 0) return false;
  fill_.Start();
  fill_.Configure(options_);
  SayHello();
  return true;
}

bool Pager::Recover() {
  arena_->Recover();
  errno = control_.Start();
  if (errno != 0) return false;
  std::vector<std::shared_ptr<AddressSpace>> spaces;
  if (!OpenRecorded(&spaces)) return false;
  errno = servicer_.Start(&fill_, spaces);
  if (errno != 0) return false;
  fill_.Start();
  fill_.Configure(options_);
  for (std::shared_ptr<AddressSpace>& space : spaces) {
    const bool fill = space->fill_wanted() && space->ranges_ready() && !space->retired();
    if (fill) fill_.AddTarget(std::move(space));
  }
  if (!processes().said_hello) SayHello();
  THAW_KILL_POINT(kRecovered);
  TellTakeover();
  return true;
}

// Every target of the arena; each plan is opened once.
bool Pager::OpenRecorded(std::vector<std::shared_ptr<AddressSpace>>* spaces) {
  errno = sources_.Recover();
  if (errno != 0) return false;
  std::unordered_map<int, std::shared_ptr<const Plan>> plans;
  for (const uint32_t slot : arena_->PublishedTargets()) {
    const TargetRecord& record = *arena_->target(slot);
    if (record.retired_as != TargetState::kFree) {
      spaces->push_back(AddressSpace::Recover(slot, nullptr, arena_));
      continue;
    }
    std::shared_ptr<const Plan>& plan = plans[record.plan_fd];
    if (plan == nullptr) {
      std::vector<std::shared_ptr<PageSource>> sources;
      for (uint32_t i = 0; i < record.source_count; ++i) {
        sources.push_back(sources_.FindSlot(arena_->source_slots(record)[i]));
      }
      Plan::Error error = Plan::Error::kNone;
      plan = Plan::Adopt(Fd(record.plan_fd), std::move(sources), &error);
      if (plan == nullptr) return false;
    }
    spaces->push_back(AddressSpace::Recover(slot, plan, arena_));
  }
  sources_.EndRecovery();
  return true;
}

// Said once: by the worker that is ready, however many it took.
void Pager::TellTakeover() {
  const double took_ms = static_cast<double>(MonotonicNs() - processes().died_ns) / 1e6;
  const int status = processes().died_of;
  std::string reason;
  if (status >= 0 && WIFSIGNALED(status)) {
    reason = std::string(" (SIG") + ::sigabbrev_np(WTERMSIG(status)) + ")";
  }
  processes().takeovers += 1;
  std::fprintf(stderr, "thaw-pager: worker %d died%s; worker %d took over after %.1f ms\n",
               processes().died_pid.load(), reason.c_str(), ::getpid(), took_ms);
  PassOn({PagerEventKind::kTookOver, 0, 0, processes().takeovers, 0, 0});
}

void Pager::SayHello() {
  ControlPacket hello{};
  hello.kind = static_cast<uint32_t>(PacketKind::kHello);
  hello.a = kControlVersion;
  control_.Send(hello, arena_->fd());
  processes().said_hello = true;
}

// Handles the next request; false at the control plane's end.
bool Pager::Step() {
  ReceivedRequest received;
  const ControlSocket::Received kind = control_.Receive(&received);
  if (kind == ControlSocket::Received::kEnd) return false;
  THAW_KILL_POINT(kRequestReceived);
  ControlPacket answer{};
  answer.kind = static_cast<uint32_t>(PacketKind::kAnswer);
  answer.request_id = received.request.request_id;
  answer.target = received.request.target;
  if (kind == ControlSocket::Received::kMalformed) {
    Refuse(&answer, Refusal::kMalformed);
  } else if (kind == ControlSocket::Received::kNoDescriptors) {
    Refuse(&answer, Refusal::kNoDescriptors, EMFILE);
  } else if (TakeInHand(answer.request_id)) {
    Handle(&received, &answer);
  } else {
    Refuse(&answer, Refusal::kFailed, EIO);
  }
  THAW_KILL_POINT(kRequestHandled);
  control_.Send(answer);
  THAW_KILL_POINT(kRequestAnswered);
  control_.Consume();
  return true;
}

// False for a request that workers have died of before.
bool Pager::TakeInHand(uint64_t request_id) {
  if (processes().request_id != request_id) {
    processes().request_try = 0;
    processes().request_id = request_id;
  }
  const uint32_t before = processes().request_try++;
  again_ = before > 0;
  return before < kRequestTriesMax;
}

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
    case RequestOp::kOutlive:
      Outlive(received, answer);
      break;
    default:
      Refuse(answer, Refusal::kMalformed);
  }
}

void Pager::AddSource(ReceivedRequest* received, ControlPacket* answer) {
  if (received->fds.size() != 1) return Refuse(answer, Refusal::kMalformed);
  uint32_t slot = 0;
  if (again_ && sources_.Find(received->request.target, &slot) != nullptr) return;
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
  const bool has_pidfd = request.flags & kTargetHasPidfd;
  if (request.b == 0 || request.b > kWindowPagesMax) return Refuse(answer, Refusal::kMalformed);
  if (fds.size() != (has_pidfd ? 3u : 2u) || received->payload.size() % sizeof(uint32_t) != 0) {
    return Refuse(answer, Refusal::kMalformed);
  }
  const auto on_error =
      static_cast<OnError>(request.flags >> kTargetOnErrorShift & kTargetOnErrorMask);
  if (on_error > OnError::kKill) return Refuse(answer, Refusal::kMalformed);
  if (!IsUffd(fds[0].get())) return Refuse(answer, Refusal::kNotUffd);
  const std::shared_ptr<AddressSpace> known = again_ ? servicer_.Find(request.target) : nullptr;
  if (known != nullptr) {
    answer->a = known->figures_slot();
    return;
  }
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
  std::shared_ptr<const Plan> plan =
      Plan::Adopt(std::move(fds[1]), std::move(sources), &plan_error);
  if (plan_error == Plan::Error::kUnmappable) {
    return Refuse(answer, Refusal::kOutOfMemory, ENOMEM);
  }
  if (plan == nullptr) {
    answer->a = static_cast<uint64_t>(plan_error);
    return Refuse(answer, Refusal::kBadPlan);
  }
  // poll(2) answers POLLERR for a blocking uffd, and a read must never hold the fault thread up.
  ::fcntl(fds[0].get(), F_SETFL, ::fcntl(fds[0].get(), F_GETFL) | O_NONBLOCK);
  std::shared_ptr<AddressSpace> space =
      AddressSpace::Create(request.target, std::move(fds[0]), has_pidfd ? std::move(fds[2]) : Fd(),
                           std::move(plan), arena_);
  if (space == nullptr) return Refuse(answer, Refusal::kOutOfMemory, ENOMEM);
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
  const auto op = static_cast<RequestOp>(request.op);
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
  processes().outlives = true;
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
    if (IsEnd(event.kind)) servicer_.Drop(event.target);
    const std::lock_guard<std::mutex> lock(end_mutex_);
    if (event.kind == PagerEventKind::kSourceClosed && remotes_open_ > 0) --remotes_open_;
    return end_.notify_all();
  }
  // A child that came and went while nobody listened: there is nobody to let go of it either.
  if (IsEnd(event.kind) && control_.Forget(event.target)) return servicer_.Drop(event.target);
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

int RunPager(const BackgroundFill::Options& options) {
  Arena arena;
  if (!arena.Create()) {
    std::perror("thaw-pager: cannot start");
    return 1;
  }
#ifdef THAW_KILL_POINTS
  kill_switch = &arena.header().kill_switch;
#endif
  Keeper keeper(&arena, [&](bool recovered) {
    std::set_new_handler(EndWithoutMemory);
    Pager pager(kPagerControlFd, options, &arena);
    return pager.Run(recovered);
  });
  return keeper.Run();
}

}  // namespace thaw
