// How much to install around a fault: one page at first, more where the program shows a pattern.
//
// A second fault in the same 64 KiB takes the whole 64 KiB; a fault right behind one of the streams
// that are being followed takes 64 KiB, doubling up to 1 MiB. No fixed fault-around wins
// everywhere: it makes sweeps faster and random touches slower. Thread-safety: none (the fault
// thread's own).
#ifndef THAW_NATIVE_CORE_FAULT_WINDOW_H_
#define THAW_NATIVE_CORE_FAULT_WINDOW_H_

#include <algorithm>
#include <array>
#include <cstdint>

namespace thaw {

// The largest window.
inline constexpr uint64_t kWindowPagesMax = 256;

// Half-open range of page numbers.
struct PageWindow {
  uint64_t first;
  uint64_t end;
  bool in_order = false;  // the fault followed a stream
};

class FaultWindow {
 public:
  // The window for a fault at `page` (a run-time page number), of up to `page_count_max` pages (at
  // least 1); it always holds `page`. `are_present(count)`: whether the `count` pages before it are
  // in: the fill runs ahead of a stream, which then faults only behind what was filled.
  template <typename ArePresent>
  PageWindow Decide(uint64_t page, uint32_t page_count_max, const ArePresent& are_present) {
    if (page_count_max == 1) return {page, page + 1};
    const PageWindow window = DecideUnlimited(page, are_present);
    if (window.end - window.first <= page_count_max) return window;
    return {page, std::min<uint64_t>(window.end, page + page_count_max), window.in_order};
  }

 private:
  template <typename ArePresent>
  PageWindow DecideUnlimited(uint64_t page, const ArePresent& are_present) {
    if (Stream* const stream = FindStream(page, are_present)) {
      const uint64_t end = page + stream->pages;
      stream->next = end;
      stream->pages = std::min(stream->pages * 2, kWindowPagesMax);
      return {page, end, true};
    }
    const uint64_t group = page / kGroupPages;
    uint64_t& remembered = groups_[group % groups_.size()];
    const bool second = remembered == group + 1;
    remembered = group + 1;
    if (!second) {
      StartStream(page + 1);
      return {page, page + 1};
    }
    StartStream((group + 1) * kGroupPages);
    return {group * kGroupPages, (group + 1) * kGroupPages};
  }

  static constexpr uint64_t kGroupPages = 16;
  static constexpr uint64_t kReachPages = 1024;

  struct Stream {
    uint64_t next = 0;  // where the next fault is expected; 0: unused
    uint64_t pages = 0;
  };

  template <typename ArePresent>
  Stream* FindStream(uint64_t page, const ArePresent& are_present) {
    for (Stream& stream : streams_) {
      if (stream.next == 0 || page < stream.next || page - stream.next >= kReachPages) continue;
      const uint64_t skipped = page - stream.next;
      if (skipped < kGroupPages || are_present(skipped)) return &stream;
    }
    return nullptr;
  }

  void StartStream(uint64_t next) {
    streams_[oldest_] = {next, kGroupPages};
    oldest_ = (oldest_ + 1) % streams_.size();
  }

  std::array<Stream, 16> streams_{};
  std::array<uint64_t, 256> groups_{};  // 64 KiB groups that had a fault, plus one; hashed
  size_t oldest_ = 0;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_FAULT_WINDOW_H_
