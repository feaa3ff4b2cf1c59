// The pager's end of the control socket.
#ifndef THAW_NATIVE_PAGER_CONTROL_SOCKET_H_
#define THAW_NATIVE_PAGER_CONTROL_SOCKET_H_

#include <cstdint>
#include <mutex>
#include <vector>

#include "control_messages.h"
#include "fd.h"

namespace thaw {

struct ReceivedRequest {
  ControlRequest request;
  std::vector<uint8_t> payload;
  std::vector<Fd> fds;
};

class ControlSocket {
 public:
  // `fd` is not closed: it is open in all of the pager's processes until the last of them ends, and
  // that end is what the control plane waits for.
  explicit ControlSocket(int fd);

  enum class Received { kRequest, kMalformed, kEnd };
  // Waits for one request, without a limit: the control plane's end wakes it. The request stays in
  // the socket until Consume(): a process that dies meanwhile leaves it to the next.
  Received Receive(ReceivedRequest* received);
  void Consume();

  // Sends one packet, with at most one descriptor. Any thread. Waits up to a second for room; a
  // peer that does not read for that long loses the packet (figures tell the same).
  void Send(const ControlPacket& packet, int fd = -1);

 private:
  const int fd_;
  std::mutex mutex_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_PAGER_CONTROL_SOCKET_H_
