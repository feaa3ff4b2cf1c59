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

// What recvmsg(2) says.
struct Received {
  ssize_t byte_length;     // negative: errno tells
  int flags;               // of the message
  size_t attached_length;  // bytes of `attached` that were used
};

// Receives a message, and into `attached` (aligned as a cmsghdr) what travels with it; descriptors
// are close-on-exec. `flags`: of recvmsg(2).
Received ReceiveAttached(int fd, void* bytes, size_t byte_length, void* attached, size_t capacity,
                         int flags);

// Takes over what was received into `attached`. A buffer that was zeroed before may be given whole.
AttachedFds TakeAttachedFds(void* attached, size_t length);

// Has `fds` travel with `message`. `attached`: zeroed, aligned as a cmsghdr, with room for them;
// used until the message is sent.
void AttachFds(const int* fds, size_t count, void* attached, msghdr* message);

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_ATTACHED_FDS_H_
