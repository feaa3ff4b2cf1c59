// thaw-pager: the fault servicer's process. The control plane starts it with the control socket as
// descriptor 3 and gives it everything else over that socket.
#include <fcntl.h>

#include <cstdio>

#include "pager.h"

int main() {
  if (::fcntl(thaw::kPagerControlFd, F_SETFD, FD_CLOEXEC) != 0) {
    std::fputs(
        "thaw-pager: expected a control socket as descriptor 3. It is started by thaw, not by "
        "hand.\n",
        stderr);
    return 2;
  }
  thaw::Pager pager{thaw::Fd(thaw::kPagerControlFd)};
  return pager.Run();
}
