#include "attached_fds.h"

#include <cerrno>
#include <cstring>

namespace thaw {
namespace {

int FdAt(const cmsghdr* header, size_t index) {
  int fd;
  std::memcpy(&fd, CMSG_DATA(header) + index * sizeof(int), sizeof(int));
  return fd;
}

}  // namespace

Received ReceiveAttached(int fd, void* bytes, size_t byte_length, void* attached, size_t capacity,
                         int flags) {
  iovec part{bytes, byte_length};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = attached;
  message.msg_controllen = capacity;
  ssize_t received;
  do {
    received = ::recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  return {received, message.msg_flags, received < 0 ? 0 : message.msg_controllen};
}

AttachedFds TakeAttachedFds(void* attached, size_t length) {
  msghdr message{};
  message.msg_control = attached;
  message.msg_controllen = length;
  AttachedFds taken;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message);
       header != nullptr && header->cmsg_len >= sizeof(cmsghdr);
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == kScmPidfd) {
      taken.pidfd = Fd(FdAt(header, 0));  // negative: the sender is gone
      continue;
    }
    if (header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) taken.fds.emplace_back(FdAt(header, i));
  }
  return taken;
}

void AttachFds(const int* fds, size_t count, void* attached, msghdr* message) {
  message->msg_control = attached;
  message->msg_controllen = CMSG_SPACE(count * sizeof(int));
  cmsghdr* const header = CMSG_FIRSTHDR(message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(count * sizeof(int));
  std::memcpy(CMSG_DATA(header), fds, count * sizeof(int));
}

}  // namespace thaw
