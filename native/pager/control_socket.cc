#include "control_socket.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>

namespace thaw {
namespace {

constexpr size_t kPacketBytesMax = 256 * 1024;
constexpr size_t kFdsMax = 16;

std::vector<Fd> TakeFds(const msghdr& message) {
  std::vector<Fd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(const_cast<msghdr*>(&message), header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

ControlSocket::ControlSocket(int fd) : fd_(fd) {
  const timeval limit{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

ControlSocket::Received ControlSocket::Receive(ReceivedRequest* received) {
  std::vector<uint8_t> packet(kPacketBytesMax);
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsMax * sizeof(int))];
  iovec vector{packet.data(), packet.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t count;
  do {
    count = ::recvmsg(fd_, &message, MSG_PEEK | MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count <= 0) return Received::kEnd;
  received->fds = TakeFds(message);
  const bool whole = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  std::memset(&received->request, 0, sizeof(received->request));
  std::memcpy(&received->request, packet.data(),
              std::min<size_t>(count, sizeof(received->request)));
  if (!whole || static_cast<size_t>(count) < sizeof(ControlRequest)) return Received::kMalformed;
  received->payload.assign(packet.begin() + sizeof(ControlRequest), packet.begin() + count);
  return Received::kRequest;
}

// Descriptors that travel with it were received before, and are dropped here.
void ControlSocket::Consume() {
  char byte;
  while (::recv(fd_, &byte, sizeof(byte), MSG_DONTWAIT) < 0 && errno == EINTR) {
  }
}

void ControlSocket::Send(const ControlPacket& packet, int fd) {
  iovec vector{const_cast<ControlPacket*>(&packet), sizeof(packet)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(int));
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  while (::sendmsg(fd_, &message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

}  // namespace thaw
