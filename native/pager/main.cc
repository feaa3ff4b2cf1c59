// thaw-pager: the fault servicer's process. The control plane starts it with the control socket as
// descriptor 3 and gives it everything else over that socket.
#include <fcntl.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "pager.h"

namespace {

// Value of the argument `name`=NUMBER; 0 where it is not given.
uint64_t NumberOf(int count, char** arguments, const char* name) {
  const size_t length = std::strlen(name);
  for (int i = 1; i < count; ++i) {
    if (std::strncmp(arguments[i], name, length) != 0) continue;
    return std::strtoull(arguments[i] + length, nullptr, 10);
  }
  return 0;
}

}  // namespace

// Arguments: --fill-threads=N, --fill-rate=BYTES-A-SECOND (BackgroundFill::Options).
int main(int count, char** arguments) {
  if (::fcntl(thaw::kPagerControlFd, F_SETFD, FD_CLOEXEC) != 0) {
    std::fputs(
        "thaw-pager: expected a control socket as descriptor 3. It is started by thaw, not by "
        "hand.\n",
        stderr);
    return 2;
  }
  // All threads share one arena of malloc's: each of its own would reserve 64 MiB of address space,
  // twice that for a moment, where a limit (`ulimit -v`) may leave none. What is done often
  // allocates nothing.
  ::mallopt(M_ARENA_MAX, 1);
  thaw::BackgroundFill::Options options;
  options.thread_count = static_cast<uint32_t>(NumberOf(count, arguments, "--fill-threads="));
  options.bytes_per_second = NumberOf(count, arguments, "--fill-rate=");
  return thaw::RunPager(options);
}
