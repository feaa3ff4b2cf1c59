// The pager's figures: fixed-size slots in shared memory, one a target, read by anyone at any time.
//
// Layout (little-endian): slot i stands at byte i * kFiguresSlotBytes of the arena's memfd.
// Reader: src/servicer/figures.ts, which knows these offsets; a test compares.
#ifndef THAW_NATIVE_CORE_FIGURES_H_
#define THAW_NATIVE_CORE_FIGURES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "latency_histogram.h"

namespace thaw {

inline constexpr uint64_t kFiguresSlotBytes = 8192;
inline constexpr uint32_t kFiguresSlots = 16384;

// What has become of a target.
enum class TargetState : uint64_t {
  kFree = 0,      // the slot is not in use
  kServing = 1,   // pages are missing
  kResident = 2,  // everything is in; the pager has let go
  kGone = 3,      // the target ended first
};

struct Figures {
  using Counter = std::atomic<uint64_t>;

  Counter state;          // TargetState
  Counter data_pages;     // pages with stored bytes that the plan gives to the pager
  Counter missing_pages;  // of those, not in yet
  Counter faults;         // page faults read
  Counter demand_pages;   // installed for a fault, its window included
  Counter filled_pages;   // installed by the background fill
  Counter zeroed_pages;   // answered by the zero page
  Counter present_pages;  // found present already
  Counter removed_pages;  // discarded or unmapped by the target before they were in
  Counter poisoned_pages;
  Counter deferrals;        // faults put off because an event was unread
  Counter resident_ns;      // CLOCK_MONOTONIC when everything was in
  Counter started_ns;       // CLOCK_MONOTONIC when the target was added
  Counter window_faults;    // faults that were answered with more than their page
  Counter awaited_faults;   // faults on a page that another thread was about to install
  Counter cold_faults;      // faults whose bytes were not in the page cache
  Counter queue_depth_max;  // most faults found waiting at one read
  Counter raw_bytes;        // read from the image as they are
  Counter lz4_bytes;        // read from the image to be decoded
  Counter decode_ns;        // spent decoding
  Counter stalled_ns;       // spent waiting for the image's disk
  Counter fill_ns;          // spent in the background fill, over all threads
  Counter remote_bytes;     // received from a page server
  Counter reserved[41];
  LatencyHistogram demand_latency;  // event read -> pages installed and woken: from the page cache,
  LatencyHistogram zero_latency;    // with the zero page,
  LatencyHistogram cold_latency;    // after a wait for the disk
};
static_assert(offsetof(Figures, demand_latency) == 512, "src/servicer/figures.ts");
static_assert(sizeof(Figures) <= kFiguresSlotBytes, "a slot holds the figures");

// Raises `counter` to at least `value`. One writer.
inline void RaiseTo(Figures::Counter& counter, uint64_t value) {
  if (counter.load(std::memory_order_relaxed) < value) {
    counter.store(value, std::memory_order_relaxed);
  }
}

inline void Add(Figures::Counter& counter, uint64_t count) {
  counter.fetch_add(count, std::memory_order_relaxed);
}

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_FIGURES_H_
