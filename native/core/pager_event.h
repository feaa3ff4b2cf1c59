// What the servicer has to say about its targets, in order of happening.
#ifndef THAW_NATIVE_CORE_PAGER_EVENT_H_
#define THAW_NATIVE_CORE_PAGER_EVENT_H_

#include <cstdint>
#include <functional>

namespace thaw {

enum class PagerEventKind : uint32_t {
  kResident = 1,      // everything is in; let go of
  kGone = 2,          // the target ended first
  kForked = 3,        // a = id of the child's address space, b = its figures slot
  kPageError = 4,     // error, a = vaddr, b = pages, c = index of the source in the plan,
                      // d = byte of the source, e = ErrorAction
  kPrefetchDone = 5,  // a = request id
  kSettled = 6,       // a = request id
  // Of remote sources, whose id stands in the target's place; a = bytes of pages received, b =
  // answers.
  kSourceLost = 7,    // error, c = requests sent and not answered in full; what is asked for waits
                      // for another connection, or for its end
  kSourceClosed = 8,  // error, 0: the server took leave as well
  // Of the pager itself: another worker goes on; a = how often that happened. What was promised by
  // an event may have been forgotten (kPrefetchDone, kSettled): ask again. Others may come twice.
  kTookOver = 9,
  kHandedOver = 10,  // the target has come; a = pid of its process, 0: not known
  // A handoff is over, whose id stands in the target's place: a = HandoffEnd, b = tasks and zombies
  // that were announced, c = its last word (a pid; negative: a zombie's), d = descriptors that
  // came.
  kHandoffEnd = 11,
};

// How a handoff ended.
enum class HandoffEnd : uint64_t {
  kRestored = 0,       // all ranges are registered, and the tasks run
  kHungUp = 1,         // between two announcements
  kHalfMessage = 2,    // within one
  kStrayFds = 3,       // descriptors that belong to no task
  kNotOneFd = 4,       // for a task
  kStranger = 5,       // not one of those expected, or twice
  kTooEarly = 6,       // restored before all were announced
  kSilent = 7,         // for too long
  kNotUffd = 8,        // another descriptor
  kNoDescriptors = 9,  // left to receive one
  kNotServed = 10,     // error
  kSourceLost = 11,    // and nobody is there to make another connection to the page server
};

struct PagerEvent {
  PagerEventKind kind;
  int32_t error;
  uint64_t target;
  uint64_t a;
  uint64_t b;
  uint64_t c;
  uint64_t d = 0;
  uint64_t e = 0;
};

// Called on the servicer's threads; must not block.
using PagerEventSink = std::function<void(const PagerEvent&)>;

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_PAGER_EVENT_H_
