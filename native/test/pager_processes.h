// A whole pager, with all of its processes, as the control plane starts and uses it.
#ifndef THAW_NATIVE_TEST_PAGER_PROCESSES_H_
#define THAW_NATIVE_TEST_PAGER_PROCESSES_H_

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "arena_layout.h"
#include "control_messages.h"
#include "fd.h"
#include "lazy_target.h"
#include "pager_event.h"

namespace thaw::testing {

// KiB of private memory that a process has, and how far two looks at it may differ by chance.
long PrivateKib(pid_t pid);
#ifdef __SANITIZE_ADDRESS__
inline constexpr long kNoiseKib = 64 * 1024;
#else
inline constexpr long kNoiseKib = 256;
#endif

class PagerProcesses {
 public:
  enum class Stderr { kOurs, kNone };

  // Forks: before any thread starts.
  explicit PagerProcesses(Stderr stderr_of = Stderr::kOurs);
  PagerProcesses(const PagerProcesses&) = delete;
  PagerProcesses& operator=(const PagerProcesses&) = delete;
  // Kills what is left.
  ~PagerProcesses();

  // Announces the image's pages and serves the target under `id`.
  bool Add(uint64_t id, LazyTarget* target, TestImage* image);
  // Whether the answer is that it was done. A target whose plan comes alone is an expected one.
  bool Ask(RequestOp op, uint64_t target, std::vector<int> fds = {}, uint64_t a = 0,
           const std::vector<uint32_t>& ids = {}, uint64_t b = 0);
  // Has whichever process comes to `point` killed there, and then the one that comes to `next`.
  void Arm(KillPoint point, KillPoint next = KillPoint::kNone);
  // Has the next `times` processes that come to `point` killed there.
  void ArmTimes(KillPoint point, uint32_t times);
  uint32_t hits() const { return header().kill_switch.hits; }
  // Waits until so many points were hit.
  bool WaitHits(uint32_t count) const;

  ProcessRecord& processes() const { return header().processes; }
  const Figures& figures(uint64_t slot) const;
  // Most targets that there ever were at once.
  uint32_t target_slots_used() const { return header().target_slots_used; }
  // Bytes of memory that the arena takes.
  uint64_t arena_bytes() const;
  // Kills the worker, and waits until another has taken over.
  bool ReplaceWorker();
  // Slot of the target that was added last.
  uint64_t slot() const { return slot_; }
  // Waits until the pager said, or has said, that the target is resident or gone.
  bool WaitEnd(uint64_t target);
  // Waits for such an event, or for one that came before; null when it does not come. Valid until
  // the next one is waited for.
  const ControlPacket* WaitEvent(PagerEventKind kind, uint64_t target);
  uint64_t CountEvents(PagerEventKind kind) const;
  // Those that came so far.
  const std::vector<ControlPacket>& events() const { return events_; }
  // Waits until there are three processes that the arena names, none of them `killed`.
  bool WaitWhole(pid_t killed = -1) const;
  // Ends the conversation, and waits for the end of all processes.
  bool Close();
  // Ends it as a control plane that was killed does.
  void Vanish() { socket_.Reset(); }
  // Waits until there is no process any more, once all is served.
  bool WaitNone() const;

 private:
  ArenaHeader& header() const;
  bool Receive(ControlPacket* packet, int* fd);
  template <typename Condition>
  const ControlPacket* WaitFor(Condition condition);

  pid_t pid_ = -1;
  Fd socket_;
  Fd arena_fd_;
  UniqueMapping arena_;
  uint64_t next_request_id_ = 1;
  uint64_t slot_ = 0;
  std::vector<ControlPacket> events_;
};

}  // namespace thaw::testing

#endif  // THAW_NATIVE_TEST_PAGER_PROCESSES_H_
