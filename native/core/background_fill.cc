#include "background_fill.h"

#include <algorithm>
#include <chrono>

#include "thread_name.h"

namespace thaw {
namespace {

constexpr uint32_t kChunkPages = 16;
// Faults waiting at one read above which the fill makes room, and for how long.
constexpr uint32_t kQueuedFaultsHot = 2;
constexpr std::chrono::microseconds kPause(200);
// The same while the network is waited for, which takes longer.
constexpr std::chrono::microseconds kAwaitingPause(1000);

std::vector<AddressRange> WholePlan(const Plan& plan) {
  std::vector<AddressRange> ranges;
  for (uint32_t i = 0; i < plan.region_count(); ++i) {
    ranges.push_back({plan.region_start(i), plan.region_end(i)});
  }
  return ranges;
}

}  // namespace

void BackgroundFill::Start() {
  thread_ = std::thread([this] { Run(); });
}

void BackgroundFill::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BackgroundFill::AddTarget(std::shared_ptr<AddressSpace> space) {
  space->want_fill();
  Job job;
  job.ranges = WholePlan(space->plan());
  job.space = std::move(space);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    // A job goes on until its target is complete or gone; a second would do nothing.
    if (IsQueued(job.space.get())) return;
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

bool BackgroundFill::IsQueued(const AddressSpace* space) const {
  if (current_ == space) return true;
  return std::any_of(jobs_.begin(), jobs_.end(),
                     [space](const Job& job) { return !job.prefetch && job.space.get() == space; });
}

void BackgroundFill::Prefetch(std::shared_ptr<AddressSpace> space, uint64_t start, uint64_t end,
                              uint64_t request_id) {
  Job job;
  job.ranges = space->ImageRangesOf(start, end);
  job.space = std::move(space);
  job.prefetch = true;
  job.request_id = request_id;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    jobs_.push_front(std::move(job));
  }
  changed_.notify_all();
}

void BackgroundFill::Run() {
  NameThread("thaw-fill");
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    if (jobs_.empty()) {
      // Without a limit: new work and the end wake it.
      changed_.wait(lock);
      continue;
    }
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    current_ = job.prefetch ? nullptr : job.space.get();
    lock.unlock();
    const Step step = Advance(&job);
    if (step == Step::kEnd) End(job);
    lock.lock();
    current_ = nullptr;
    if (step != Step::kEnd) {
      // A prefetch goes on until it is done; targets take turns.
      if (job.prefetch) {
        jobs_.push_front(std::move(job));
      } else {
        jobs_.push_back(std::move(job));
      }
    }
    const bool hot = servicer_->queued_faults() >= kQueuedFaultsHot;
    const auto pause = step == Step::kAwaiting ? kAwaitingPause : kPause;
    if ((hot || step == Step::kBlocked || step == Step::kAwaiting) && !stopping_) {
      changed_.wait_for(lock, pause);
    }
  }
}

// One piece of work: finds the next missing page at the cursor and installs what stands with it.
BackgroundFill::Step BackgroundFill::Advance(Job* job) {
  AddressSpace* const space = job->space.get();
  const Plan& plan = space->plan();
  while (job->at < job->ranges.size()) {
    if (space->retired()) return Step::kEnd;
    AddressRange& range = job->ranges[job->at];
    const uint32_t index = plan.FirstExtentFrom(range.start);
    if (index == plan.extent_count() || plan.extent(index).vaddr >= range.end) {
      ++job->at;
      continue;
    }
    const Extent extent = plan.extent(index);
    if (extent.kind != kExtentData) {
      range.start = extent.end();
      if (range.start >= range.end) ++job->at;
      continue;
    }
    const uint64_t from = std::max(extent.vaddr, range.start);
    const uint64_t to = std::min(extent.end(), range.end);
    uint32_t page = static_cast<uint32_t>((from - extent.vaddr) / kPageSize);
    const uint32_t end = static_cast<uint32_t>((to - extent.vaddr) / kPageSize);
    while (page < end && !space->IsMissing(extent.page_index + page)) ++page;
    range.start = extent.vaddr + page * kPageSize;
    if (page == end) {
      if (range.start >= range.end) ++job->at;
      continue;
    }
    uint32_t done = page;
    const Outcome outcome =
        space->Fill(extent, page, std::min(kChunkPages, end - page), &reader_, &done);
    if (outcome == Outcome::kGone) {
      job->gone = true;
      return Step::kEnd;
    }
    if (outcome == Outcome::kDeferred) return Step::kBlocked;
    if (outcome == Outcome::kAwaited) return Step::kAwaiting;
    range.start = extent.vaddr + done * kPageSize;
    if (range.start >= range.end) ++job->at;
    return Step::kProgress;
  }
  if (job->prefetch || space->retired() || space->complete()) return Step::kEnd;
  // Pages that another thread had claimed may have come back: it could not install them.
  job->ranges = WholePlan(plan);
  job->at = 0;
  return space->asks_remotes() ? Step::kAwaiting : Step::kBlocked;
}

void BackgroundFill::End(const Job& job) {
  // Complete or gone. The id may be another target's by now.
  const uint64_t id = job.space->id();
  if (servicer_->Find(id) == job.space) servicer_->Notify(id, job.gone);
  if (job.prefetch) {
    sink_({PagerEventKind::kPrefetchDone, 0, job.space->id(), job.request_id, 0, 0});
  }
}

}  // namespace thaw
