// Brings in what nobody has asked for yet: whole targets in turn, and ranges on request.
//
// One thread. It never holds up a fault: it works in short pieces, and pauses while faults queue
// up. Thread-safety: all public calls from any thread.
#ifndef THAW_NATIVE_CORE_BACKGROUND_FILL_H_
#define THAW_NATIVE_CORE_BACKGROUND_FILL_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "address_space.h"
#include "fault_servicer.h"
#include "page_reader.h"

namespace thaw {

class BackgroundFill {
 public:
  BackgroundFill(PagerEventSink sink, FaultServicer* servicer)
      : sink_(std::move(sink)), servicer_(servicer) {}
  ~BackgroundFill() { Stop(); }

  void Start();
  void Stop();

  // Fills everything that is missing, in children that it forks from now on too (whoever hears of
  // them adds them). The target's ranges must be registered.
  void AddTarget(std::shared_ptr<AddressSpace> space);
  // Fills one run-time range ahead of everything else, then says kPrefetchDone with `request_id`.
  void Prefetch(std::shared_ptr<AddressSpace> space, uint64_t start, uint64_t end,
                uint64_t request_id);

 private:
  struct Job {
    std::shared_ptr<AddressSpace> space;
    std::vector<AddressRange>
        ranges;  // image addresses still to do; the cursor is ranges[at].start
    size_t at = 0;
    bool prefetch = false;
    uint64_t request_id = 0;
    bool gone = false;
  };
  // kAwaiting: a page server has enough to do.
  enum class Step { kProgress, kBlocked, kAwaiting, kEnd };

  void Run();
  Step Advance(Job* job);
  bool IsQueued(const AddressSpace* space) const;
  void End(const Job& job);

  PagerEventSink sink_;
  FaultServicer* const servicer_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;                   // prefetches first
  const AddressSpace* current_ = nullptr;  // the target that is being worked on
  bool stopping_ = false;
  PageReader reader_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_BACKGROUND_FILL_H_
