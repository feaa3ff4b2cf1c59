// What becomes of a target of which a page cannot be produced, and what did become of it.
#ifndef THAW_NATIVE_CORE_ERROR_POLICY_H_
#define THAW_NATIVE_CORE_ERROR_POLICY_H_

#include <cstdint>

namespace thaw {

// Such pages are poisoned, whatever the policy: nothing that comes later undoes that.
enum class OnError : uint8_t {
  kPoison = 0,  // no more than that: a touch is SIGBUS
  kStop = 1,    // the process is stopped as well (SIGSTOP)
  kKill = 2,    // the process is killed as well
};

// What was done about a failure. Peer: src/servicer/pager-protocol.ts.
enum class ErrorAction : uint32_t {
  kNone = 0,      // the page cannot get where it belongs: nothing is registered there
  kPoisoned = 1,  // a touch is SIGBUS
  kStopped = 2,   // SIGSTOP was sent
  kKilled = 3,    // SIGKILL was sent
  kHeld = 4,      // neither poison (before Linux 6.6) nor a pidfd: whoever touches waits for ever
  kRetrying = 5,  // nothing yet: the read is tried again, and whoever needs the pages waits
  kResumed = 6,   // what had to be tried again was read, or given up
  // Of a child that the target forked and that cannot be served:
  kChildPoisoned = 7,  // a touch is SIGBUS
  kChildHeld = 8,      // whoever touches waits for ever
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_ERROR_POLICY_H_
