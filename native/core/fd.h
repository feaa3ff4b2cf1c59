// Owners of a descriptor and of a mapping.
#ifndef THAW_NATIVE_CORE_FD_H_
#define THAW_NATIVE_CORE_FD_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace thaw {

// Owns one descriptor; closes it. Thread-safety: none, as for any value.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// Owns one mapping; unmaps it.
class UniqueMapping {
 public:
  UniqueMapping() = default;
  UniqueMapping(void* address, size_t byteLength) : address_(address), byteLength_(byteLength) {}
  UniqueMapping(UniqueMapping&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)),
        byteLength_(std::exchange(other.byteLength_, 0)) {}
  UniqueMapping& operator=(UniqueMapping&& other) noexcept {
    if (this != &other) {
      Reset();
      address_ = std::exchange(other.address_, nullptr);
      byteLength_ = std::exchange(other.byteLength_, 0);
    }
    return *this;
  }
  ~UniqueMapping() { Reset(); }

  // An invalid mapping (errno set) when mmap(2) fails.
  static UniqueMapping Map(size_t byteLength, int prot, int flags, int fd) {
    void* const address = ::mmap(nullptr, byteLength, prot, flags, fd, 0);
    if (address == MAP_FAILED) return {};
    return UniqueMapping(address, byteLength);
  }

  uint8_t* data() const { return static_cast<uint8_t*>(address_); }
  size_t byteLength() const { return byteLength_; }
  bool valid() const { return address_ != nullptr; }

 private:
  void Reset() {
    if (address_ != nullptr) ::munmap(address_, byteLength_);
    address_ = nullptr;
  }

  void* address_ = nullptr;
  size_t byteLength_ = 0;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_FD_H_
