// A forked child that nobody will serve, for want of a descriptor or of room. What is missing in it
// must not become zeros when its uffd closes, so it is poisoned before.
#ifndef THAW_NATIVE_CORE_REFUSED_FORK_H_
#define THAW_NATIVE_CORE_REFUSED_FORK_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "address_map.h"
#include "arena_layout.h"
#include "plan.h"
#include "uffd.h"

namespace thaw {

// How often, and for how many microseconds each, an event is waited for that is on its way.
inline constexpr int kEventRoundsMax = 10'000;
inline constexpr unsigned kEventPauseUs = 20;

// Fault thread only. A copy stands for a child of that child at that moment.
class RefusedFork {
 public:
  // Reads one message of a uffd.
  using ReadOne = std::function<uffd::Value(int uffd, abi::Message* message)>;
  // Takes the descriptor of a grandchild, which nobody will serve either.
  using Refuse = std::function<void(Fd uffd, RefusedFork grandchild)>;

  // `map`: where the child's pages are; `missing`: which data pages are, by their number.
  RefusedFork(const Plan* plan, AddressMap map, std::vector<bool> missing);

  // Poisons what is missing, and follows the child's events, for it runs meanwhile. False when
  // pages may still be missing: an event could not be read, or the kernel (before 6.6) cannot
  // poison.
  bool Poison(int uffd, const ReadOne& read, const Refuse& refuse);

  // What was missing at first.
  const PageError& failure() const { return failure_; }

 private:
  bool PoisonExtent(const Extent& extent, int uffd, const ReadOne& read, const Refuse& refuse);
  uint32_t CountMissing(const Extent& extent, uint32_t page) const;
  bool FollowEvents(int uffd, const ReadOne& read, const Refuse& refuse);
  void Forget(const std::vector<AddressRange>& image_ranges);

  const Plan* const plan_;
  AddressMap map_;
  std::vector<bool> missing_;
  PageError failure_{};
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_REFUSED_FORK_H_
