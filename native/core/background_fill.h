// Brings in what nobody has asked for yet, whole targets in turn and ranges on request, and what
// has been asked for but has to come from the disk.
//
// Threads of its own. The first goes on beside faults, in pieces that fit between two of them; the
// others join it when for a while none has come but in order (FaultPace). On two CPUs it places the
// fault thread, too, so it is to be stopped before the servicer. Thread-safety: all public calls
// from any thread.
#ifndef THAW_NATIVE_CORE_BACKGROUND_FILL_H_
#define THAW_NATIVE_CORE_BACKGROUND_FILL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "address_space.h"
#include "cpus.h"
#include "fault_servicer.h"
#include "page_reader.h"

namespace thaw {

class BackgroundFill : public BackgroundWork {
 public:
  BackgroundFill(PagerEventSink sink, FaultServicer* servicer)
      : sink_(std::move(sink)), servicer_(servicer) {}
  ~BackgroundFill() { Stop(); }

  struct Options {
    uint32_t thread_count = 0;      // that fill at once; 0: two, or one on one CPU
    uint64_t bytes_per_second = 0;  // of the fill; 0: unlimited
  };

  // To be set before the first target.
  void Configure(const Options& options);
  void Start();
  void Stop();

  // Fills everything that is missing, in children that it forks from now on too (whoever hears of
  // them adds them). The target's ranges must be registered.
  void AddTarget(std::shared_ptr<AddressSpace> space);
  // Fills one run-time range ahead of everything else, then says kPrefetchDone with `request_id`.
  void Prefetch(std::shared_ptr<AddressSpace> space, uint64_t start, uint64_t end,
                uint64_t request_id);

  // Maps what stands of a source in the page cache, as long as nothing is to be filled.
  void MapAhead(const std::shared_ptr<PageSource>& source);

  // BackgroundWork, for the fault thread.
  void StayAwake() override;
  void ServeColdFault(ColdFault fault) override;

 private:
  struct PageRange {
    uint32_t first;
    uint32_t end;
  };
  struct PrefetchJob {
    std::shared_ptr<AddressSpace> space;
    std::vector<PageRange> ranges;  // still to do, the next one last
    uint64_t request_id;
  };
  // A target that is being filled.
  struct Target {
    std::shared_ptr<AddressSpace> space;
    bool cold = false;  // its bytes have to come from the disk
    uint64_t rests_until_ns = 0;
  };
  using Lock = std::unique_lock<std::mutex>;

  void Run(uint32_t index);
  void Rest(Lock* lock, uint32_t index);
  bool KeepsCpuBusy() const;
  void ChooseCpus(Lock* lock);
  bool IsCrowded();
  void LetGoOfCpus();
  bool RunColdFault(Lock* lock, PageReader* reader);
  bool RunPrefetch(Lock* lock, PageReader* reader);
  bool RunFill(Lock* lock, uint32_t index, PageReader* reader);
  bool RunMapping(Lock* lock);
  Outcome AdvancePrefetch(PrefetchJob* job, PageReader* reader);
  std::shared_ptr<Target> TakeTurn(uint64_t now_ns);
  bool TakeAllowance(uint64_t now_ns, uint32_t page_count);
  void EndTurn(Target* target, Outcome outcome);
  void Tell(const std::shared_ptr<AddressSpace>& space, bool gone);
  void Remove(const AddressSpace* space);

  PagerEventSink sink_;
  FaultServicer* const servicer_;
  const uint32_t cpu_count_ = CountCpus();
  uint32_t filler_count_ = 1;  // threads that fill
  uint64_t bytes_per_second_ = 0;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ColdFault> cold_faults_;
  std::deque<PrefetchJob> prefetches_;
  std::vector<std::shared_ptr<Target>> targets_;
  std::deque<std::weak_ptr<PageSource>> to_map_;
  size_t turn_ = 0;
  uint64_t allowed_from_ns_ = 0;  // when the next piece may begin, at a limited rate
  uint64_t news_ = 0;             // counts what the threads have to know of
  bool stopping_ = false;
  bool helpers_rest_ = false;             // threads that join it in a calm
  std::atomic<bool> first_rests_{false};  // the thread that goes on beside faults
  // Of the thread that goes on beside faults, and used by it alone:
  CpuChoice cpus_;                       // where it runs
  std::optional<CpuChoice> fault_cpus_;  // where it has the fault thread run
  uint64_t next_look_ns_ = 0;            // when it looks who else uses its CPU
  long preemptions_ = 0;                 // up to the last look
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_BACKGROUND_FILL_H_
