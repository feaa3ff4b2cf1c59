// Reads of a pages image that failed for a reason that may pass (a disk that errors, no memory),
// and when each is tried again: with growing pauses, up to a limit. Whoever needs the pages waits
// meanwhile; nobody else does.
//
// When the first of them failed stands in the arena: whoever takes over gives what fails there no
// further time.
//
// Thread-safety: any thread, after Bind(). Blocks are named by the data pages of a plan that they
// hold.
#ifndef THAW_NATIVE_CORE_READ_RETRIES_H_
#define THAW_NATIVE_CORE_READ_RETRIES_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>

#include "page_source.h"

namespace thaw {

class ReadRetries {
 public:
  // How long a read is tried again: longer than a path takes to fail over, shorter than a person
  // waits. A source of which nothing has been readable for so long is not waited for again.
  static constexpr uint64_t kLimitNs = 5'000'000'000;
  static constexpr uint64_t kPauseMinNs = 10'000'000;
  static constexpr uint64_t kPauseMaxNs = 500'000'000;

  enum class Verdict {
    kSettle,   // nothing to wait for: the read succeeded, or failed for good
    kRetry,    // try again later
    kStalled,  // the same, and it is the first one that has to wait
    kResumed,  // as kSettle, and no other has to wait any more
  };

  // Goes on from what stands in `since_ns` (0: nothing had failed), which outlives this.
  void Bind(std::atomic<uint64_t>* since_ns);

  // Whether the read of the block with data page `page` is to wait. Costs nothing where none does.
  bool MustWait(uint32_t page) const;
  // Whether any has to.
  bool any() const { return any_.load(std::memory_order_acquire); }

  // What follows from a read of `source` for `count` data pages from `first` on, that ended with
  // `error` (0: it succeeded).
  Verdict Judge(const PageSource& source, uint32_t first, uint32_t count, int error);

 private:
  struct Stall {
    uint32_t page_count;
    uint64_t since_ns;
    uint64_t due_ns;
    uint64_t pause_ns;
  };

  // What was there before has been tried again by then, or never will be.
  static constexpr uint64_t kForgetNs = 2 * kLimitNs;

  Stall* Begin(const PageSource& source, uint32_t first, uint32_t count, uint64_t now_ns);

  std::atomic<bool> any_{false};
  mutable std::mutex mutex_;
  std::map<uint32_t, Stall> stalls_;           // by the first page of a block
  std::atomic<uint64_t>* since_ns_ = nullptr;  // in the arena
  uint64_t inherited_ns_ = 0;                  // what stood there
  bool told_ = false;                          // of a stall, and not of its end
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_READ_RETRIES_H_
