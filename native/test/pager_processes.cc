#include "pager_processes.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "attached_fds.h"
#include "pager.h"
#include "process_facts.h"

namespace thaw::testing {
namespace {

constexpr int kDeadlineMs = 10'000;

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::abort();
}

template <typename Condition>
bool Until(Condition condition) {
  for (int i = 0; i < kDeadlineMs; ++i) {
    if (condition()) return true;
    ::usleep(1000);
  }
  return false;
}

[[noreturn]] void RunChild(int socket) {
  ::setsid();
  Require(::dup2(socket, kPagerControlFd) == kPagerControlFd, "dup2");
  ::close_range(kPagerControlFd + 1, ~0u, 0);
  ::alarm(0);
  ::_exit(RunPager({}));
}

}  // namespace

long PrivateKib(pid_t pid) {
  const long kib = ReadNumberOf("/proc/" + std::to_string(pid) + "/status", "RssAnon:");
  Require(kib >= 0, "RssAnon");
  return kib;
}

PagerProcesses::PagerProcesses(Stderr stderr_of) {
  int sockets[2];
  Require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0, "socketpair");
  std::fflush(nullptr);
  pid_ = ::fork();
  Require(pid_ >= 0, "fork");
  if (pid_ == 0) {
    if (stderr_of == Stderr::kNone) std::freopen("/dev/null", "w", stderr);
    RunChild(sockets[1]);
  }
  ::close(sockets[1]);
  socket_ = Fd(sockets[0]);
  ControlPacket hello{};
  int fd = -1;
  Require(Receive(&hello, &fd) && fd >= 0, "the pager's hello");
  arena_ = UniqueMapping::Map(kTargetsOffset, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
  Require(arena_.valid(), "mmap");
  arena_fd_ = Fd(fd);
  Require(WaitWhole(), "three processes");
}

PagerProcesses::~PagerProcesses() {
  ::kill(-pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

ArenaHeader& PagerProcesses::header() const {
  return *reinterpret_cast<ArenaHeader*>(arena_.data() + kHeaderOffset);
}

const Figures& PagerProcesses::figures(uint64_t slot) const {
  return *reinterpret_cast<const Figures*>(arena_.data() + slot * kFiguresSlotBytes);
}

bool PagerProcesses::Receive(ControlPacket* packet, int* fd) {
  pollfd poll{socket_.get(), POLLIN, 0};
  if (::poll(&poll, 1, kDeadlineMs) != 1) return false;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  const Received received =
      ReceiveAttached(socket_.get(), packet, sizeof(*packet), control, sizeof(control), 0);
  if (received.byte_length != sizeof(*packet)) return false;
  AttachedFds attached = TakeAttachedFds(control, received.attached_length);
  if (!attached.fds.empty()) *fd = attached.fds[0].Release();
  return true;
}

bool PagerProcesses::Ask(RequestOp op, uint64_t target, std::vector<int> fds, uint64_t a,
                         const std::vector<uint32_t>& ids, uint64_t b) {
  ControlRequest request{static_cast<uint32_t>(op), 0, next_request_id_++, target, a, b};
  if (op == RequestOp::kHandoff) request.flags = kHandoffFill;
  if (op == RequestOp::kAddTarget) {
    request.b = 16;
    if (fds.size() == 3) request.flags = kTargetHasPidfd;
    if (fds.size() == 1) request.flags = kTargetExpected;
  }
  iovec vectors[2] = {{&request, sizeof(request)},
                      {const_cast<uint32_t*>(ids.data()), ids.size() * sizeof(uint32_t)}};
  alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = vectors;
  message.msg_iovlen = 2;
  if (!fds.empty()) AttachFds(fds.data(), fds.size(), control, &message);
  if (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) < 0) return false;
  for (;;) {
    ControlPacket packet{};
    int fd = -1;
    if (!Receive(&packet, &fd)) return false;
    if (packet.kind == static_cast<uint32_t>(PacketKind::kEvent)) events_.push_back(packet);
    const bool answer = packet.kind == static_cast<uint32_t>(PacketKind::kAnswer);
    if (!answer || packet.request_id != request.request_id) continue;
    if (op == RequestOp::kAddTarget) slot_ = packet.a;
    return packet.refusal == 0;
  }
}

bool PagerProcesses::Add(uint64_t id, LazyTarget* target, TestImage* image) {
  const std::shared_ptr<const Plan> plan = image->plan();
  const Fd uffd = target->TakeUffd(), pidfd = target->TakePidfd();
  return Ask(RequestOp::kAddSource, id, {image->source_fd()}) &&
         Ask(RequestOp::kAddTarget, id, {uffd.get(), plan->fd(), pidfd.get()}, 0,
             {static_cast<uint32_t>(id)});
}

void PagerProcesses::Arm(KillPoint point, KillPoint next) {
  header().kill_switch.next = next;
  header().kill_switch.point = point;
}

void PagerProcesses::ArmTimes(KillPoint point, uint32_t times) {
  header().kill_switch.again = times - 1;
  Arm(point);
}

bool PagerProcesses::WaitHits(uint32_t count) const {
  return Until([&] { return hits() >= count; });
}

template <typename Condition>
const ControlPacket* PagerProcesses::WaitFor(Condition condition) {
  for (size_t at = 0;; ++at) {
    while (at == events_.size()) {
      ControlPacket packet{};
      int fd = -1;
      if (!Receive(&packet, &fd)) return nullptr;
      if (packet.kind == static_cast<uint32_t>(PacketKind::kEvent)) events_.push_back(packet);
    }
    if (condition(events_[at])) return &events_[at];
  }
}

const ControlPacket* PagerProcesses::WaitEvent(PagerEventKind kind, uint64_t target) {
  return WaitFor([&](const ControlPacket& packet) {
    return packet.event_kind == static_cast<uint32_t>(kind) && packet.target == target;
  });
}

bool PagerProcesses::WaitEnd(uint64_t target) {
  const ControlPacket* const found = WaitFor([&](const ControlPacket& packet) {
    const auto kind = static_cast<PagerEventKind>(packet.event_kind);
    const bool end = kind == PagerEventKind::kResident || kind == PagerEventKind::kGone;
    return end && packet.target == target;
  });
  return found != nullptr;
}

uint64_t PagerProcesses::CountEvents(PagerEventKind kind) const {
  return std::count_if(events_.begin(), events_.end(), [&](const ControlPacket& packet) {
    return packet.event_kind == static_cast<uint32_t>(kind);
  });
}

bool PagerProcesses::WaitWhole(pid_t killed) const {
  const auto lives = [killed](pid_t pid) {
    if (pid == killed) return false;
    char path[64];
    std::snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    std::FILE* const file = std::fopen(path, "r");
    if (file == nullptr) return false;
    char state = 'Z';
    const int fields = std::fscanf(file, "%*d (%*[^)]) %c", &state);
    std::fclose(file);
    return fields == 1 && state != 'Z' && state != 'X';
  };
  return Until([&] {
    const ProcessRecord& record = processes();
    const pid_t keeper = record.keeper_pid;  // once: it changes meanwhile
    const pid_t standby = record.standby_pid;
    // A standby that takes office is both for a moment.
    if (keeper == standby) return false;
    return record.released == record.epoch && lives(record.worker_pid) && lives(keeper) &&
           lives(standby);
  });
}

bool PagerProcesses::WaitNone() const {
  return Until([&] {
    ::waitpid(pid_, nullptr, WNOHANG);
    return ::kill(-pid_, 0) != 0;
  });
}

uint64_t PagerProcesses::arena_bytes() const {
  struct stat status;
  Require(::fstat(arena_fd_.get(), &status) == 0, "fstat");
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

bool PagerProcesses::ReplaceWorker() {
  const uint64_t takeovers = processes().takeovers;
  ::kill(processes().worker_pid, SIGKILL);
  return Until([&] { return processes().takeovers > takeovers; });
}

bool PagerProcesses::Close() {
  ::shutdown(socket_.get(), SHUT_WR);
  ControlPacket packet{};
  pollfd poll{socket_.get(), POLLIN, 0};
  // The socket ends with the last process.
  while (::poll(&poll, 1, kDeadlineMs) == 1) {
    if (::recv(socket_.get(), &packet, sizeof(packet), 0) <= 0) return true;
    if (packet.kind == static_cast<uint32_t>(PacketKind::kEvent)) events_.push_back(packet);
  }
  return false;
}

}  // namespace thaw::testing
