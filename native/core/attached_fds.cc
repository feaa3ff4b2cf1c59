#include "attached_fds.h"

#include <cstring>

namespace thaw {
namespace {

int FdAt(const cmsghdr* header, size_t index) {
  int fd;
  std::memcpy(&fd, CMSG_DATA(header) + index * sizeof(int), sizeof(int));
  return fd;
}

}  // namespace

AttachedFds TakeAttachedFds(const msghdr& message) {
  AttachedFds attached;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message);
       header != nullptr && header->cmsg_len >= sizeof(cmsghdr);
       header = CMSG_NXTHDR(const_cast<msghdr*>(&message), header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == kScmPidfd) {
      attached.pidfd = Fd(FdAt(header, 0));  // negative: the sender is gone
      continue;
    }
    if (header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) attached.fds.emplace_back(FdAt(header, i));
  }
  return attached;
}

}  // namespace thaw
