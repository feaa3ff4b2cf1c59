#include "control_socket.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "attached_fds.h"
#include "pager_event.h"

namespace thaw {
namespace {

constexpr size_t kPacketBytesMax = 256 * 1024;
constexpr size_t kFdsMax = 16;
// Packets kept from which on failures of pages are dropped.
constexpr size_t kKeptMax = 4096;

bool IsEvent(const ControlPacket& packet, PagerEventKind kind) {
  return packet.kind == static_cast<uint32_t>(PacketKind::kEvent) &&
         packet.event_kind == static_cast<uint32_t>(kind);
}

}  // namespace

ControlSocket::ControlSocket(int fd) : fd_(fd), received_(kPacketBytesMax) {}

int ControlSocket::Start() {
  wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  return wake_.valid() ? 0 : errno;
}

ControlSocket::Received ControlSocket::Receive(ReceivedRequest* received) {
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsMax * sizeof(int))];
  const thaw::Received message =
      ReceiveAttached(fd_, received_.data(), received_.size(), control, sizeof(control), MSG_PEEK);
  if (message.byte_length <= 0) return Received::kEnd;
  const auto count = static_cast<size_t>(message.byte_length);
  received->fds = TakeAttachedFds(control, message.attached_length).fds;
  std::memset(&received->request, 0, sizeof(received->request));
  std::memcpy(&received->request, received_.data(), std::min(count, sizeof(received->request)));
  if (message.flags & MSG_TRUNC) return Received::kMalformed;
  if (count < sizeof(ControlRequest)) return Received::kMalformed;
  if (message.flags & MSG_CTRUNC) {
    return received->fds.size() < kFdsMax ? Received::kNoDescriptors : Received::kMalformed;
  }
  received->payload.assign(received_.begin() + sizeof(ControlRequest), received_.begin() + count);
  return Received::kRequest;
}

bool ControlSocket::Wait(int other, int other_ms) {
  for (;;) {
    const short send = SendKept() ? 0 : POLLOUT;
    pollfd polls[] = {
        {fd_, static_cast<short>(POLLIN | send), 0}, {wake_.get(), POLLIN, 0}, {other, POLLIN, 0}};
    const int ready = ::poll(polls, 3, other_ms);
    if (ready < 0) continue;
    if (polls[0].revents & ~POLLOUT) return true;
    if (ready == 0 || polls[2].revents != 0) return false;
    eventfd_t ignored;
    ::eventfd_read(wake_.get(), &ignored);
  }
}

// Descriptors that travel with it were received before, and are dropped here.
void ControlSocket::Consume() {
  while (!SendKept()) {
    pollfd poll{fd_, POLLOUT, 0};
    ::poll(&poll, 1, -1);
  }
  char byte;
  while (::recv(fd_, &byte, sizeof(byte), MSG_DONTWAIT) < 0 && errno == EINTR) {
  }
}

void ControlSocket::Send(const ControlPacket& packet, int fd) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (kept_.empty() && TrySend(packet, fd)) return;
  if (kept_.size() >= kKeptMax && IsEvent(packet, PagerEventKind::kPageError)) return;
  kept_.push_back(packet);
  ::eventfd_write(wake_.get(), 1);
}

// False when there is no room. To a control plane that is gone everything is sent.
bool ControlSocket::TrySend(const ControlPacket& packet, int fd) {
  iovec vector{const_cast<ControlPacket*>(&packet), sizeof(packet)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (fd >= 0) AttachFds(&fd, 1, control, &message);
  ssize_t count;
  do {
    count = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  return count >= 0 || errno != EAGAIN;
}

// Whether nothing is kept any more.
bool ControlSocket::SendKept() {
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!kept_.empty() && TrySend(kept_.front(), -1)) kept_.pop_front();
  return kept_.empty();
}

bool ControlSocket::Forget(uint64_t child) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto fork = std::find_if(kept_.begin(), kept_.end(), [&](const ControlPacket& packet) {
    return IsEvent(packet, PagerEventKind::kForked) && packet.a == child;
  });
  if (fork == kept_.end()) return false;
  const uint64_t parent = fork->target;
  kept_.erase(fork);
  for (ControlPacket& packet : kept_) {
    const bool told_of_it = packet.kind == static_cast<uint32_t>(PacketKind::kEvent);
    if (told_of_it && packet.target == child) packet.target = parent;
  }
  return true;
}

}  // namespace thaw
