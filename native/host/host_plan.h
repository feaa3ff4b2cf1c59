// What the coordinator tells a host process: descriptors, the host plan, and the control messages.
//
// Descriptors at start: 3 control (SOCK_SEQPACKET), 4 the host plan (a sealed memfd:
// HostPlanHeader, then regions, guards and eager runs), 5 the bytes of the eager runs, 6 and up the
// objects that regions map (shared memory, files). Numbers are little-endian. Writer:
// src/restore/host-plan.ts.
#ifndef THAW_NATIVE_HOST_HOST_PLAN_H_
#define THAW_NATIVE_HOST_HOST_PLAN_H_

#include <cstdint>

namespace thaw::host {

inline constexpr int kControlFd = 3, kPlanFd = 4, kEagerFd = 5;
inline constexpr uint64_t kHostPlanMagic = 0x3154534f48574854;  // "THWHOST1"
inline constexpr uint32_t kGapsMax = 64;
inline constexpr uint32_t kThreadsMax = 64;

// Flags of a host plan.
inline constexpr uint32_t kFlagUserModeOnly = 1;

// Flags of a region.
inline constexpr uint32_t kRegionLazy = 1;   // registered with the uffd
inline constexpr uint32_t kRegionEager = 2;  // has eager runs: writable until they are in place

struct HostPlanHeader {
  uint64_t magic;
  uint64_t byte_length;
  uint64_t block_bytes;  // size of the gap that the host needs for itself
  uint32_t parent_pid;   // exit when this is not the parent any more
  uint32_t flags;
  uint32_t gap_count;
  uint32_t region_count;
  uint32_t guard_count;
  uint32_t eager_count;
  uint64_t gaps[kGapsMax];  // addresses of candidate gaps, each block_bytes long
};

struct HostRegion {
  uint64_t start;
  uint64_t end;
  uint64_t object_offset;
  uint64_t advice;     // bit n: madvise(n)
  uint32_t prot;       // final protection
  uint32_t map_flags;  // MAP_PRIVATE or MAP_SHARED, MAP_GROWSDOWN, MAP_ANONYMOUS
  int32_t object_fd;   // -1: none
  uint32_t flags;
};

struct HostRange {
  uint64_t start;
  uint64_t end;
};

struct HostEagerRun {
  uint64_t vaddr;
  uint64_t byte_length;
  uint64_t offset;  // in the eager memfd
};

// Requests, coordinator to host. kTouch carries one descriptor: a memfd that holds `count` u64
// words (a page address | touch flags) and then room for `count` TouchResult.
inline constexpr uint32_t kRequestTouch = 1;

// Low bits of a touch word.
inline constexpr uint64_t kTouchThroughMem = 1;  // read by /proc/self/mem (a page without rights)
inline constexpr uint64_t kTouchWithoutCrc = 2;

struct Request {
  uint32_t op;
  uint32_t threads;
  uint64_t count;
};

struct TouchResult {
  uint32_t latency_ns;  // of the first touch, capped; kTouchFailed: the page could not be read
  uint32_t crc32;
};
inline constexpr uint32_t kTouchFailed = 0xffffffff;

// Stages, named in an answer that reports a failure.
enum class Stage : uint32_t {
  kReady = 0,
  kPlan = 1,
  kGap = 2,
  kUnmap = 3,
  kMap = 4,
  kEager = 5,
  kProtect = 6,
  kGuard = 7,
  kUffd = 8,
  kRegister = 9,
  kTouch = 10,
};

// Answers, host to coordinator. The first one (kReady) carries the uffd when there are lazy
// regions.
struct Answer {
  uint32_t stage;
  int32_t error;           // positive errno, 0 for success
  uint64_t vaddr;          // where it failed
  uint64_t block_start;    // the host's own memory
  uint32_t refused_hints;  // madvise calls that this kernel refused
  uint32_t reserved;
};

}  // namespace thaw::host

#endif  // THAW_NATIVE_HOST_HOST_PLAN_H_
