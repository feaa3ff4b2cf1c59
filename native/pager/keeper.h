// Keeps the pager alive: of its three processes any one may be killed at any moment.
//
//   worker   serves. Everything it must not forget stands in the arena.
//   keeper   waits for the worker's end, and starts another that goes on from the arena.
//   standby  waits for the keeper's end, and takes its place.
//
// They are clones that share one descriptor table and the arena, and nothing else: a userfaultfd
// that one of them received, even by reading a fork event, is open for as long as one of them
// lives. Keeper and standby have one thread, and have never had more, so what they clone begins
// with a heap in order. Why not two processes that restart each other: a worker has many threads,
// and a clone of it would begin with locks that nobody releases.
//
// The end: a worker that has done its work says so in the arena (ProcessRecord::end), and the
// others end as well; so they do when SIGTERM, SIGINT or SIGHUP ends one of them.
#ifndef THAW_NATIVE_PAGER_KEEPER_H_
#define THAW_NATIVE_PAGER_KEEPER_H_

#include <sys/types.h>

#include <functional>

#include "arena.h"

namespace thaw {

class Keeper {
 public:
  // What a worker does, with threads of its own; `recovered`: on from what another left in the
  // arena. Its exit status; the pager ends with it if it set ProcessRecord::end.
  using Work = std::function<int(bool recovered)>;

  // `arena` is new, and must outlive this. The process must have one thread.
  Keeper(Arena* arena, Work work) : arena_(arena), work_(std::move(work)) {}

  // Makes this process the keeper, with a worker and a standby; returns the pager's exit status
  // when it has ended.
  int Run();

 private:
  ProcessRecord& processes() const { return arena_->header().processes; }
  bool ended() const { return processes().end != 0; }
  void TakeOffice();
  int Keep();
  [[noreturn]] void StandBy();
  void StartStandby();
  void StartWorker();
  [[noreturn]] void WorkOnceReleased(uint32_t epoch);
  void ReplaceWorker();
  void PaceRestarts();
  int End();

  Arena* const arena_;
  const Work work_;
  uint32_t quick_deaths_ = 0;  // in a row: of workers that lived for less than a second
  uint64_t started_ns_ = 0;    // when the last worker was
};

}  // namespace thaw

#endif  // THAW_NATIVE_PAGER_KEEPER_H_
