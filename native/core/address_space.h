// One address space that is being restored: its uffd, its plan, what it has got and what is
// missing.
//
// Threads: the fault thread reads events, serves faults and retires (the exclusive side of the
// gate); fill threads install runs (the shared side). Lifetime: shared by both; Retire() ends the
// service, the object goes when the last holder lets go.
#ifndef THAW_NATIVE_CORE_ADDRESS_SPACE_H_
#define THAW_NATIVE_CORE_ADDRESS_SPACE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "address_map.h"
#include "address_map_log.h"
#include "arena.h"
#include "error_policy.h"
#include "fault_pace.h"
#include "fault_window.h"
#include "fd.h"
#include "figures.h"
#include "gate.h"
#include "page_reader.h"
#include "page_state.h"
#include "plan.h"
#include "read_retries.h"
#include "refused_fork.h"
#include "uffd.h"
#include "uffd_abi.h"

namespace thaw {

// What became of an attempt to install pages.
enum class Outcome {
  kDone,
  kAwaited,    // another thread is about to install the page, or a page server was asked for it:
               // that wakes whoever waits
  kDeferred,   // an event is unread: try again
  kWouldWait,  // its bytes have to come from the disk first
  kNothing,    // nothing was missing
  kGone,       // the address space does not exist any more
};

class AddressSpace : public std::enable_shared_from_this<AddressSpace> {
 public:
  // Null when the arena is full. `uffd` must be non-blocking, or comes later (Attach).
  static std::shared_ptr<AddressSpace> Create(uint64_t id, Fd uffd, Fd pidfd,
                                              std::shared_ptr<const Plan> plan, Arena* arena);
  // The child of a fork, at the moment of the fork event, which is message `sequence`: same places,
  // same pages missing. Takes `uffd`, unless there is no memory (null).
  std::shared_ptr<AddressSpace> Fork(uint64_t id, uint64_t sequence, Fd* uffd) const;
  // The address space of a published record, as the process left it that served it until it died:
  // takes its descriptors, and gives back what was in flight. `plan`: null where it was retired.
  static std::shared_ptr<AddressSpace> Recover(uint32_t slot, std::shared_ptr<const Plan> plan,
                                               Arena* arena);
  // The same for a child that cannot be served.
  RefusedFork RefuseFork() const;
  ~AddressSpace();

  // From now on it can be recovered.
  void Publish();
  // Of a published one whose uffd came later, and must be non-blocking.
  void Attach(Fd uffd, Fd pidfd);
  // The uffd of a child that was not published, for whoever closes it.
  Fd TakeUffd() { return std::move(uffd_); }
  // The arena's slots of the plan's sources, in its order: for whoever recovers it.
  uint32_t* source_slots() const { return arena_->source_slots(*record_); }
  // That nobody wants it any more: it is let go of when it is recovered.
  void Disown() { record_->dropped = true; }
  bool disowned() const { return record_->dropped; }

  uint64_t id() const { return id_; }
  // Id of the address space that the first of its parents was; its own where nobody forked it.
  uint64_t origin() const { return origin_; }
  int uffd() const { return uffd_.get(); }
  int pidfd() const { return pidfd_.get(); }
  uint32_t figures_slot() const { return slot_; }
  // Of a forked child: whose, and by which message; both 0 where nobody forked it.
  uint64_t parent() const { return record_->parent; }
  uint64_t fork_sequence() const { return record_->fork_sequence; }
  const Plan& plan() const { return *plan_; }
  Figures& figures() { return *figures_; }
  Gate& gate() { return gate_; }
  bool asks_remotes() const { return plan_->has_remotes(); }
  // What CRIU and page servers know the task by; a forked child inherits it.
  uint64_t image_pid() const { return record_->image_pid; }
  void set_image_pid(uint64_t pid) { record_->image_pid = pid; }
  // The handoff that brings its uffd; 0: none.
  uint64_t handoff() const { return record_->handoff; }
  void set_handoff(uint64_t id) { record_->handoff = id; }
  // Whether its uffd has come.
  bool attached() const { return record_->uffd >= 0 || retired(); }
  bool complete() const { return figures_->missing_pages.load() == 0; }

  // Whether all ranges are registered by now. A target that CRIU restores is handed over before it
  // registers them: until then nothing but faults is served, and an unregistered page is no sign
  // that the target let go of it. True unless set otherwise; a forked child inherits it.
  bool ranges_ready() const { return record_->ranges_ready.load(std::memory_order_acquire); }
  void set_ranges_ready(bool ready) {
    record_->ranges_ready.store(ready, std::memory_order_release);
  }
  // Whether the background fill is to bring in what is missing; a forked child inherits it.
  bool fill_wanted() const { return record_->fill_wanted.load(std::memory_order_acquire); }
  void want_fill() { record_->fill_wanted.store(true, std::memory_order_release); }
  // What is done about pages that cannot be produced. kPoison unless set otherwise; a forked child
  // inherits it, but has no pidfd: its pages are poisoned, and no more.
  OnError on_error() const { return record_->on_error; }
  void set_on_error(OnError on_error) { record_->on_error = on_error; }

  // Fault thread: reads messages of the uffd. Never waits (EAGAIN), although any other holder of
  // the descriptor may make it a blocking one.
  uffd::Value Read(abi::Message* messages, size_t capacity) const;
  // Fault thread: whether the address space is no more, by a copy that cannot install anything.
  // After an exec the process lives on, but what the uffd was for does not.
  bool IsGone() const;

  // Most pages installed for one fault where the program shows a pattern; 1: the page alone.
  uint32_t window_pages_max() const { return record_->window_pages_max; }
  void set_window_pages_max(uint32_t pages) { record_->window_pages_max = pages; }

  // Fault thread: installs what the fault at page-aligned `vaddr` needs, and more where the program
  // shows a pattern. Never waits for a disk. Sets `in_order` when the fault follows a stream.
  // kNothing: answered with zeros.
  Outcome ServeFault(uint64_t vaddr, PageReader* reader, bool* in_order);
  // Fault thread: until WakeHeld(), threads whose pages are served alone are not woken; then all
  // are at once. Whoever else waits between them is woken too, and faults again.
  void HoldWakes() { holds_wakes_ = true; }
  void WakeHeld();
  bool holds_wakes() const { return holds_wakes_; }
  // Any thread: the same, for a fault whose bytes are not in memory: waits for the disk. Takes the
  // gate.
  Outcome ServeColdFault(uint64_t vaddr, PageReader* reader);
  // Fault thread, under the exclusive gate: follows a remap, remove or unmap. Doing it again, with
  // the same `sequence`, changes nothing.
  void Apply(const abi::Message& message, uint64_t sequence);
  // Has every thread that waits for a page ask again: its message may have been read by a process
  // that is no more.
  void WakeAll() const;
  // Fault thread: unregisters everything, closes the uffd, frees all but the figures.
  void Retire(TargetState state);

  // Whether reads that failed are tried again.
  bool is_retrying() const { return retries_.any(); }
  // Any thread: installs the first missing data page in [first, end) with those that follow it, at
  // most `page_count_max` or one block; `next` is where to go on. Takes the gate.
  Outcome Fill(uint32_t first, uint32_t end, uint32_t page_count_max, Patience patience,
               PageReader* reader, uint32_t* next);
  // Any thread: the same at the target's fill cursor, which goes round all its data pages, and
  // jumps to where the program reads in order. Up to `batch_pages`, in pieces of `piece_pages`: a
  // thread that waits for one of them goes on when all are there. (It would wait for the next piece
  // at once, and be woken for each.) More pieces than one end at an address that is a multiple of
  // `batch_pages`, or as soon as `pace` is not calm.
  Outcome FillNext(uint32_t piece_pages, uint32_t batch_pages, Patience patience,
                   const FaultPace& pace, PageReader* reader);

  // Thread of a remote source: installs `run`, whose pages were asked for (`first`: and are claimed
  // for it). What is not installed is missing again, but for pages gone meanwhile. Takes the gate.
  Outcome Deliver(const Extent& extent, const PageRun& run, bool demand, bool first);

  // Image ranges that stand in a run-time range now. Takes the gate.
  std::vector<AddressRange> ImageRangesOf(uint64_t start, uint64_t end);

  // How the service ended; kFree: it goes on.
  TargetState retired_as() const { return record_->retired_as; }
  bool retired() const { return retired_.load(std::memory_order_acquire); }

  // Fault thread: failures since the last call, passed to `tell` and forgotten only then.
  void TellErrors(const std::function<void(const PageError&)>& tell);
  bool has_errors() const { return record_->error_count.load(std::memory_order_acquire) != 0; }

 private:
  AddressSpace(uint64_t id, Fd uffd, Fd pidfd, std::shared_ptr<const Plan> plan, Arena* arena);

  bool TakeMemory();
  void BindSlot(uint32_t slot);
  void BindMemory();
  void ReleaseMemory();
  void Recount();
  Outcome ServePage(const Extent& extent, uint64_t vaddr, const Translation& image,
                    const PageWindow& window, PageReader* reader);
  void RunAhead(uint32_t first, uint32_t page_count, PageReader* reader);
  Outcome ServeRaw(const Extent& extent, uint64_t vaddr, const Translation& image,
                   const PageWindow& window, PageReader* reader);
  Outcome ServeBlock(const Extent& extent, uint64_t vaddr, const Translation& image,
                     const PageWindow& window, PageReader* reader);
  Outcome ServeZero(uint64_t vaddr, uint32_t page_count);
  uint32_t CountHolePages(const Translation& image, uint64_t page_count_max) const;
  void CountCost(PageReader* reader);
  Outcome FillRemote(const Extent& extent, uint32_t page, uint32_t page_count, uint32_t* page_done);
  Outcome InstallAsked(const Extent& extent, const PageRun& run, Figures::Counter* counter);
  Outcome Ask(const Extent& extent, uint32_t page, uint32_t page_count, uint32_t fault_page);
  Outcome ServePoisoned(uint64_t vaddr);
  struct FillStep {
    uint32_t page_count_max;
    Patience patience;
    Figures::Counter* counter;
    bool in_turn = false;      // makes room for faults
    HeldWake* held = nullptr;  // of PageRun
  };
  Outcome FillRange(uint32_t first, uint32_t end, const FillStep& step, PageReader* reader,
                    uint32_t* next);
  Outcome FillPiece(uint32_t first, uint32_t end, const FillStep& step, PageReader* reader,
                    uint32_t* next);
  uint32_t EndOfBatch(uint32_t first, uint32_t batch_pages) const;
  void WakeUnlessRetired(abi::Range range);
  void LetHeldGo();
  Outcome InstallRun(const Extent& extent, const PageRun& run, uint32_t first, uint32_t end,
                     Figures::Counter* counter);
  Outcome InstallClaimed(const Extent& extent, const PageRun& run, uint32_t page,
                         uint32_t page_count, uint64_t vaddr, Figures::Counter* counter);
  uffd::Result Install(const Extent& extent, const PageRun& run, uint32_t page, abi::Range range,
                       int error) const;
  void Settle(uint32_t page_index, uint32_t page_count, PageState state, Figures::Counter* counter);
  uint32_t SettleOne(uint32_t page_index, uint64_t vaddr, PageState state,
                     Figures::Counter* counter);
  void RecordError(const PageError& error);
  void FailPages(const Extent& extent, uint32_t page, uint32_t page_count, uint64_t vaddr,
                 int error, bool poisoned);
  static abi::Range PageRange(uint64_t vaddr, uint32_t page_count) {
    return {vaddr, page_count * kPageSize};
  }
  ErrorAction ActOnError(bool poisoned) const;
  bool IsPutOff(const Extent& extent, const PageRun& run, uint64_t vaddr);
  void Unclaim(uint32_t page_index, uint32_t page_count);
  int Probe() const;
  void ReleaseEventWaiters() const;
  void EditMap(const MapEdit& edit);
  void MarkRemoved(const std::vector<AddressRange>& ranges);

  const uint64_t id_;
  uint64_t origin_;
  Fd uffd_;
  Fd pidfd_;
  std::shared_ptr<const Plan> plan_;
  Arena* const arena_;
  uint32_t slot_ = 0;
  Figures* figures_ = nullptr;
  TargetRecord* record_ = nullptr;
  PageStates states_;
  AddressMap map_;  // read by both sides, edited under the exclusive gate
  Gate gate_;
  FaultWindow window_;
  bool holds_wakes_ = false;              // fault thread only
  HeldWake held_;                         // fault thread only: whom WakeHeld() wakes
  std::atomic<uint32_t> fill_cursor_{0};  // the data page that the next fill begins with
  std::atomic<bool> retired_{false};
  ReadRetries retries_;
  std::mutex errors_mutex_;   // guards the record's errors
  uint32_t errors_told_ = 0;  // of those, being told: nothing is added to them
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_ADDRESS_SPACE_H_
