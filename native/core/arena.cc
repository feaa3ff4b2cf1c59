#include "arena.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace thaw {
namespace {

constexpr uint64_t kPage = 4096;

uint64_t RoundUp(uint64_t value) { return (value + kPage - 1) & ~(kPage - 1); }

std::vector<uint32_t> Descending(uint32_t count) {
  std::vector<uint32_t> slots(count);
  for (uint32_t i = 0; i < count; ++i) slots[i] = count - 1 - i;
  return slots;
}

// Takes the lowest free slot and raises `used`, the slots that were ever in use.
bool TakeSlot(std::vector<uint32_t>* free, std::atomic<uint32_t>* used, uint32_t* slot) {
  if (free->empty()) return false;
  *slot = free->back();
  free->pop_back();
  if (*slot >= *used) *used = *slot + 1;
  return true;
}

void RemoveSlots(std::vector<uint32_t>* free, const std::vector<uint32_t>& taken) {
  free->erase(std::remove_if(free->begin(), free->end(),
                             [&](uint32_t slot) {
                               return std::binary_search(taken.begin(), taken.end(), slot);
                             }),
              free->end());
}

// Of the slots below `used`, those whose record is published.
template <typename RecordOf>
std::vector<uint32_t> Published(uint32_t used, const RecordOf& record_of) {
  std::vector<uint32_t> slots;
  for (uint32_t slot = 0; slot < used; ++slot) {
    if (record_of(slot)->published) slots.push_back(slot);
  }
  return slots;
}

}  // namespace

bool Arena::Create() {
  fd_ = Fd(::memfd_create("thaw-arena", MFD_CLOEXEC));
  if (!fd_.valid() || ::ftruncate(fd_.get(), kArenaBytes) != 0) return false;
  mapping_ = UniqueMapping::Map(kArenaBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                                fd_.get());
  if (!mapping_.valid()) return false;
  free_targets_ = Descending(kFiguresSlots);
  free_sources_ = Descending(kSourceSlots);
  free_handoffs_ = Descending(kHandoffSlots);
  free_ranges_[kHeapOffset] = kArenaBytes - kHeapOffset;
  return true;
}

void Arena::Recover() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::vector<uint32_t> targets = PublishedTargets();
  const std::vector<uint32_t> sources = PublishedSources();
  const std::vector<uint32_t> handoffs = PublishedHandoffs();
  free_targets_ = Descending(kFiguresSlots);
  free_sources_ = Descending(kSourceSlots);
  free_handoffs_ = Descending(kHandoffSlots);
  RemoveSlots(&free_targets_, targets);
  RemoveSlots(&free_sources_, sources);
  RemoveSlots(&free_handoffs_, handoffs);
  // What died between being taken and being published.
  for (const uint32_t slot : free_targets_) {
    if (slot >= header().target_slots_used) continue;
    Discard(slot * kFiguresSlotBytes, kFiguresSlotBytes);
    Discard(kTargetsOffset + slot * kTargetRecordBytes, kTargetRecordBytes);
  }
  for (const uint32_t slot : free_sources_) {
    if (slot < header().source_slots_used)
      std::memset(static_cast<void*>(source(slot)), 0, sizeof(SourceRecord));
  }
  for (const uint32_t slot : free_handoffs_) {
    if (slot < header().handoff_slots_used) ClearHandoff(slot);
  }
  std::vector<ArenaRange> used;
  for (const uint32_t slot : targets) {
    const TargetRecord& record = *target(slot);
    if (record.retired_as != TargetState::kFree) continue;
    used.push_back(record.memory);
    if (record.map_current != 0) used.push_back(record.maps[record.map_current - 1]);
  }
  FreeAllButUsed(std::move(used));
}

void Arena::FreeAllButUsed(std::vector<ArenaRange> used) {
  std::sort(used.begin(), used.end(),
            [](const ArenaRange& a, const ArenaRange& b) { return a.offset < b.offset; });
  used.push_back({kArenaBytes, 0});
  free_ranges_.clear();
  uint64_t at = kHeapOffset;
  for (const ArenaRange& range : used) {
    if (range.offset > at) {
      // Far too large to be written over; the next process tries again.
      if (!Punch(at, range.offset - at)) std::abort();
      free_ranges_[at] = range.offset - at;
    }
    at = range.offset + RoundUp(range.byte_length);
  }
}

bool Arena::TakeTarget(uint32_t* slot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return TakeSlot(&free_targets_, &header().target_slots_used, slot);
}

void Arena::ReleaseTarget(uint32_t slot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  target(slot)->published = false;
  Discard(slot * kFiguresSlotBytes, kFiguresSlotBytes);
  Discard(kTargetsOffset + slot * kTargetRecordBytes, kTargetRecordBytes);
  free_targets_.push_back(slot);
}

SourceRecord* Arena::TakeSource() {
  const std::lock_guard<std::mutex> lock(mutex_);
  uint32_t slot;
  if (!TakeSlot(&free_sources_, &header().source_slots_used, &slot)) return nullptr;
  return source(slot);
}

void Arena::ReleaseSource(SourceRecord* record) {
  const std::lock_guard<std::mutex> lock(mutex_);
  record->published = false;
  std::memset(static_cast<void*>(record), 0, sizeof(*record));
  free_sources_.push_back(static_cast<uint32_t>(record - source(0)));
}

HandoffRecord* Arena::TakeHandoff() {
  const std::lock_guard<std::mutex> lock(mutex_);
  uint32_t slot;
  if (!TakeSlot(&free_handoffs_, &header().handoff_slots_used, &slot)) return nullptr;
  return handoff(slot);
}

void Arena::ReleaseHandoff(HandoffRecord* record) {
  const std::lock_guard<std::mutex> lock(mutex_);
  record->published = false;
  const auto slot = static_cast<uint32_t>(record - handoff(0));
  ClearHandoff(slot);
  free_handoffs_.push_back(slot);
}

void Arena::ClearHandoff(uint32_t slot) {
  Discard(kHandoffsOffset + slot * kHandoffRecordBytes, kHandoffRecordBytes);
}

std::vector<uint32_t> Arena::PublishedHandoffs() const {
  return Published(header().handoff_slots_used, [&](uint32_t slot) { return handoff(slot); });
}

std::vector<uint32_t> Arena::PublishedTargets() const {
  return Published(header().target_slots_used, [&](uint32_t slot) { return target(slot); });
}

std::vector<uint32_t> Arena::PublishedSources() const {
  return Published(header().source_slots_used, [&](uint32_t slot) { return source(slot); });
}

bool Arena::Allocate(uint64_t byte_length, ArenaRange* range) {
  const uint64_t wanted = RoundUp(byte_length);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto free = free_ranges_.begin(); free != free_ranges_.end(); ++free) {
    const auto [offset, length] = *free;
    if (length < wanted) continue;
    free_ranges_.erase(free);
    if (length > wanted) free_ranges_[offset + wanted] = length - wanted;
    *range = {offset, byte_length};
    return true;
  }
  return false;
}

void Arena::Release(const ArenaRange& range) {
  const uint64_t offset = range.offset;
  uint64_t length = RoundUp(range.byte_length);
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
bool Arena::Punch(uint64_t offset, uint64_t byte_length) {
  constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return ::fallocate(fd_.get(), kMode, offset, byte_length) == 0;
}

void Arena::Discard(uint64_t offset, uint64_t byte_length) {
  if (Punch(offset, byte_length)) return;
  // Old page states would make the next target's missing pages zero.
  std::memset(mapping_.data() + offset, 0, byte_length);
}

}  // namespace thaw
