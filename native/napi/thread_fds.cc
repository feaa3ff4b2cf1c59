#include "thread_fds.h"

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "blocking_pool.h"

namespace thaw {
namespace {

// Whether a child, which has not been reaped, is a process of ours: a pager or a host.
bool IsOurs(pid_t child) {
  std::ifstream comm("/proc/" + std::to_string(child) + "/comm");
  std::string name;
  return std::getline(comm, name) && name.rfind("thaw-", 0) == 0;
}

void Reap(pid_t child) {
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// A pager may go on for as long as it likes, and hosts end only when this thread has.
void ReapChildren() {
  std::ifstream children("/proc/thread-self/children");
  for (pid_t child; children >> child;) {
    if (IsOurs(child)) BlockingPool::Instance().Run([child] { Reap(child); });
  }
}

}  // namespace

ThreadFds::~ThreadFds() {
  for (const int fd : fds_) ::close(fd);
  ReapChildren();
}

}  // namespace thaw
