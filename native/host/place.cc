// Maps the image's regions at their addresses and registers the lazy ones.
#include "block.h"
#include "uffd.h"

namespace thaw::host {
namespace {

constexpr int kMadvGuardInstall = 102;
constexpr uint32_t kOpenCloexecNonblock = 02000000 | 04000;

int Fail(Answer* failed, Stage stage, uint64_t vaddr, long answer) {
  failed->stage = static_cast<uint32_t>(stage);
  failed->vaddr = vaddr;
  failed->error = static_cast<int32_t>(answer < 0 ? -answer : answer);
  return failed->error;
}

int MapRegion(const HostRegion& region, Answer* failed) {
  const long prot = (region.flags & kRegionEager) ? kProtRead | kProtWrite : region.prot;
  const long flags = region.map_flags | kMapNoreserve | kMapFixedNoreplace;
  const long answer = Mmap(region.start, region.end - region.start, prot, flags, region.object_fd,
                           region.object_offset);
  if (IsError(answer)) return Fail(failed, Stage::kMap, region.start, answer);
  // A kernel older than MAP_FIXED_NOREPLACE takes the address as a hint.
  if (static_cast<uint64_t>(answer) != region.start) {
    return Fail(failed, Stage::kMap, region.start, kErrExist);
  }
  return 0;
}

// Advice is a hint: a kernel built without (say) KSM refuses it, which is counted, not fatal.
void Advise(const HostRegion& region, uint32_t* refused) {
  for (uint64_t bits = region.advice; bits != 0; bits &= bits - 1) {
    const int advice = __builtin_ctzll(bits);
    if (Syscall(number::kMadvise, region.start, region.end - region.start, advice) != 0) ++*refused;
  }
}

}  // namespace

int PlaceRegions(Block* block, Answer* failed) {
  const HostPlanHeader& header = block->header;
  for (uint32_t i = 0; i < header.region_count; ++i) {
    if (const int error = MapRegion(block->regions()[i], failed)) return error;
  }
  for (uint32_t i = 0; i < header.eager_count; ++i) {
    const HostEagerRun& run = block->eager_runs()[i];
    const int error =
        PreadAll(kEagerFd, reinterpret_cast<void*>(run.vaddr), run.byte_length, run.offset);
    if (error != 0) return Fail(failed, Stage::kEager, run.vaddr, error);
  }
  for (uint32_t i = 0; i < header.region_count; ++i) {
    const HostRegion& region = block->regions()[i];
    if (region.flags & kRegionEager) {
      const long answer =
          Syscall(number::kMprotect, region.start, region.end - region.start, region.prot);
      if (answer != 0) return Fail(failed, Stage::kProtect, region.start, answer);
    }
    Advise(region, &block->refused_hints);
  }
  for (uint32_t i = 0; i < header.guard_count; ++i) {
    const HostRange& guard = block->guards()[i];
    const long answer =
        Syscall(number::kMadvise, guard.start, guard.end - guard.start, kMadvGuardInstall);
    if (answer != 0) return Fail(failed, Stage::kGuard, guard.start, answer);
  }
  return 0;
}

int RegisterRegions(const Block* block, int* uffd, Answer* failed) {
  *uffd = -1;
  for (uint32_t i = 0; i < block->header.region_count; ++i) {
    const HostRegion& region = block->regions()[i];
    if (!(region.flags & kRegionLazy)) continue;
    if (*uffd < 0) {
      const bool user_mode_only = block->header.flags & kFlagUserModeOnly;
      const uint32_t flags = kOpenCloexecNonblock | (user_mode_only ? abi::kUserModeOnly : 0);
      uffd::Value opened = uffd::OpenBySyscall(flags);
      if (!opened.ok()) opened = uffd::OpenByDevice(flags);
      if (!opened.ok()) return Fail(failed, Stage::kUffd, 0, opened.error);
      *uffd = static_cast<int>(opened.value);
      abi::Api api{};
      if (const int error = uffd::Api(*uffd, &api)) return Fail(failed, Stage::kUffd, 0, error);
    }
    const int error =
        uffd::Register(*uffd, {region.start, region.end - region.start}, abi::kRegisterMissing);
    if (error != 0) return Fail(failed, Stage::kRegister, region.start, error);
  }
  return 0;
}

}  // namespace thaw::host
