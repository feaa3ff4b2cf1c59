// What travels with a message over a local socket, besides its bytes.
#ifndef THAW_NATIVE_CORE_ATTACHED_FDS_H_
#define THAW_NATIVE_CORE_ATTACHED_FDS_H_

#include <sys/socket.h>

#include <cstddef>
#include <vector>

#include "fd.h"

namespace thaw {

// Linux 6.5; older headers lack them.
inline constexpr int kSoPassPidfd = 76;
inline constexpr int kScmPidfd = 4;

// The kernel's SCM_MAX_FD.
inline constexpr size_t kAttachedFdsMax = 253;
// Room for all of it.
inline constexpr size_t kAttachedBytes =
    CMSG_SPACE(sizeof(int) * kAttachedFdsMax) + CMSG_SPACE(sizeof(int));

struct AttachedFds {
  std::vector<Fd> fds;
  Fd pidfd;  // of the sender, where the socket has SO_PASSPIDFD and the sender lives
};

// Takes over what the kernel wrote into the message's control buffer. A buffer that was zeroed
// before may be given whole.
AttachedFds TakeAttachedFds(const msghdr& message);

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_ATTACHED_FDS_H_
