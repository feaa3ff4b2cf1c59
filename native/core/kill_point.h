// Places at which a test has the process killed: `THAW_KILL_POINT(kClaimed);`. Nothing at all in
// the product: only native tests are built with THAW_KILL_POINTS.
#ifndef THAW_NATIVE_CORE_KILL_POINT_H_
#define THAW_NATIVE_CORE_KILL_POINT_H_

#ifdef THAW_KILL_POINTS

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace thaw {

enum class KillPoint : uint32_t {
  kNone,
  kMessagesRead,          // of a uffd, none of them applied
  kEditLogged,            // of an address map, not made yet
  kChildMade,             // of a fork, not published yet
  kEventApplied,          // not marked as applied yet
  kDecoding,              // a block is read, not decoded yet
  kClaimed,               // pages, not installed yet
  kInstalled,             // pages, not settled yet
  kRetiring,              // a target, whose descriptors are still open
  kRecovering,            // one target of another's is taken over
  kRecovered,             // everything is, and was not told yet
  kAnnouncementReceived,  // of a handoff, not carried out yet
  kUffdReceived,          // of a handoff's task, nobody's yet
  kAttached,              // a handoff's uffd is its target's, who is not served yet
  kReleased,              // a handoff's targets, and it is not told yet
  kRequestReceived,       // not carried out yet
  kRequestHandled,        // not answered yet
  kRequestAnswered,       // still in the socket
  kWorkerCloned,          // in the keeper: nobody knows of it yet
  kStandbyCloned,
  kEnd,
};

// In shared memory, so that the test arms it and sees what came of it.
struct KillSwitch {
  std::atomic<KillPoint> point;
  std::atomic<uint32_t> again;  // times that `point` stays armed after it was hit
  std::atomic<KillPoint> next;  // armed after that
  std::atomic<uint32_t> hits;
};

inline KillSwitch* kill_switch = nullptr;

inline void ReachKillPoint(KillPoint point) {
  if (kill_switch == nullptr || kill_switch->point != point) return;
  // Of several threads one is enough.
  if (!kill_switch->point.compare_exchange_strong(point, KillPoint::kNone)) return;
  kill_switch->hits += 1;
  const bool again = kill_switch->again > 0;
  if (again) kill_switch->again -= 1;
  kill_switch->point = again ? point : kill_switch->next.exchange(KillPoint::kNone);
  ::kill(::getpid(), SIGKILL);
}

}  // namespace thaw

#define THAW_KILL_POINT(name) ::thaw::ReachKillPoint(::thaw::KillPoint::name)

#else

#define THAW_KILL_POINT(name) static_cast<void>(0)

#endif

#endif  // THAW_NATIVE_CORE_KILL_POINT_H_
