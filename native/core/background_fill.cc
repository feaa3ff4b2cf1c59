#include "background_fill.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "clock.h"
#include "fault_pace.h"
#include "thread_name.h"

namespace thaw {
namespace {

// One piece of work: about as long as a fault may have to wait for it.
constexpr uint32_t kPiecePages = 16;
// The same while one fault follows the other: what is copied between two of them.
constexpr uint32_t kHotPiecePages = 8;
// Pieces that are told together, where nothing but streams waits for them: a page table of the
// target, for whose lock two threads would wait in turn.
constexpr uint32_t kCalmBatchPages = 512;
// The same from a disk, where long reads pay and no fault thread waits.
constexpr uint32_t kColdPiecePages = 256;
// Threads that may wait for the disk at once.
constexpr uint32_t kReaders = 4;
// The one of them that maps sources ahead.
constexpr uint32_t kMapper = kReaders - 1;
// Before background work looks again whether it may go on.
constexpr std::chrono::microseconds kPause(500);
// Before a target is looked at again when nothing of it was missing.
constexpr uint64_t kRestNs = 10'000'000;
// Between two looks for something to do by a thread that stays awake: about 10 us.
constexpr int kSpins = 300;

// Between two looks at who else uses the CPU, and how often it has been taken from this thread in
// between where somebody does: a fault takes 60 to 100 us then.
constexpr uint64_t kLookNs = 400'000;
constexpr long kCrowdedPreemptions = 3;

}  // namespace

void BackgroundFill::Configure(const Options& options) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t threads = options.thread_count != 0 ? options.thread_count : cpu_count_;
  filler_count_ = std::min(threads, options.thread_count != 0 ? kReaders : 2);
  bytes_per_second_ = options.bytes_per_second;
}

void BackgroundFill::Start() {
  Configure({});
  for (uint32_t i = 0; i < kReaders; ++i) threads_.emplace_back([this, i] { Run(i); });
}

void BackgroundFill::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    ++news_;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void BackgroundFill::AddTarget(std::shared_ptr<AddressSpace> space) {
  space->want_fill();
  // One that ended before it was recovered has not even a plan.
  if (space->retired()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool known =
        std::any_of(targets_.begin(), targets_.end(),
                    [&](const std::shared_ptr<Target>& it) { return it->space == space; });
    if (known) return;
    auto target = std::make_shared<Target>();
    target->space = std::move(space);
    targets_.push_back(std::move(target));
    ++news_;
  }
  changed_.notify_all();
}

void BackgroundFill::Remove(const AddressSpace* space) {
  const std::lock_guard<std::mutex> lock(mutex_);
  targets_.erase(
      std::remove_if(targets_.begin(), targets_.end(),
                     [&](const std::shared_ptr<Target>& it) { return it->space.get() == space; }),
      targets_.end());
}

void BackgroundFill::Prefetch(std::shared_ptr<AddressSpace> space, uint64_t start, uint64_t end,
                              uint64_t request_id) {
  PrefetchJob job{space, {}, request_id};
  for (const AddressRange& range : space->ImageRangesOf(start, end)) {
    const uint32_t first = space->plan().FirstPageFrom(range.start);
    job.ranges.push_back({first, space->plan().FirstPageFrom(range.end)});
  }
  std::reverse(job.ranges.begin(), job.ranges.end());
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    prefetches_.push_back(std::move(job));
    ++news_;
  }
  changed_.notify_all();
}

void BackgroundFill::MapAhead(const std::shared_ptr<PageSource>& source) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    to_map_.push_back(source);
    ++news_;
  }
  changed_.notify_all();
}

void BackgroundFill::ServeColdFault(ColdFault fault) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    cold_faults_.push_back(std::move(fault));
    ++news_;
  }
  changed_.notify_one();
}

void BackgroundFill::Run(uint32_t index) {
  NameThread("thaw-fill");
  PageReader reader;
  Lock lock(mutex_);
  while (!stopping_) {
    const uint64_t news = news_;
    if (index == 0 && cpu_count_ == 2) ChooseCpus(&lock);
    if (RunColdFault(&lock, &reader) || RunPrefetch(&lock, &reader)) continue;
    if (RunFill(&lock, index, &reader)) continue;
    if (index == kMapper && RunMapping(&lock)) continue;
    if (news != news_) continue;  // while the lock was not held
    if (index == 0 && KeepsCpuBusy()) {
      lock.unlock();
      for (int i = 0; i < kSpins; ++i) __builtin_ia32_pause();
      lock.lock();
    } else {
      Rest(&lock, index);
    }
  }
}

void BackgroundFill::Rest(Lock* lock, uint32_t index) {
  if (index == 0) {
    first_rests_ = true;
    LetGoOfCpus();
  }
  if (index > 0 && index < filler_count_) helpers_rest_ = true;
  if (targets_.empty() || index > 0) {
    // Without a limit: new work, a calm and the end wake it.
    changed_.wait(*lock);
  } else {
    changed_.wait_for(*lock, kPause);
  }
  if (index == 0) first_rests_ = false;
}

// On two CPUs: the target and the fault thread stay together on one while the other is taken. A
// fault is then two switches on a CPU that is awake; else it is two wake-ups of one that sleeps.
bool BackgroundFill::KeepsCpuBusy() const {
  return cpu_count_ == 2 && servicer_->pace().IsHot(MonotonicNs());
}

// On two CPUs: until it is calm again, this thread keeps to one and the fault thread to the other.
// Both are moved from here: each on its own would follow the other to and fro.
void BackgroundFill::ChooseCpus(Lock* lock) {
  const uint64_t now_ns = MonotonicNs();
  if (servicer_->pace().IsCalm(now_ns)) return LetGoOfCpus();
  if (now_ns < next_look_ns_) return;
  next_look_ns_ = now_ns + kLookNs;
  if (!fault_cpus_) fault_cpus_.emplace(servicer_->tid());
  const int cpu = ::sched_getcpu();
  const bool change_places = IsCrowded();
  lock->unlock();
  if (change_places) {
    fault_cpus_->TakeOnly(cpu);
    cpus_.LeaveOut(cpu);
  } else {
    cpus_.TakeOnly(cpu);
    fault_cpus_->LeaveOut(cpu);
  }
  lock->lock();
}

void BackgroundFill::LetGoOfCpus() {
  cpus_.TakeAll();
  if (fault_cpus_) fault_cpus_->TakeAll();
}

// Whoever takes this thread's CPU from it again and again is the target, which belongs to the fault
// thread.
bool BackgroundFill::IsCrowded() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  const long preemptions = usage.ru_nivcsw - std::exchange(preemptions_, usage.ru_nivcsw);
  return preemptions >= kCrowdedPreemptions;
}

void BackgroundFill::StayAwake() {
  if (cpu_count_ != 2 || !first_rests_.exchange(false)) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  ++news_;
  changed_.notify_all();
}

bool BackgroundFill::RunColdFault(Lock* lock, PageReader* reader) {
  if (cold_faults_.empty()) return false;
  ColdFault fault = std::move(cold_faults_.front());
  cold_faults_.pop_front();
  lock->unlock();
  AddressSpace* const space = fault.space.get();
  const Outcome outcome = space->ServeColdFault(fault.vaddr, reader);
  if (outcome == Outcome::kDone) {
    space->figures().cold_latency.Record(MonotonicNs() - fault.read_ns);
  }
  if (outcome != Outcome::kDeferred || space->has_errors()) {
    Tell(fault.space, outcome == Outcome::kGone);
  }
  lock->lock();
  if (outcome != Outcome::kDeferred) return true;
  cold_faults_.push_back(std::move(fault));
  changed_.wait_for(*lock, kPause);
  return true;
}

bool BackgroundFill::RunPrefetch(Lock* lock, PageReader* reader) {
  if (prefetches_.empty()) return false;
  PrefetchJob job = std::move(prefetches_.front());
  prefetches_.pop_front();
  lock->unlock();
  const Outcome outcome = AdvancePrefetch(&job, reader);
  const bool ends = outcome == Outcome::kGone || job.ranges.empty();
  if (ends || job.space->has_errors()) Tell(job.space, outcome == Outcome::kGone);
  if (ends) {
    sink_({PagerEventKind::kPrefetchDone, 0, job.space->id(), job.request_id, 0, 0});
  }
  lock->lock();
  if (!ends) prefetches_.push_front(std::move(job));
  const bool hot = servicer_->pace().IsHot(MonotonicNs());
  if (!ends && (hot || outcome == Outcome::kDeferred)) changed_.wait_for(*lock, kPause);
  return true;
}

// One piece of it.
Outcome BackgroundFill::AdvancePrefetch(PrefetchJob* job, PageReader* reader) {
  if (job->ranges.empty()) return Outcome::kNothing;
  PageRange& range = job->ranges.back();
  const Outcome outcome =
      job->space->Fill(range.first, range.end, kPiecePages, Patience::kWait, reader, &range.first);
  if (range.first >= range.end) job->ranges.pop_back();
  return outcome;
}

// One step; false when there is nothing to map.
bool BackgroundFill::RunMapping(Lock* lock) {
  // A fill reads as fast as this maps.
  if (!targets_.empty()) to_map_.clear();
  if (to_map_.empty()) return false;
  if (servicer_->pace().IsHot(MonotonicNs())) {
    changed_.wait_for(*lock, kPause);
    return true;
  }
  std::shared_ptr<PageSource> source = to_map_.front().lock();
  to_map_.pop_front();
  lock->unlock();
  const bool goes_on = source != nullptr && source->MapNext();
  lock->lock();
  if (goes_on) to_map_.push_front(source);
  return true;
}

// One piece of the fill; false when there is none to be done now.
bool BackgroundFill::RunFill(Lock* lock, uint32_t index, PageReader* reader) {
  if (index >= filler_count_ || targets_.empty()) return false;
  const uint64_t now_ns = MonotonicNs();
  const bool hot = servicer_->pace().IsHot(now_ns);
  const bool calm = servicer_->pace().IsCalm(now_ns);
  // The first goes on beside faults, unless it would take the target's only CPU.
  if (index > 0 ? !calm : hot && cpu_count_ == 1) return false;
  const std::shared_ptr<Target> target = TakeTurn(now_ns);
  if (target == nullptr) return false;
  const bool cold = target->cold;
  const uint32_t piece = cold ? kColdPiecePages : hot ? kHotPiecePages : kPiecePages;
  const uint32_t batch = calm && bytes_per_second_ == 0 ? kCalmBatchPages : piece;
  if (!TakeAllowance(now_ns, batch)) return false;
  if (calm && std::exchange(helpers_rest_, false)) changed_.notify_all();
  lock->unlock();
  const Figures::Counter& stalled_ns = target->space->figures().stalled_ns;
  const uint64_t stalled_before_ns = stalled_ns;
  const Outcome outcome = target->space->FillNext(
      piece, batch, cold ? Patience::kWait : Patience::kNoWait, servicer_->pace(), reader);
  EndTurn(target.get(), outcome);
  lock->lock();
  target->cold = outcome == Outcome::kWouldWait || (cold && stalled_ns != stalled_before_ns);
  return outcome == Outcome::kDone || outcome == Outcome::kWouldWait;
}

std::shared_ptr<BackgroundFill::Target> BackgroundFill::TakeTurn(uint64_t now_ns) {
  for (size_t i = 0; i < targets_.size(); ++i) {
    const std::shared_ptr<Target>& target = targets_[turn_++ % targets_.size()];
    if (target->rests_until_ns <= now_ns) return target;
  }
  return nullptr;
}

// Whether the rate allows a piece of work now; if so, it is taken into account.
bool BackgroundFill::TakeAllowance(uint64_t now_ns, uint32_t page_count) {
  if (bytes_per_second_ == 0) return true;
  if (now_ns < allowed_from_ns_) return false;
  constexpr uint64_t kSecondNs = 1'000'000'000;
  allowed_from_ns_ = now_ns + page_count * kPageSize * kSecondNs / bytes_per_second_;
  return true;
}

void BackgroundFill::EndTurn(Target* target, Outcome outcome) {
  const std::shared_ptr<AddressSpace>& space = target->space;
  if (outcome == Outcome::kNothing || (outcome == Outcome::kDeferred && space->is_retrying())) {
    // Everything is in flight, or waits for a retry.
    const std::lock_guard<std::mutex> lock(mutex_);
    target->rests_until_ns = MonotonicNs() + kRestNs;
  }
  const bool ends = outcome == Outcome::kGone || space->retired() || space->complete();
  if (ends) Remove(space.get());
  if (ends || space->has_errors()) Tell(space, outcome == Outcome::kGone);
}

// Has the fault thread look at a target. The id may be another's by now.
void BackgroundFill::Tell(const std::shared_ptr<AddressSpace>& space, bool gone) {
  if (servicer_->Find(space->id()) == space) servicer_->Notify(space->id(), gone);
}

}  // namespace thaw
