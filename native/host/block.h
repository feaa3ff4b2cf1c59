// The host's own memory: one block in a gap of the image's map, with everything that it still needs
// after it has unmapped the rest of its address space.
#ifndef THAW_NATIVE_HOST_BLOCK_H_
#define THAW_NATIVE_HOST_BLOCK_H_

#include <cstdint>

#include "crc32.h"
#include "host_plan.h"
#include "sys.h"

namespace thaw::host {

inline constexpr uint64_t kMainStackBytes = 64 * 1024;
inline constexpr uint64_t kThreadStackBytes = 32 * 1024;
inline constexpr uint64_t kCodeBytesMax = 64 * 1024;

// Layout: code | Block | plan. `code` is the host's own image, read-only and executable.
struct Block {
  alignas(16) uint8_t main_stack[kMainStackBytes];
  alignas(16) uint8_t thread_stacks[kThreadsMax][kThreadStackBytes];
  Crc32Tables crc;
  HostPlanHeader header;
  uint64_t start;          // of the whole block, code included
  const uint8_t* plan;     // the mapped plan, header included
  uint32_t refused_hints;  // madvise calls that this kernel refused

  const HostRegion* regions() const {
    return reinterpret_cast<const HostRegion*>(plan + sizeof(HostPlanHeader));
  }
  const HostRange* guards() const {
    return reinterpret_cast<const HostRange*>(regions() + header.region_count);
  }
  const HostEagerRun* eager_runs() const {
    return reinterpret_cast<const HostEagerRun*>(guards() + header.guard_count);
  }
};

inline uint64_t RoundUp(uint64_t value) { return (value + kPageSize - 1) & ~(kPageSize - 1); }

// Bytes before the mapped plan. The coordinator adds the plan's length and asks for gaps that
// large.
inline constexpr uint64_t kBlockFixedBytes =
    kCodeBytesMax + ((sizeof(Block) + kPageSize - 1) & ~(kPageSize - 1));
static_assert(kBlockFixedBytes <= 4 * 1024 * 1024, "src/restore/host-plan.ts reserves 4 MiB");

// Puts every region in place. 0, or a positive errno with stage and address in `failed`.
int PlaceRegions(Block* block, Answer* failed);

// Opens the uffd, registers the lazy regions; the descriptor, or -1 when there are none.
int RegisterRegions(const Block* block, int* uffd, Answer* failed);

// Serves one touch request. 0 or a positive errno.
int Touch(Block* block, int list_fd, uint64_t count, uint32_t threads);

// Makes SIGSEGV and SIGBUS of a touch come back as a failed touch.
void InstallFaultHandler();

}  // namespace thaw::host

#endif  // THAW_NATIVE_HOST_BLOCK_H_
