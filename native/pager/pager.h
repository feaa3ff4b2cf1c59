// The pager: carries out the control plane's requests with the servicer and the fill.
#ifndef THAW_NATIVE_PAGER_PAGER_H_
#define THAW_NATIVE_PAGER_PAGER_H_

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "arena.h"
#include "background_fill.h"
#include "control_socket.h"
#include "fault_servicer.h"
#include "handoffs.h"
#include "source_table.h"

namespace thaw {

class Pager {
 public:
  // `arena` must outlive it.
  Pager(int control, const BackgroundFill::Options& options, Arena* arena);

  // Serves until the control plane is gone, and then, if it said so, until every target is resident
  // or gone; the process's exit status. `recovered`: goes on from what another left in the arena,
  // and returns with a failure where it cannot; else ProcessRecord::end is set before it returns.
  int Run(bool recovered);

 private:
  ProcessRecord& processes() const { return arena_->header().processes; }
  bool Start();
  bool Recover();
  bool OpenRecorded(std::vector<std::shared_ptr<AddressSpace>>* spaces);
  void TellTakeover();
  void SayHello();
  bool Step();
  bool TakeInHand(uint64_t request_id);
  void Handle(ReceivedRequest* received, ControlPacket* answer);
  void AddSource(ReceivedRequest* received, ControlPacket* answer);
  std::shared_ptr<RemoteSource> StartRemote(Fd fd, const RemoteSource::Options& options);
  void AddRemoteSource(ReceivedRequest* received, ControlPacket* answer);
  void WithRemote(ReceivedRequest* received, ControlPacket* answer);
  void DropSource(uint64_t id, ControlPacket* answer);
  void CloseRemotes();
  void AddTarget(ReceivedRequest* received, ControlPacket* answer);
  std::shared_ptr<AddressSpace> FindTarget(uint64_t id);
  std::shared_ptr<const Plan> OpenPlan(Fd fd, const std::vector<uint8_t>& source_ids,
                                       std::vector<uint32_t>* source_slots, ControlPacket* answer);
  void BeginHandoff(ReceivedRequest* received, ControlPacket* answer);
  void WithTarget(const ControlRequest& request, ControlPacket* answer);
  void Outlive(ReceivedRequest* received, ControlPacket* answer);
  void ServeToTheEnd();
  void Release(AddressSpace& target, bool fill);
  void ReleaseOne(std::shared_ptr<AddressSpace> space, bool fill);
  void AdoptChild(const PagerEvent& event);
  void Log(const PagerEvent& event);
  void SetAlone();
  void PassOn(const PagerEvent& event);
  bool Tell(const PagerEvent& event);
  void EndAlone(const PagerEvent& event);

  ControlSocket control_;
  const BackgroundFill::Options options_;
  Arena* const arena_;
  bool again_ = false;              // the request in hand was in a dead worker's hands before
  std::atomic<bool> alone_{false};  // the control plane is gone
  std::mutex tell_mutex_;           // orders what is told before the end of the control plane
  std::mutex end_mutex_;            // orders the end of a target before a look for targets left
  std::condition_variable end_;
  FaultServicer servicer_;
  BackgroundFill fill_;
  SourceTable sources_;
  Handoffs handoffs_;
  size_t remotes_open_ = 0;  // under end_mutex_: farewells that are waited for
};

// The whole pager: keeper, standby and workers, the last of which uses descriptor kPagerControlFd.
// Returns in the first process; its exit status.
int RunPager(const BackgroundFill::Options& options);

}  // namespace thaw

#endif  // THAW_NATIVE_PAGER_PAGER_H_
