// How much to install around a fault: one page at first, 64 KiB where the program shows a pattern.
//
// That is a second fault in the same 64 KiB, or one right behind a stream that is being followed.
// No fixed fault-around wins everywhere: it makes sweeps faster and random touches slower. No
// window is larger: what lies further ahead is the fill's, which goes where a stream is, and bytes
// that were read in larger pieces have left the cache before they are copied. Thread-safety: none
// (the fault thread's own).
#ifndef THAW_NATIVE_CORE_FAULT_WINDOW_H_
#define THAW_NATIVE_CORE_FAULT_WINDOW_H_

#include <algorithm>
#include <array>
#include <cstdint>

namespace thaw {

// The largest window.
inline constexpr uint64_t kWindowPagesMax = 16;

// Half-open range of page numbers.
struct PageWindow {
  uint64_t first;
  uint64_t end;
  bool in_order = false;  // the fault followed a stream
  uint32_t ahead = 0;     // pages behind `end` that the caller shall bring in, too
};

class FaultWindow {
 public:
  // The window for a fault at `page` (a run-time page number), of up to `page_count_max` pages (at
  // least 1); it always holds `page`. `runs_ahead`: whether the caller brings in what a stream is
  // about to need. `are_present(count)`: whether the `count` pages before it are in: the fill runs
  // ahead of a stream, which then faults only behind what was filled.
  template <typename ArePresent>
  PageWindow Decide(uint64_t page, uint32_t page_count_max, bool runs_ahead,
                    const ArePresent& are_present) {
    if (page_count_max == 1) return {page, page + 1};
    if (Stream* const stream = FindStream(page, are_present)) {
      PageWindow window{page, page + std::min<uint64_t>(page_count_max, kWindowPagesMax), true};
      if (runs_ahead) {
        window.ahead = stream->ahead;
        stream->ahead = std::min(stream->ahead * 2 + kGroupPages, kAheadPagesMax);
      }
      stream->next = window.end + window.ahead;
      return window;
    }
    const uint64_t group = page / kGroupPages;
    uint64_t& remembered = groups_[group % groups_.size()];
    const bool second = remembered == group + 1;
    remembered = group + 1;
    if (!second) {
      StartStream(page + 1);
      return {page, page + 1};
    }
    if (page_count_max < kGroupPages) {
      StartStream(page + page_count_max);
      return {page, page + page_count_max};
    }
    StartStream((group + 1) * kGroupPages);
    return {group * kGroupPages, (group + 1) * kGroupPages};
  }

 private:
  static constexpr uint32_t kGroupPages = kWindowPagesMax;
  static constexpr uint32_t kAheadPagesMax = 240;
  static constexpr uint64_t kReachPages = 16384;

  struct Stream {
    uint64_t next = 0;  // where the next fault is expected; 0: unused
    uint32_t ahead = 0;
  };

  // The stream that `page` follows, or null.
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
    streams_[oldest_] = {next, 0};
    oldest_ = (oldest_ + 1) % streams_.size();
  }

  std::array<Stream, 16> streams_{};
  std::array<uint64_t, 256> groups_{};  // 64 KiB groups that had a fault, plus one; hashed
  size_t oldest_ = 0;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_FAULT_WINDOW_H_
