#include "memory_storm.h"

#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "lazy_target.h"

namespace thaw::testing {
namespace {

// Where a page of the image is.
enum class At { kHome, kZero, kAway, kNowhere };

class Stormed {
 public:
  explicit Stormed(const TestImage& image) : image_(image), at_(image.page_count(), At::kHome) {
    void* const place = ::mmap(nullptr, image.byte_length(), PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    by_ = static_cast<int64_t>(reinterpret_cast<uint64_t>(place) - image.start());
  }

  bool IsRight(uint32_t page) const {
    switch (at_[page]) {
      case At::kHome:
        return HoldsPages(image_, page, page + 1);
      case At::kZero:
        return IsZeroAt(image_.At(page));
      case At::kAway:
        return HoldsPages(image_, page, page + 1, by_);
      case At::kNowhere:
        break;
    }
    return true;
  }

  bool AreRight(uint32_t step) const {
    for (uint32_t page = 0; page < image_.page_count(); page += step) {
      if (!IsRight(page)) return false;
    }
    return true;
  }

  void Discard(uint32_t page) {
    if (at_[page] == At::kAway || at_[page] == At::kNowhere) return;
    ::madvise(Pointer(image_.At(page)), kPageSize, MADV_DONTNEED);
    at_[page] = At::kZero;
  }

  void Move(uint32_t page) {
    if (at_[page] != At::kHome) return;
    void* const to = Pointer(image_.At(page) + static_cast<uint64_t>(by_));
    const int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    if (::mremap(Pointer(image_.At(page)), kPageSize, kPageSize, flags, to) != to) ::_exit(9);
    at_[page] = At::kAway;
  }

  void Unmap(uint32_t page) {
    if (at_[page] != At::kHome) return;
    ::munmap(Pointer(image_.At(page)), kPageSize);
    at_[page] = At::kNowhere;
  }

  bool Fork() const {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(AreRight(7) ? kRight : kWrong);
    return WaitFor(child) == kRight;
  }

 private:
  const TestImage& image_;
  std::vector<At> at_;
  int64_t by_ = 0;
};

}  // namespace

int Storm(const TestImage& image, uint64_t seed) {
  Random random(seed);
  Stormed memory(image);
  for (int i = 0; i < 120; ++i) {
    const auto page = static_cast<uint32_t>(random.Below(image.page_count()));
    switch (random.Below(6)) {
      case 0:
        memory.Discard(page);
        break;
      case 1:
        memory.Move(page);
        break;
      case 2:
        memory.Unmap(page);
        break;
      case 3:
        if (random.Below(8) == 0 && !memory.Fork()) return 2;
        break;
      default:
        if (!memory.IsRight(page)) return 3;
    }
  }
  return memory.AreRight(1) ? kRight : 4;
}

}  // namespace thaw::testing
