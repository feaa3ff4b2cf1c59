#include "keeper.h"

#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <vector>

#include "clock.h"
#include "descriptors.h"
#include "kill_point.h"
#include "syscall.h"

namespace thaw {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
// Workers that may die one right after the other before the next has to wait, and how long.
constexpr uint32_t kQuickDeathsMax = 10;
constexpr unsigned kRestartPauseUs = 1'000'000;
constexpr unsigned kClonePauseUs = 100'000;
// How often a worker that was not released looks whether it ever will be.
constexpr long kReleaseLookNs = 20'000'000;

ProcessRecord* signalled = nullptr;

// Somebody wants the pager to end: this process ends at once, the others when they see it.
void OnEndSignal(int number) {
  int32_t running = 0;
  signalled->end.compare_exchange_strong(running, 128 + number + 1);
  ::signal(number, SIG_DFL);
  ::raise(number);
}

// fork(2) that shares the descriptor table. The child's pidfd, close-on-exec, is put into `pidfd`.
pid_t Clone(int* pidfd) {
  pid_t pid;
  while ((pid = static_cast<pid_t>(
              ::syscall(SYS_clone, CLONE_FILES | CLONE_PIDFD | SIGCHLD, 0, pidfd, 0, 0))) < 0) {
    std::fprintf(stderr, "thaw-pager: cannot start a process: %s; trying again\n",
                 std::strerror(errno));
    ::usleep(kClonePauseUs);
  }
  return pid;
}

void CloseFd(std::atomic<int32_t>* fd) {
  const int number = fd->exchange(-1);
  if (number >= 0) ::close(number);
}

bool HasEnded(int pidfd) {
  pollfd poll{pidfd, POLLIN, 0};
  return pidfd < 0 || (::poll(&poll, 1, 0) == 1 && poll.revents != 0);
}

void Kill(int pidfd) {
  if (pidfd >= 0) Syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, 0, 0);
}

}  // namespace

int Keeper::Run() {
  for (auto* fd :
       {&processes().worker_pidfd, &processes().keeper_pidfd, &processes().standby_pidfd}) {
    *fd = -1;
  }
  signalled = &processes();
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::signal(number, OnEndSignal);
  ::signal(SIGPIPE, SIG_IGN);
  TakeOffice();
  StartWorker();
  return Keep();
}

void Keeper::TakeOffice() {
  ::prctl(PR_SET_NAME, "thaw-keeper");
  processes().keeper_pid = ::getpid();
  CloseFd(&processes().keeper_pidfd);
  CloseFd(&processes().standby_pidfd);  // its own, where it was the standby
  processes().keeper_pidfd = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
  StartStandby();
}

void Keeper::StartStandby() {
  CloseFd(&processes().standby_pidfd);
  int pidfd = -1;
  const pid_t pid = Clone(&pidfd);
  if (pid == 0) StandBy();
  THAW_KILL_POINT(kStandbyCloned);
  processes().standby_pid = pid;
  processes().standby_pidfd = pidfd;
}

// Without a limit: it waits for the keeper's end.
void Keeper::StandBy() {
  ::prctl(PR_SET_NAME, "thaw-standby");
  const int keeper = processes().keeper_pid;
  while (!HasEnded(processes().keeper_pidfd)) {
    pollfd poll{processes().keeper_pidfd, POLLIN, 0};
    ::poll(&poll, 1, -1);
  }
  if (!ended()) {
    std::fprintf(stderr, "thaw-pager: keeper %d died; %d took its place\n", keeper, ::getpid());
    TakeOffice();
    // The keeper may have died while it replaced the worker.
    if (processes().released != processes().epoch) StartWorker();
  }
  ::_exit(Keep());
}

// Without a limit: it waits for the end of the others.
int Keeper::Keep() {
  while (!ended()) {
    if (HasEnded(processes().worker_pidfd)) {
      ReplaceWorker();
    } else if (HasEnded(processes().standby_pidfd)) {
      while (::waitpid(processes().standby_pid, nullptr, WNOHANG) > 0) {
      }
      if (!ended()) StartStandby();
    } else {
      pollfd polls[] = {{processes().worker_pidfd, POLLIN, 0},
                        {processes().standby_pidfd, POLLIN, 0}};
      ::poll(polls, 2, -1);
    }
  }
  return End();
}

void Keeper::ReplaceWorker() {
  int status = -1;
  const pid_t pid = processes().worker_pid;
  // Not every worker is this process's child.
  if (::waitpid(pid, &status, WNOHANG) != pid) status = -1;
  if (ended()) return;
  processes().died_ns = MonotonicNs();
  processes().died_pid = pid;
  processes().died_of = status;
  PaceRestarts();
  StartWorker();
}

// A worker that cannot stay alive must not take the machine: targets wait meanwhile.
void Keeper::PaceRestarts() {
  quick_deaths_ = MonotonicNs() - started_ns_ < kSecondNs ? quick_deaths_ + 1 : 0;
  if (quick_deaths_ < kQuickDeathsMax) return;
  std::fprintf(stderr,
               "thaw-pager: Error: %u workers died one after the other; targets wait, and it is "
               "tried again every second\n",
               quick_deaths_);
  ::usleep(kRestartPauseUs);
}

void Keeper::StartWorker() {
  CloseFd(&processes().worker_pidfd);
  CloseUnrecorded(*arena_);
  const uint32_t epoch = ++processes().epoch;
  started_ns_ = MonotonicNs();
  int pidfd = -1;
  const pid_t pid = Clone(&pidfd);
  if (pid == 0) WorkOnceReleased(epoch);
  THAW_KILL_POINT(kWorkerCloned);
  processes().worker_pid = pid;
  processes().worker_pidfd = pidfd;
  processes().released = epoch;
  Syscall(SYS_futex, &processes().released, FUTEX_WAKE, INT_MAX, 0, 0, 0);
}

void Keeper::WorkOnceReleased(uint32_t epoch) {
  const timespec look{0, kReleaseLookNs};
  for (;;) {
    const uint32_t released = processes().released;
    if (released == epoch) break;
    // Its keeper has died, and the next one has started another worker.
    if (processes().epoch != epoch) ::_exit(0);
    Syscall(SYS_futex, &processes().released, FUTEX_WAIT, released, &look, 0, 0);
  }
  ::prctl(PR_SET_NAME, "thaw-pager");
  ::_exit(work_(epoch != 1));
}

// The others first, so that nothing of the pager is left once this process is gone.
int Keeper::End() {
  std::vector<int> others = {processes().worker_pidfd};
  if (processes().standby_pid != ::getpid()) others.push_back(processes().standby_pidfd);
  for (const int fd : others) {
    Kill(fd);
    pollfd poll{fd, POLLIN, 0};
    if (fd >= 0) ::poll(&poll, 1, -1);  // killed: it ends
  }
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  return processes().end - 1;
}

}  // namespace thaw
