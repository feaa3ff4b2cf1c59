#include "refused_fork.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace thaw {
RefusedFork::RefusedFork(const Plan* plan, AddressMap map, std::vector<bool> missing)
    : plan_(plan), map_(std::move(map)), missing_(std::move(missing)) {
  for (uint32_t i = 0; i < plan_->extent_count(); ++i) {
    const Extent extent = plan_->extent(i);
    for (uint32_t page = 0; page < extent.page_count; ++page) {
      if (CountMissing(extent, page) == 0) continue;
      const Translation runtime = map_.ToRuntime(extent.vaddr + page * kPageSize);
      if (!runtime.found || failure_.page_count++ > 0) continue;
      failure_.vaddr = runtime.address;
      failure_.source = extent.source;
      failure_.file_offset = plan_->OffsetOf(extent, page);
    }
  }
}

// Missing pages in a row from `page` of the extent on.
uint32_t RefusedFork::CountMissing(const Extent& extent, uint32_t page) const {
  if (extent.kind != kExtentData) return 0;
  uint32_t count = 0;
  while (page + count < extent.page_count && missing_[extent.page_index + page + count]) ++count;
  return count;
}

bool RefusedFork::Poison(int uffd, const ReadOne& read, const Refuse& refuse) {
  for (uint32_t i = 0; i < plan_->extent_count(); ++i) {
    if (!PoisonExtent(plan_->extent(i), uffd, read, refuse)) return false;
  }
  return true;
}

bool RefusedFork::PoisonExtent(const Extent& extent, int uffd, const ReadOne& read,
                               const Refuse& refuse) {
  bool one_by_one = false;
  int rounds = 0;
  for (uint32_t page = 0; page < extent.page_count;) {
    const Translation runtime = map_.ToRuntime(extent.vaddr + page * kPageSize);
    const uint64_t run = std::min<uint64_t>(CountMissing(extent, page),
                                            runtime.found ? runtime.byte_length / kPageSize : 0);
    if (run == 0) {
      ++page;
      continue;
    }
    const uint64_t length = (one_by_one ? 1 : run) * kPageSize;
    const uffd::Result result = uffd::Poison(uffd, {runtime.address, length});
    page += static_cast<uint32_t>(result.bytes / kPageSize);
    switch (result.error) {
      case 0:
        break;
      case EAGAIN:
        if (result.bytes > 0) break;
        if (++rounds > kEventRoundsMax || !FollowEvents(uffd, read, refuse)) return false;
        break;
      case EEXIST:
        ++page;
        break;
      case ENOENT:  // the run is not registered as a whole, or the page is not
        if (one_by_one || run == 1) ++page;
        one_by_one = true;
        break;
      default:
        return result.error == ESRCH;  // it is gone
    }
  }
  return true;
}

// False when one could not be read.
bool RefusedFork::FollowEvents(int uffd, const ReadOne& read, const Refuse& refuse) {
  for (;;) {
    abi::Message message;
    const uffd::Value count = read(uffd, &message);
    if (count.error == EAGAIN) ::usleep(kEventPauseUs);
    if (!count.ok()) return count.error == EAGAIN;
    switch (message.event) {
      case abi::kEventFork:
        refuse(Fd(static_cast<int>(message.fork.ufd)), *this);
        break;
      case abi::kEventRemove:
        Forget(map_.ImageRanges(message.remove.start, message.remove.end));
        break;
      case abi::kEventUnmap:
        Forget(map_.Erase(message.remove.start, message.remove.end));
        break;
      case abi::kEventRemap:
        Forget(map_.Move(message.remap.from, message.remap.to, message.remap.length));
        break;
      default:
        break;  // a fault: poison wakes it
    }
  }
}

// The child let go of them: they are zeros.
void RefusedFork::Forget(const std::vector<AddressRange>& image_ranges) {
  for (const AddressRange& range : image_ranges) {
    const uint32_t end = plan_->FirstPageFrom(range.end);
    for (uint32_t page = plan_->FirstPageFrom(range.start); page < end; ++page) {
      missing_[page] = false;
    }
  }
}

}  // namespace thaw
