#include "pager.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>
#include <string>
#include <unordered_map>

#include "clock.h"
#include "keeper.h"
#include "kill_point.h"
#include "plan.h"

namespace thaw {
namespace {

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

}  // namespace

Pager::Pager(int control, const BackgroundFill::Options& options, Arena* arena)
    : control_(control),
      options_(options),
      arena_(arena),
      servicer_([this](const PagerEvent& event) { PassOn(event); }, arena_),
      fill_([this](const PagerEvent& event) { PassOn(event); }, &servicer_),
      sources_(arena_,
               [this](Fd fd, const RemoteSource::Options& options) {
                 return StartRemote(std::move(fd), options);
               }),
      handoffs_(arena_, {[this](auto space) { return servicer_.Add(std::move(space)); },
                         [this](AddressSpace& target, bool fill) { Release(target, fill); },
                         [this](const PagerEvent& event) { PassOn(event); }}) {}

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
  errno = handoffs_.Start();
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
  std::vector<std::shared_ptr<AddressSpace>> recorded, spaces;
  if (!OpenRecorded(&recorded)) return false;
  std::copy_if(recorded.begin(), recorded.end(), std::back_inserter(spaces),
               [](const auto& space) { return space->attached(); });
  errno = servicer_.Start(&fill_, spaces);
  if (errno != 0) return false;
  errno = handoffs_.Start(recorded);
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

// Handles the next request, or what CRIU says; false once there is no control plane any more.
bool Pager::Step() {
  if (!control_.Wait(handoffs_.fd(), handoffs_.WaitMsMax())) {
    handoffs_.Serve();
    return true;
  }
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
  return !alone_;
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

// Without a limit: it takes as long as the targets do, filled or not. What CRIU has not handed over
// yet comes first.
void Pager::ServeToTheEnd() {
  SetAlone();
  for (const auto& remote : sources_.Remotes()) remote->ExpectNoOther();
  while (!handoffs_.empty()) {
    pollfd poll{handoffs_.fd(), POLLIN, 0};
    ::poll(&poll, 1, handoffs_.WaitMsMax());
    handoffs_.Serve();
  }
  handoffs_.ForgetOthers();
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

// From here on nothing is told but in the log.
void Pager::SetAlone() {
  const std::lock_guard<std::mutex> lock(tell_mutex_);
  alone_ = true;
}

void Pager::PassOn(const PagerEvent& event) {
  if (event.kind == PagerEventKind::kForked) AdoptChild(event);
  if (!Tell(event)) EndAlone(event);
}

// False when there is no control plane any more.
bool Pager::Tell(const PagerEvent& event) {
  const std::lock_guard<std::mutex> lock(tell_mutex_);
  if (alone_) return false;
  if (IsEnd(event.kind) && control_.Forget(event.target)) {
    // A child that came and went while nobody listened: there is nobody to let go of it either.
    servicer_.Drop(event.target);
    return true;
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
  return true;
}

void Pager::EndAlone(const PagerEvent& event) {
  Log(event);
  // Tasks that do not run yet can still go on where they were dumped.
  if (event.kind == PagerEventKind::kSourceLost) handoffs_.Abandon();
  if (IsEnd(event.kind)) servicer_.Drop(event.target);
  const std::lock_guard<std::mutex> lock(end_mutex_);
  if (event.kind == PagerEventKind::kSourceClosed && remotes_open_ > 0) --remotes_open_;
  end_.notify_all();
}

// What the control plane would say, once it is gone.
void Pager::Log(const PagerEvent& event) {
  if (event.kind == PagerEventKind::kSourceLost) {
    std::fprintf(stderr, "Error: the connection to the page server is lost: %s\n",
                 std::strerror(event.error));
    return;
  }
  if (event.kind == PagerEventKind::kHandoffEnd) {
    if (event.a == static_cast<uint64_t>(HandoffEnd::kRestored)) return;
    std::fprintf(stderr, "Error: criu restore ended, or went wrong, before all tasks were there\n");
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
