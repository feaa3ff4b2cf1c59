// A process whose memory the pager under test serves, and the pager's parts around it.
#ifndef THAW_NATIVE_TEST_LAZY_TARGET_H_
#define THAW_NATIVE_TEST_LAZY_TARGET_H_

#include <sys/mman.h>
#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "arena.h"
#include "background_fill.h"
#include "fault_servicer.h"
#include "remote_source.h"
#include "test_image.h"

namespace thaw::testing {

// Exit status of a target's body; other values are the body's own.
inline constexpr int kRight = 0;
inline constexpr int kWrong = 1;

// What a body says when its deadline passes, or when it dies by a signal (negated number).
inline constexpr int kHung = 1000;

// Reads one page through the kernel, which answers EFAULT where a touch would be SIGBUS. False for
// such a page. For use in a target.
bool ReadPage(uint64_t vaddr, uint8_t* bytes);
// Whether pages [first, end) of the image stand `offset` bytes from their own place and are right.
// For use in a target.
bool HoldsPages(const TestImage& image, uint32_t first, uint32_t end, int64_t offset = 0);
inline bool HoldsAll(const TestImage& image) { return HoldsPages(image, 0, image.page_count()); }
// Counts pages that answer EFAULT to the kernel (SIGBUS to a touch); kRight when all others are
// right. For use in a target.
int CountPoisoned(const TestImage& image, uint32_t* poisoned);
bool IsZeroAt(uint64_t vaddr);
// Whether the same pages, as for HoldsPages, are zero.
bool AreZero(const TestImage& image, uint32_t first, uint32_t end, int64_t offset = 0);
// madvise(2) of pages [page, page + count).
int Discard(const TestImage& image, uint32_t page, uint32_t count, int advice = MADV_DONTNEED);
// Moves pages [page, page + count) to a place of their own, of `new_count` pages; returns how far.
// For use in a target.
int64_t MoveAway(const TestImage& image, uint32_t page, uint32_t count, uint32_t new_count,
                 int flags = 0);
inline uint8_t* Pointer(uint64_t vaddr) { return reinterpret_cast<uint8_t*>(vaddr); }
// Waits for a child of the target; kRight when it says so.
int WaitFor(pid_t child);

// A forked child with the image's region registered at its own addresses. Fork it before any thread
// starts. It ends with this object.
class LazyTarget {
 public:
  // The child's code, and how it meets the test half-way: each side's Meet() waits for the other's.
  class Self {
   public:
    explicit Self(int socket) : socket_(socket) {}
    void Meet() const;
    int uffd() const { return uffd_; }

   private:
    friend class LazyTarget;
    int socket_;
    int uffd_ = -1;
  };
  using Body = std::function<int(const Self& self)>;

  struct Options {
    uint64_t features = ~uint64_t{0};  // ~0: fork, remap, remove and unmap events
    bool keep_uffd = false;            // the child keeps its own copy, as a VMM does
    int protection = 3;                // PROT_READ | PROT_WRITE
  };

  LazyTarget(const TestImage& image, const Body& body);
  LazyTarget(const TestImage& image, const Body& body, Options options);
  LazyTarget(const LazyTarget&) = delete;
  LazyTarget& operator=(const LazyTarget&) = delete;
  ~LazyTarget();

  pid_t pid() const { return pid_; }
  Fd TakeUffd() { return std::move(uffd_); }
  Fd TakePidfd();
  // Lets the body begin.
  void Go();
  void Meet();
  // The body's answer, minus a signal's number, or kHung.
  int Wait(int seconds = 20);

 private:
  [[noreturn]] void RunChild(const TestImage& image, const Body& body, const Options& options,
                             int socket);

  pid_t pid_ = -1;
  bool reaped_ = false;
  Fd socket_;
  Fd uffd_;
};

// The parts of a pager, with its events kept.
class PagerRig {
 public:
  PagerRig();
  ~PagerRig();

  // Serves the target under `id`.
  std::shared_ptr<AddressSpace> Add(uint64_t id, LazyTarget* target, TestImage* image,
                                    bool window = true, bool with_pidfd = true,
                                    uint64_t image_pid = 0);
  // Lets go of all parts but the arena and the targets' descriptors, as the end of a process does.
  void Abandon();
  // Builds the parts again from the arena.
  void Recover();
  void Fill(const std::shared_ptr<AddressSpace>& space) { fill_->AddTarget(space); }
  // Forked children are filled, too, from now on.
  void FillForks() { fill_forks_ = true; }
  FaultServicer& servicer() { return *servicer_; }
  BackgroundFill& fill() { return *fill_; }
  Arena& arena() { return arena_; }
  // For a remote source of this rig.
  const PagerEventSink& sink() const { return sink_; }
  RemoteSource::Look look();

  // Waits until an event of that kind has come.
  bool WaitEvent(PagerEventKind kind, uint64_t target, int seconds = 10);
  // Waits until the target is resident or gone.
  bool WaitEnd(uint64_t target);
  std::vector<PagerEvent> Events(PagerEventKind kind);

 private:
  bool Wait(uint64_t target, std::vector<PagerEventKind> kinds, int seconds);
  void Start(std::vector<std::shared_ptr<AddressSpace>> recovered);

  Arena arena_;
  PagerEventSink sink_;
  std::vector<std::shared_ptr<const Plan>> plans_;
  std::vector<int> own_descriptors_;  // of the servicer
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PagerEvent> events_;
  std::atomic<bool> fill_forks_{false};
  std::unique_ptr<FaultServicer> servicer_;
  std::unique_ptr<BackgroundFill> fill_;
};

// Processor seconds that this process has used.
double CpuSeconds();

}  // namespace thaw::testing

#endif  // THAW_NATIVE_TEST_LAZY_TARGET_H_
