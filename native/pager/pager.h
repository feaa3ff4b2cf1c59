// The pager: carries out the control plane's requests with the servicer and the fill.
#ifndef THAW_NATIVE_PAGER_PAGER_H_
#define THAW_NATIVE_PAGER_PAGER_H_

#include <memory>
#include <unordered_map>

#include "arena.h"
#include "background_fill.h"
#include "control_socket.h"
#include "fault_servicer.h"
#include "page_source.h"

namespace thaw {

class Pager {
 public:
  explicit Pager(Fd control);

  // Serves until the control plane is gone; the process's exit status.
  int Run();

 private:
  void Handle(ReceivedRequest* received);
  void AddSource(ReceivedRequest* received, ControlPacket* answer);
  void AddTarget(ReceivedRequest* received, ControlPacket* answer);
  void WithTarget(const ControlRequest& request, ControlPacket* answer);
  void PassOn(const PagerEvent& event);

  ControlSocket control_;
  Arena arena_;
  FaultServicer servicer_;
  BackgroundFill fill_;
  std::unordered_map<uint64_t, std::shared_ptr<PageSource>> sources_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_PAGER_PAGER_H_
