// Owners of a descriptor and of a mapping, and what is done to any descriptor.
#ifndef THAW_NATIVE_CORE_FD_H_
#define THAW_NATIVE_CORE_FD_H_

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace thaw {

// Returns false (errno set) when `fd` is not open.
inline bool MakeNonBlocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

// Has `epoll` tell of `key` while `fd` is readable. 0 or a positive errno.
inline int WatchReadable(int epoll, int fd, uint64_t key) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = key;
  return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

// Owns one descriptor; closes it. Thread-safety: none, as for any value.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Gives the descriptor up to the caller.
  int Release() { return std::exchange(fd_, -1); }
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
  UniqueMapping(void* address, size_t byte_length) : address_(address), byte_length_(byte_length) {}
  UniqueMapping(UniqueMapping&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)),
        byte_length_(std::exchange(other.byte_length_, 0)) {}
  UniqueMapping& operator=(UniqueMapping&& other) noexcept {
    if (this != &other) {
      Reset();
      address_ = std::exchange(other.address_, nullptr);
      byte_length_ = std::exchange(other.byte_length_, 0);
    }
    return *this;
  }
  ~UniqueMapping() { Reset(); }

  // An invalid mapping (errno set) when mmap(2) fails.
  static UniqueMapping Map(size_t byte_length, int prot, int flags, int fd) {
    void* const address = ::mmap(nullptr, byte_length, prot, flags, fd, 0);
    if (address == MAP_FAILED) return {};
    return UniqueMapping(address, byte_length);
  }

  uint8_t* data() const { return static_cast<uint8_t*>(address_); }
  size_t byte_length() const { return byte_length_; }
  bool valid() const { return address_ != nullptr; }

 private:
  void Reset() {
    if (address_ != nullptr) ::munmap(address_, byte_length_);
    address_ = nullptr;
  }

  void* address_ = nullptr;
  size_t byte_length_ = 0;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_FD_H_
