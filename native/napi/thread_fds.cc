#include "thread_fds.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "blocking_pool.h"

namespace thaw {
namespace {

constexpr idtype_t kByPidfd = static_cast<idtype_t>(3);  // P_PIDFD, which older headers lack

// Whether `fd` is a pidfd of a child that has not been reaped. Reaps one that has ended.
bool IsChild(int fd) {
  siginfo_t status{};
  return ::waitid(kByPidfd, static_cast<id_t>(fd), &status, WEXITED | WNOHANG) == 0 &&
         status.si_pid == 0;
}

void Reap(int pidfd) {
  siginfo_t status{};
  while (::waitid(kByPidfd, static_cast<id_t>(pidfd), &status, WEXITED) != 0 && errno == EINTR) {
  }
  ::close(pidfd);
}

}  // namespace

ThreadFds::~ThreadFds() {
  for (const int fd : fds_) {
    // A child may go on for as long as it likes, and hosts end only when this thread has.
    const bool left = IsChild(fd) && BlockingPool::Instance().Run([fd] { Reap(fd); });
    if (!left) ::close(fd);
  }
}

}  // namespace thaw
