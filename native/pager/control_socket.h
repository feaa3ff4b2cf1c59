// The pager's end of the control socket.
#ifndef THAW_NATIVE_PAGER_CONTROL_SOCKET_H_
#define THAW_NATIVE_PAGER_CONTROL_SOCKET_H_

#include <cstdint>
#include <deque>
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
  // Before all else. 0 or a positive errno.
  int Start();

  // Waits until there is a request, or the control plane's end: true. False once `other` can be
  // read from, or after `other_ms` (-1: no limit). Sends meanwhile what the control plane did not
  // read yet.
  bool Wait(int other, int other_ms);

  // kNoDescriptors: none is left for those that travel with the request.
  enum class Received { kRequest, kMalformed, kNoDescriptors, kEnd };
  // The request that Wait() told of. It stays in the socket until Consume(): a process that dies
  // meanwhile leaves it to the next.
  Received Receive(ReceivedRequest* received);
  // Once its answer has gone out: waits, without a limit, until the control plane has read enough,
  // or has ended.
  void Consume();

  // Sends one packet, the first one with at most one descriptor. Any thread. Never waits: while the
  // control plane does not read, packets are kept: a few for each target and for each request.
  // Failures of pages are dropped when too many are kept already, and are in the figures only.
  void Send(const ControlPacket& packet, int fd = -1);

  // Any thread: forgets what is kept of a forked child, if nobody has heard of it. Its children
  // become those of its parent.
  bool Forget(uint64_t child);

 private:
  bool TrySend(const ControlPacket& packet, int fd);
  bool SendKept();

  const int fd_;
  Fd wake_;  // that a packet is kept
  std::vector<uint8_t> received_;
  std::mutex mutex_;  // guards kept_, and the order of what is sent
  std::deque<ControlPacket> kept_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_PAGER_CONTROL_SOCKET_H_
