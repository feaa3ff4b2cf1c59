#include "arena.h"

#include <fcntl.h>

#include <cstring>
#include <new>

namespace thaw {
namespace {

constexpr uint64_t kArenaBytes = uint64_t{1} << 40;
constexpr uint64_t kFiguresBytes = kFiguresSlotBytes * kFiguresSlots;
constexpr uint64_t kPage = 4096;

uint64_t RoundUp(uint64_t value) { return (value + kPage - 1) & ~(kPage - 1); }

}  // namespace

bool Arena::Create() {
  fd_ = Fd(::memfd_create("thaw-arena", MFD_CLOEXEC));
  if (!fd_.valid() || ::ftruncate(fd_.get(), kArenaBytes) != 0) return false;
  mapping_ = UniqueMapping::Map(kArenaBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                                fd_.get());
  if (!mapping_.valid()) return false;
  for (uint32_t slot = kFiguresSlots; slot > 0; --slot) free_slots_.push_back(slot - 1);
  free_ranges_[kFiguresBytes] = kArenaBytes - kFiguresBytes;
  return true;
}

Figures* Arena::TakeFigures(uint32_t* slot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (free_slots_.empty()) return nullptr;
  *slot = free_slots_.back();
  free_slots_.pop_back();
  return new (mapping_.data() + *slot * kFiguresSlotBytes) Figures();
}

void Arena::ReleaseFigures(uint32_t slot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Discard(slot * kFiguresSlotBytes, kFiguresSlotBytes);
  free_slots_.push_back(slot);
}

uint8_t* Arena::Allocate(uint64_t byte_length) {
  const uint64_t wanted = RoundUp(byte_length);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto range = free_ranges_.begin(); range != free_ranges_.end(); ++range) {
    const auto [offset, length] = *range;
    if (length < wanted) continue;
    free_ranges_.erase(range);
    if (length > wanted) free_ranges_[offset + wanted] = length - wanted;
    return mapping_.data() + offset;
  }
  return nullptr;
}

void Arena::Release(uint8_t* address, uint64_t byte_length) {
  uint64_t offset = address - mapping_.data();
  uint64_t length = RoundUp(byte_length);
  if (length == 0) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  Discard(offset, length);
  const auto after = free_ranges_.lower_bound(offset);
  if (after != free_ranges_.end() && after->first == offset + length) {
    length += after->second;
    free_ranges_.erase(after);
  }
  const auto next = free_ranges_.lower_bound(offset);
  if (next != free_ranges_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += length;
      return;
    }
  }
  free_ranges_[offset] = length;
}

// Gives the memory back; the range reads as zeros afterwards.
void Arena::Discard(uint64_t offset, uint64_t byte_length) {
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (::fallocate(fd_.get(), kPunch, offset, byte_length) == 0) return;
  // Old page states would make the next target's missing pages zero.
  std::memset(mapping_.data() + offset, 0, byte_length);
}

}  // namespace thaw
