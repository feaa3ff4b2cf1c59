#include "lazy_target.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

#include "uffd.h"

namespace thaw::testing {
namespace {

constexpr unsigned kChildSeconds = 50;

void Require(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::abort();
}

// What a servicer opens for itself.
std::set<int> WaitDescriptors() {
  std::set<int> found;
  for (int fd = 0; fd < 4096; ++fd) {
    char name[64] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    if (::readlink(link.c_str(), name, sizeof(name) - 1) < 0) continue;
    const std::string kind = name;
    if (kind == "anon_inode:[eventpoll]" || kind == "anon_inode:[eventfd]") found.insert(fd);
  }
  return found;
}

int AnswerOf(int status) { return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status); }

}  // namespace

bool ReadPage(uint64_t vaddr, uint8_t* bytes) {
  static int fds[2] = {-1, -1};
  static pid_t owner = 0;
  // A forked child must not share its parent's pipe.
  if (owner != ::getpid()) Require(::pipe2(fds, O_CLOEXEC) == 0, "pipe2");
  owner = ::getpid();
  if (::write(fds[1], Pointer(vaddr), kPageSize) != static_cast<ssize_t>(kPageSize)) return false;
  return ::read(fds[0], bytes, kPageSize) == static_cast<ssize_t>(kPageSize);
}

bool HoldsPages(const TestImage& image, uint32_t first, uint32_t end, int64_t offset) {
  for (uint32_t page = first; page < end; ++page) {
    if (!image.Holds(page, Pointer(image.At(page) + static_cast<uint64_t>(offset)))) return false;
  }
  return true;
}

int CountPoisoned(const TestImage& image, uint32_t* poisoned) {
  std::vector<uint8_t> bytes(kPageSize);
  for (uint32_t page = 0; page < image.page_count(); ++page) {
    if (!ReadPage(image.At(page), bytes.data())) {
      ++*poisoned;
    } else if (!image.Holds(page, bytes.data())) {
      return kWrong;
    }
  }
  return kRight;
}

bool IsZeroAt(uint64_t vaddr) { return IsZeroPage(Pointer(vaddr)); }

bool AreZero(const TestImage& image, uint32_t first, uint32_t end, int64_t offset) {
  for (uint32_t page = first; page < end; ++page) {
    if (!IsZeroAt(image.At(page) + static_cast<uint64_t>(offset))) return false;
  }
  return true;
}

int Discard(const TestImage& image, uint32_t page, uint32_t count, int advice) {
  return ::madvise(Pointer(image.At(page)), count * kPageSize, advice);
}

int64_t MoveAway(const TestImage& image, uint32_t page, uint32_t count, uint32_t new_count,
                 int flags) {
  void* const place =
      ::mmap(nullptr, new_count * kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* const moved = ::mremap(Pointer(image.At(page)), count * kPageSize, new_count * kPageSize,
                               MREMAP_MAYMOVE | MREMAP_FIXED | flags, place);
  if (moved == MAP_FAILED) ::_exit(9);
  return static_cast<int64_t>(reinterpret_cast<uint64_t>(moved) - image.At(page));
}

int WaitFor(pid_t child) {
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return kWrong;
  return AnswerOf(status);
}

void LazyTarget::Self::Meet() const {
  char byte = 'm';
  if (::write(socket_, &byte, 1) != 1 || ::read(socket_, &byte, 1) != 1) ::_exit(kWrong);
}

LazyTarget::LazyTarget(const TestImage& image, const Body& body)
    : LazyTarget(image, body, Options()) {}

LazyTarget::LazyTarget(const TestImage& image, const Body& body, Options options) {
  int sockets[2];
  Require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0, "socketpair");
  std::fflush(nullptr);
  pid_ = ::fork();
  Require(pid_ >= 0, "fork");
  if (pid_ == 0) {
    ::close(sockets[0]);
    RunChild(image, body, options, sockets[1]);
  }
  ::close(sockets[1]);
  socket_ = Fd(sockets[0]);
  int number = -1;
  Require(::read(socket_.get(), &number, sizeof(number)) == sizeof(number), "a target's uffd");
  const Fd pidfd = TakePidfd();
  uffd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), number, 0)));
  Require(uffd_.valid(), "pidfd_getfd");
}

LazyTarget::~LazyTarget() {
  if (reaped_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Fd LazyTarget::TakePidfd() {
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  Require(pidfd.valid(), "pidfd_open");
  return pidfd;
}

void LazyTarget::RunChild(const TestImage& image, const Body& body, const Options& options,
                          int socket) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::alarm(kChildSeconds);
  // The signals themselves, rather than a sanitizer's report of them.
  for (const int number : {SIGBUS, SIGSEGV}) ::signal(number, SIG_DFL);
  Self self(socket);
  self.uffd_ = static_cast<int>(uffd::OpenBySyscall(O_CLOEXEC | O_NONBLOCK).value);
  abi::Api api{};
  api.features = options.features != ~uint64_t{0}
                     ? options.features
                     : abi::kFeatureEventFork | abi::kFeatureEventRemap | abi::kFeatureEventRemove |
                           abi::kFeatureEventUnmap;
  Require(uffd::Api(self.uffd_, &api) == 0, "UFFDIO_API");
  void* const place = ::mmap(Pointer(image.start()), image.byte_length(), options.protection,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  Require(place != MAP_FAILED, "mmap");
  const abi::Range range{image.start(), image.byte_length()};
  Require(uffd::Register(self.uffd_, range, abi::kRegisterMissing) == 0, "UFFDIO_REGISTER");
  Require(::write(socket, &self.uffd_, sizeof(int)) == sizeof(int), "write");
  char go;
  if (::read(socket, &go, 1) != 1) ::_exit(kWrong);
  if (!options.keep_uffd) ::close(self.uffd_);
  ::_exit(body(self));
}

void LazyTarget::Go() { Require(::write(socket_.get(), "g", 1) == 1, "write"); }

void LazyTarget::Meet() {
  char byte = 0;
  Require(::read(socket_.get(), &byte, 1) == 1, "the target has not come to the meeting");
  Require(::write(socket_.get(), &byte, 1) == 1, "write");
}

int LazyTarget::Wait(int seconds) {
  const Fd pidfd = TakePidfd();
  pollfd poll{pidfd.get(), POLLIN, 0};
  if (::poll(&poll, 1, seconds * 1000) != 1) return kHung;
  int status = 0;
  ::waitpid(pid_, &status, 0);
  reaped_ = true;
  return AnswerOf(status);
}

PagerRig::PagerRig() {
  Require(arena_.Create(), "Arena::Create");
  sink_ = [this](const PagerEvent& event) {
    // A forked child is known to the servicer when this comes.
    if (event.kind == PagerEventKind::kForked && fill_forks_) {
      if (auto child = servicer_->Find(event.a)) fill_->AddTarget(std::move(child));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    events_.push_back(event);
    changed_.notify_all();
  };
  Start({});
}

void PagerRig::Start(std::vector<std::shared_ptr<AddressSpace>> recovered) {
  servicer_ = std::make_unique<FaultServicer>(sink_, &arena_);
  fill_ = std::make_unique<BackgroundFill>(sink_, servicer_.get());
  const std::set<int> before = WaitDescriptors();
  Require(servicer_->Start(fill_.get(), recovered) == 0, "FaultServicer::Start");
  own_descriptors_.clear();
  for (const int fd : WaitDescriptors()) {
    if (before.count(fd) == 0) own_descriptors_.push_back(fd);
  }
  fill_->Start();
  for (std::shared_ptr<AddressSpace>& space : recovered) {
    if (space->fill_wanted() && !space->retired()) fill_->AddTarget(std::move(space));
  }
}

void PagerRig::Abandon() {
  fill_->Stop();
  servicer_->Stop();
  // Never destroyed: that would close descriptors.
  static auto* const abandoned_servicers = new std::vector<std::unique_ptr<FaultServicer>>();
  static auto* const abandoned_fills = new std::vector<std::unique_ptr<BackgroundFill>>();
  abandoned_servicers->push_back(std::move(servicer_));
  abandoned_fills->push_back(std::move(fill_));
  for (const int fd : own_descriptors_) ::close(fd);
}

void PagerRig::Recover() {
  arena_.Recover();
  std::vector<std::shared_ptr<AddressSpace>> spaces;
  for (const uint32_t slot : arena_.PublishedTargets()) {
    const auto plan = std::find_if(plans_.begin(), plans_.end(), [&](const auto& known) {
      return known->fd() == arena_.target(slot)->plan_fd;
    });
    Require(plan != plans_.end(), "the plan of a record");
    spaces.push_back(AddressSpace::Recover(slot, *plan, &arena_));
  }
  Start(std::move(spaces));
}

RemoteSource::Look PagerRig::look() {
  return [this](const std::shared_ptr<AddressSpace>& space, bool gone) {
    servicer_->Notify(space->id(), gone);
  };
}

PagerRig::~PagerRig() {
  fill_->Stop();
  servicer_->Stop();
}

std::shared_ptr<AddressSpace> PagerRig::Add(uint64_t id, LazyTarget* target, TestImage* image,
                                            bool window, bool with_pidfd, uint64_t image_pid) {
  Fd pidfd = with_pidfd ? target->TakePidfd() : Fd();
  plans_.push_back(image->plan());
  std::shared_ptr<AddressSpace> space =
      AddressSpace::Create(id, target->TakeUffd(), std::move(pidfd), image->plan(), &arena_);
  Require(space != nullptr, "AddressSpace::Create");
  space->set_image_pid(image_pid);
  space->set_window_pages_max(window ? 16 : 1);
  Require(servicer_->Add(space) == 0, "FaultServicer::Add");
  return space;
}

bool PagerRig::Wait(uint64_t target, std::vector<PagerEventKind> kinds, int seconds) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(seconds), [&] {
    return std::any_of(events_.begin(), events_.end(), [&](const PagerEvent& event) {
      return event.target == target &&
             std::find(kinds.begin(), kinds.end(), event.kind) != kinds.end();
    });
  });
}

bool PagerRig::WaitEvent(PagerEventKind kind, uint64_t target, int seconds) {
  return Wait(target, {kind}, seconds);
}

bool PagerRig::WaitEnd(uint64_t target) {
  return Wait(target, {PagerEventKind::kResident, PagerEventKind::kGone}, 5);
}

std::vector<PagerEvent> PagerRig::Events(PagerEventKind kind) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<PagerEvent> found;
  for (const PagerEvent& event : events_) {
    if (event.kind == kind) found.push_back(event);
  }
  return found;
}

double CpuSeconds() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace thaw::testing
