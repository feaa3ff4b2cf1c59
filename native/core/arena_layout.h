// What stands where in the arena, and what each record of it says.
//
//   figures slots | header | target records | source records | handoff records |
//   heap: page states, address maps
//
// A process of the pager that dies leaves nothing but this and its descriptors; the next one builds
// everything else from it. So a record is valid from the store of `published` on, and every step is
// ordered such that whatever stands here at any moment can be gone on from: what is being replaced
// goes only after the new is named. Layout is one build's own: both sides are the same program,
// cloned. The figures alone are read by others. Thread-safety: as each field says; control words
// are atomic.
#ifndef THAW_NATIVE_CORE_ARENA_LAYOUT_H_
#define THAW_NATIVE_CORE_ARENA_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "attached_fds.h"
#include "error_policy.h"
#include "figures.h"
#include "kill_point.h"
#include "uffd_abi.h"

namespace thaw {

inline constexpr size_t kMessagesMax = 16;

// Failures kept for a target until they are told; more of them only count.
inline constexpr uint32_t kErrorsMax = 1024;

// A part of the arena's heap, in bytes from the arena's start.
struct ArenaRange {
  uint64_t offset;
  uint64_t byte_length;
};

// Pages that could not be produced.
struct PageError {
  uint64_t vaddr;
  uint32_t page_count;
  uint32_t source;
  int error;
  uint64_t file_offset;  // byte of the source at which the first page, or its block, begins
  ErrorAction action;
};

// One target. Its slot is that of its figures.
struct TargetRecord {
  std::atomic<bool> published;
  std::atomic<bool> dropped;  // the control plane wants no more of it
  std::atomic<bool> ranges_ready;
  std::atomic<bool> fill_wanted;
  std::atomic<OnError> on_error;
  std::atomic<bool> cannot_poison;  // the kernel (before 6.6): such pages stay missing for ever
  std::atomic<TargetState>
      retired_as;   // other than kFree: its descriptors are not its own any more
  int32_t uffd;     // -1: it is expected from a handoff
  int32_t pidfd;    // -1: none
  int32_t plan_fd;  // its family's; -1: none
  uint32_t source_count;
  uint64_t id;
  uint64_t origin;
  uint32_t window_pages_max;
  uint64_t parent;
  uint64_t handoff;        // what hands it over; 0: none
  uint64_t image_pid;      // what CRIU and page servers know it by
  uint64_t fork_sequence;  // of the message that brought a forked child; 0: not forked
  ArenaRange memory;       // slots of the sources (u32 each), then page states (a byte each)
  // The address map: maps[map_current - 1], a MapImage; 0: as the plan's regions.
  std::atomic<uint32_t> map_current;
  ArenaRange maps[2];
  std::atomic<uint64_t>
      stalled_since_ns;  // since when reads are being tried again (read_retries.h)
  std::atomic<uint32_t> error_count;
  PageError errors[kErrorsMax];
};

// Sparse: a record without errors uses one page.
inline constexpr uint64_t kTargetRecordBytes = 48 * 1024;
static_assert(sizeof(TargetRecord) <= kTargetRecordBytes, "a slot holds a record");

// One pages image, or one page server: its connection ends with the process that had it.
struct SourceRecord {
  std::atomic<bool> published;
  std::atomic<bool> dropped;  // no further plan may name it
  bool remote;
  int32_t fd;  // of a pages image
  uint64_t id;
  uint64_t byte_length;  // when it was announced: plans were checked against this
  // Of a page server: RemoteSource::Options.
  uint32_t header_bytes;
  uint32_t close_command;
  uint32_t first_answer_ms;
};

inline constexpr uint32_t kSourceSlots = 65536;

// One connection over which CRIU hands tasks over. What it says is received straight into `word`
// and what comes behind, so that a descriptor that was received is known to whoever comes next. A
// page, which is given back.
struct alignas(4096) HandoffRecord {
  std::atomic<bool> published;
  bool fill;  // whether its tasks are filled once they run
  int32_t fd;
  uint64_t id;
  uint64_t silence_ns_max;
  uint32_t zombies;
  std::atomic<uint32_t> zombies_left;  // to be announced
  std::atomic<uint32_t> zombies_next;  // what zombies_left is once `word` is done with
  std::atomic<int32_t> word;           // the announcement in hand; 0: none
  uint8_t byte;                        // what a descriptor travels with
  alignas(cmsghdr) uint8_t word_attached[kAttachedBytes];
  alignas(cmsghdr) uint8_t task_attached[kAttachedBytes];
};

inline constexpr uint32_t kHandoffSlots = 1024;
inline constexpr uint64_t kHandoffRecordBytes = sizeof(HandoffRecord);
static_assert(kHandoffRecordBytes == 4096, "a record is a page");

// What one read(2) of a uffd brought. The kernel writes messages straight into it, so that an event
// that was read is known to whoever comes next. Pending: messages[i].event != 0 for i >= applied,
// where target_slot is set.
struct MessageBatch {
  std::atomic<uint64_t> sequence;     // of messages[0]; the others follow
  std::atomic<uint32_t> target_slot;  // slot + 1; 0: nothing was read
  std::atomic<uint32_t> applied;      // messages behind which everything is done
  abi::Message messages[kMessagesMax];
};

// The pager's processes. They share one descriptor table, so that descriptor numbers mean the same
// in all of them. Descriptors are -1 where there is none.
struct ProcessRecord {
  std::atomic<uint64_t> takeovers;  // workers that went on where another had died; read by others
  // A worker is cloned under a new epoch, and begins once that is released. Between the two its
  // keeper may die; then no other releases it, and it ends.
  std::atomic<uint32_t> epoch;
  std::atomic<uint32_t> released;
  std::atomic<int32_t> worker_pid, keeper_pid, standby_pid;
  std::atomic<int32_t> worker_pidfd, keeper_pidfd, standby_pidfd;
  std::atomic<uint64_t> died_ns;      // CLOCK_MONOTONIC when the last worker's end was noticed
  std::atomic<int32_t> died_pid;      // that worker
  std::atomic<int32_t> died_of;       // its wait status; -1: not known
  std::atomic<int32_t> end;           // exit status + 1 once the pager is to end; 0: it goes on
  std::atomic<bool> said_hello;       // to the control plane
  std::atomic<bool> outlives;         // RequestOp::kOutlive was asked for
  std::atomic<uint64_t> request_id;   // of the request in hand
  std::atomic<uint32_t> request_try;  // how often it was taken in hand
};

// Descriptors of forked children that could be neither served nor poisoned: they stay open, so that
// nothing in those reads as zeros.
inline constexpr size_t kHeldForksMax = 64;

struct ArenaHeader {
  ProcessRecord processes;
  std::atomic<int32_t> held_forks[kHeldForksMax];  // 0: none
  std::atomic<uint32_t> target_slots_used;         // slots from here on were never in use
  std::atomic<uint32_t> source_slots_used;
  std::atomic<uint32_t> handoff_slots_used;
  std::atomic<uint64_t> next_fork_id;
  MessageBatch batch;
#ifdef THAW_KILL_POINTS
  KillSwitch kill_switch;
#endif
};

inline constexpr uint64_t kHeaderBytes = 64 * 1024;
static_assert(sizeof(ArenaHeader) <= kHeaderBytes, "the header has its place");

inline constexpr uint64_t kArenaBytes = uint64_t{1} << 40;
inline constexpr uint64_t kHeaderOffset = kFiguresSlotBytes * kFiguresSlots;
inline constexpr uint64_t kTargetsOffset = kHeaderOffset + kHeaderBytes;
inline constexpr uint64_t kSourcesOffset = kTargetsOffset + kTargetRecordBytes * kFiguresSlots;
inline constexpr uint64_t kHandoffsOffset = kSourcesOffset + sizeof(SourceRecord) * kSourceSlots;
inline constexpr uint64_t kHeapOffset = kHandoffsOffset + kHandoffRecordBytes * kHandoffSlots;
static_assert(kHandoffsOffset % 4096 == 0, "a handoff's record is a page");
static_assert(kHeapOffset % 4096 == 0, "the heap is made of pages");

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_ARENA_LAYOUT_H_
