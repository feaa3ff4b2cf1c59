// The messages between the control plane and the pager, over one SOCK_SEQPACKET socket.
//
// One message a packet; descriptors travel with it (SCM_RIGHTS). Numbers are little-endian. Peer:
// src/servicer/pager-protocol.ts.
#ifndef THAW_NATIVE_PAGER_CONTROL_MESSAGES_H_
#define THAW_NATIVE_PAGER_CONTROL_MESSAGES_H_

#include <cstdint>

namespace thaw {

inline constexpr uint32_t kControlVersion = 6;
inline constexpr int kPagerControlFd = 3;

// Requests, control plane to pager. Each gets one ControlAnswer with the same request id.
enum class RequestOp : uint32_t {
  kAddSource = 1,  // target = source id; fds: pages image
  kAddTarget = 2,  // a = what CRIU and page servers know the task by, b = most pages installed for
                   // one fault (1: the page alone); fds: uffd, plan, [pidfd], or where it is
                   // expected the plan alone; behind the struct: u32 source ids, as the plan counts
  kFill = 3,       // start filling the target, whose ranges are registered by now
  kPrefetch = 4,   // fill [a, b) first; kPrefetchDone follows
  kDropTarget = 5,  // forget it, free its figures
  kDropSource = 6,
  kRangesReady = 7,  // the target's ranges are registered by now
  kOutlive = 8,      // go on without the control plane until every target is resident or gone, with
                     // fds[0] as stderr
  kSettle = 9,       // kSettled follows once figures and events are up to date
  // A page server: target = source id; fds: a connected stream socket; a = close command, b =
  // longest silence before the first answer in milliseconds. Dropped like any source, without a
  // word to the server.
  kAddRemoteSource = 10,
  kReplaceSource = 11,  // a lost source goes on with fds[0]
  kAbandonSource = 12,  // what is missing from it is poisoned
  kCloseSource = 13,    // takes leave of the server; kSourceClosed follows
  // Expected targets come over the connection fds[0], as `criu restore --lazy-pages` hands its
  // tasks over; target = handoff id; a = zombies among them; behind the struct: u32 target ids.
  // Each of them brings kHandedOver; kHandoffEnd follows, when their ranges are registered as a
  // rule.
  kHandoff = 14,
  kDropHandoff = 15,  // hangs up; targets that have not come are still expected
  kLeave = 16,        // the control plane ends: after the answer nothing is told any more (kOutlive
                      // was asked for before)
};

inline constexpr uint32_t kTargetHasPidfd = 1;
inline constexpr uint32_t kTargetAwaitsRanges = 2;  // its ranges are registered later: kRangesReady
inline constexpr uint32_t kTargetExpected = 4;      // its uffd and pidfd come by a handoff
inline constexpr uint32_t kHandoffFill = 1;         // its targets are filled when all are restored
inline constexpr uint32_t kRemoteWideHeader = 1;    // the server is that of CRIU 4.2 or later
inline constexpr uint32_t kSourceMapAhead = 1;      // its targets come later: there is time for it
inline constexpr uint32_t kTargetOnErrorShift = 8;  // OnError in two bits
inline constexpr uint32_t kTargetOnErrorMask = 3;

struct ControlRequest {
  uint32_t op;
  uint32_t flags;
  uint64_t request_id;
  uint64_t target;
  uint64_t a;
  uint64_t b;
};

// Packets from the pager: an answer to a request, or an event (PagerEvent).
enum class PacketKind : uint32_t { kHello = 1, kAnswer = 2, kEvent = 3 };

// Why a request was refused.
enum class Refusal : uint32_t {
  kNone = 0,
  kMalformed = 1,
  kNotUffd = 2,
  kUnknownSource = 3,
  kUnknownTarget = 4,
  kTargetExists = 5,
  kBadPlan = 6,       // detail = Plan::Error
  kSourceFailed = 7,  // error = errno
  kOutOfMemory = 8,
  kFailed = 9,  // error = errno
  kNoDescriptors = 10,
  kNoHandoffSlot = 11,
};

struct ControlPacket {
  uint32_t kind;        // PacketKind
  uint32_t event_kind;  // PagerEventKind, for an event
  uint64_t request_id;  // for an answer
  uint32_t refusal;     // Refusal, for an answer
  int32_t error;        // positive errno, 0: none
  uint64_t target;
  uint64_t a;  // hello: version; answer to kAddTarget: figures slot; event: as PagerEvent says
  uint64_t b;
  uint64_t c;
  uint64_t d;
  uint64_t e;
};

// Makes an answer a refusal.
inline void Refuse(ControlPacket* answer, Refusal refusal, int error = 0) {
  answer->refusal = static_cast<uint32_t>(refusal);
  answer->error = error;
}

static_assert(sizeof(ControlRequest) == 40 && sizeof(ControlPacket) == 72, "no padding");

}  // namespace thaw

#endif  // THAW_NATIVE_PAGER_CONTROL_MESSAGES_H_
