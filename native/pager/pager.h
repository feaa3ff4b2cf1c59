// The pager: carries out the control plane's requests with the servicer and the fill.
#ifndef THAW_NATIVE_PAGER_PAGER_H_
#define THAW_NATIVE_PAGER_PAGER_H_

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "arena.h"
#include "background_fill.h"
#include "control_socket.h"
#include "fault_servicer.h"
#include "source_table.h"

namespace thaw {

class Pager {
 public:
  Pager(Fd control, const BackgroundFill::Options& options);

  // Serves until the control plane is gone, and then, if it said so, until every target is resident
  // or gone; the process's exit status.
  int Run();

 private:
  void Handle(ReceivedRequest* received);
  void AddSource(ReceivedRequest* received, ControlPacket* answer);
  std::shared_ptr<RemoteSource> StartRemote(Fd fd, const RemoteSource::Options& options);
  void AddRemoteSource(ReceivedRequest* received, ControlPacket* answer);
  void WithRemote(ReceivedRequest* received, ControlPacket* answer);
  void DropSource(uint64_t id, ControlPacket* answer);
  void CloseRemotes();
  void AddTarget(ReceivedRequest* received, ControlPacket* answer);
  void WithTarget(const ControlRequest& request, ControlPacket* answer);
  void Outlive(ReceivedRequest* received, ControlPacket* answer);
  void ServeToTheEnd();
  void Release(AddressSpace& target, bool fill);
  void ReleaseOne(std::shared_ptr<AddressSpace> space, bool fill);
  void AdoptChild(const PagerEvent& event);
  void Log(const PagerEvent& event);
  void PassOn(const PagerEvent& event);

  ControlSocket control_;
  const BackgroundFill::Options options_;
  Arena arena_;
  bool outlives_ = false;
  std::atomic<bool> alone_{false};  // the control plane is gone
  std::mutex end_mutex_;            // orders the end of a target before a look for targets left
  std::condition_variable end_;
  FaultServicer servicer_;
  BackgroundFill fill_;
  SourceTable sources_;
  size_t remotes_open_ = 0;  // under end_mutex_: farewells that are waited for
};

}  // namespace thaw

#endif  // THAW_NATIVE_PAGER_PAGER_H_
