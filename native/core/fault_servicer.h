// Serves the page faults and events of many address spaces, on one thread of its own.
//
// Thread-safety: all public calls from any thread. Lifetime: Stop() (or the destructor) ends the
// thread; address spaces that are still missing pages are then closed, so their targets must be
// gone or served by another holder of the uffd.
#ifndef THAW_NATIVE_CORE_FAULT_SERVICER_H_
#define THAW_NATIVE_CORE_FAULT_SERVICER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "address_space.h"
#include "cpus.h"
#include "fault_pace.h"
#include "page_reader.h"
#include "pager_event.h"

namespace thaw {

// A fault whose bytes have to come from the disk.
struct ColdFault {
  std::shared_ptr<AddressSpace> space;
  uint64_t vaddr;
  uint64_t read_ns;  // when its message was read
};

// What the fault thread leaves to others.
class BackgroundWork {
 public:
  virtual ~BackgroundWork() = default;
  // Faults that nobody foresees come one after the other.
  virtual void StayAwake() = 0;
  virtual void ServeColdFault(ColdFault fault) = 0;
};

class FaultServicer {
 public:
  FaultServicer(PagerEventSink sink, Arena* arena) : sink_(std::move(sink)), arena_(arena) {}
  ~FaultServicer() { Stop(); }

  // `background` is asked from the fault thread until Stop(). Goes on with what another servicer
  // left in the arena, if any: events that it read are applied, and what it may not have told is
  // told (again). 0 or a positive errno.
  int Start(BackgroundWork* background, std::vector<std::shared_ptr<AddressSpace>> recovered = {});
  void Stop();

  // Serves `space` from now on. 0 or a positive errno (EINVAL: UFFDIO_API was never called on its
  // uffd).
  int Add(std::shared_ptr<AddressSpace> space);
  // Forgets a target; one that is still missing pages is let go of as it is, without an event. The
  // fault thread does so soon after.
  void Drop(uint64_t id);
  // Has the servicer look at a target that another thread completed or found gone.
  void Notify(uint64_t id, bool gone);
  // Says kSettled with `request_id` once all that the target has seen so far is in its figures and
  // has been told.
  void Settle(uint64_t id, uint64_t request_id);

  std::shared_ptr<AddressSpace> Find(uint64_t id);
  // A target and everything that descends from it.
  std::vector<std::shared_ptr<AddressSpace>> FindFamily(uint64_t origin);
  // Targets that are still missing pages.
  size_t CountServing();

  const FaultPace& pace() const { return pace_; }
  // The number of the fault thread; 0 before it runs.
  pid_t tid() const { return tid_.load(std::memory_order_relaxed); }

 private:
  struct Served {
    std::shared_ptr<AddressSpace> space;
    std::vector<uint64_t> deferred;  // faults to try again; at most one a thread of the target
    // Faults that an answer of a page server will wake. Nothing is to be done for them, unless what
    // they wait for goes away.
    std::vector<uint64_t> awaited;
  };
  enum class NoticeKind { kLook, kGone, kDropped, kSettle };
  struct Notice {
    std::shared_ptr<Served> served;
    NoticeKind kind;
    uint64_t request_id;  // of kSettle
  };

  void Run();
  int Recover(std::vector<std::shared_ptr<AddressSpace>> spaces);
  void TellAgain(const std::vector<std::shared_ptr<AddressSpace>>& spaces);
  int WatchTarget(const AddressSpace& space);
  void PostNotice(uint64_t id, NoticeKind kind, uint64_t request_id);
  void HandleNotices();
  void TellSettled(Served* served, uint64_t request_id);
  void HandleEvent(uint64_t key, uint32_t events);
  void LookForNext();
  bool ReadAndServe(const std::shared_ptr<Served>& served);
  bool HasLetTargetRun(size_t message_count, uint64_t read_ns) const;
  void ServeFaults(Served* served, const abi::Message* messages, size_t count, uint64_t read_ns);
  Outcome ServeOne(Served* served, uint64_t vaddr, uint64_t read_ns);
  void RetryDeferred();
  void RetryAwaited(Served* served);
  int WaitMsMax() const;
  void ProbeTargets();
  abi::Message* BeginBatch(const AddressSpace& space);
  uffd::Value ReadMessages(const AddressSpace& space, abi::Message* messages);
  void ApplyBatch(Served* served);
  void TellForks();
  bool IsAdopted(uint64_t sequence);
  Fd AcceptFork(const Served& parent, int child_fd, uint64_t sequence);
  Fd RefuseFork(uint64_t parent, Fd child, RefusedFork refused, int error);
  void TakeSpares();
  void HoldFork(Fd child);
  uffd::Value ReadWithSpares(const std::function<uffd::Value(size_t)>& read, size_t capacity);
  void Unwatch(const AddressSpace& space);
  void Report(Served* served);
  static PagerEvent ToEvent(uint64_t target, const PageError& error);
  void TellErrors(AddressSpace* space);
  void TellEnd(const AddressSpace& space);
  void Finish(Served* served, TargetState state);
  std::shared_ptr<Served> FindServed(uint64_t id);

  PagerEventSink sink_;
  Arena* const arena_;
  Fd epoll_;
  Fd wake_;
  // Given up for the descriptors of forked children when no others are left.
  std::vector<Fd> spares_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  BackgroundWork* background_ = nullptr;
  FaultPace pace_;
  std::mutex mutex_;  // guards served_ and notices_
  std::unordered_map<uint64_t, std::shared_ptr<Served>> served_;
  std::vector<Notice> notices_;
  std::vector<std::shared_ptr<Served>> with_deferred_;  // fault thread only
  std::vector<PagerEvent> forks_;                       // fault thread only: to be passed on
  PageReader reader_;                                   // fault thread only
  std::shared_ptr<Served> last_served_;  // fault thread only: where the next fault is likely
  bool shares_cpu_ = true;               // with a target, or else with the fill
  bool others_wait_ = false;             // fault thread only: for the target that is being served
  std::atomic<pid_t> tid_{0};
  bool probing_ = false;        // fault thread only
  uint64_t next_probe_ns_ = 0;  // fault thread only
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_FAULT_SERVICER_H_
