// One function for each operation of a userfaultfd, over a plain descriptor.
//
// What: opening, the UFFDIO_* ioctls and reading of messages, with the kernel's answer kept whole:
// bytes done AND errno, because partial work is normal (UFFDIO_COPY that meets a present page).
// Who: the addon, the pager and the freestanding host all call these; no ioctl is issued elsewhere.
// Thread-safety: any thread; the kernel serialises. Lifetime: the caller owns the descriptor.
#ifndef THAW_NATIVE_CORE_UFFD_H_
#define THAW_NATIVE_CORE_UFFD_H_

#include <cstddef>
#include <cstdint>

#include "syscall.h"
#include "uffd_abi.h"

namespace thaw::uffd {

// Outcome of a call that may do part of its work. `error` is a positive errno, or 0.
struct Result {
  uint64_t bytes = 0;
  int error = 0;
  bool ok() const { return error == 0; }
};

// Outcome of a call that returns a value (a descriptor, a count). `error` is a positive errno, or
// 0.
struct Value {
  long value = 0;
  int error = 0;
  bool ok() const { return error == 0; }
};

namespace internal {
inline constexpr long kSysRead = 0, kSysOpenat = 257, kSysClose = 3, kSysIoctl = 16,
                      kSysUserfaultfd = 323;
inline constexpr int kAtCwd = -100, kOpenReadWriteCloexec = 02 | 02000000;

inline Value ToValue(long answer) {
  if (answer < 0) return {0, static_cast<int>(-answer)};
  return {answer, 0};
}

inline int Ioctl(int fd, unsigned long request, void* argument) {
  const long answer = Syscall(kSysIoctl, fd, request, argument);
  return answer < 0 ? static_cast<int>(-answer) : 0;
}

// The kernel leaves bytes done, or a negated errno, in `done`; it leaves it alone when the address
// space is gone (ESRCH).
inline Result ToResult(int error, int64_t done) {
  return {done > 0 ? static_cast<uint64_t>(done) : 0, error};
}
}  // namespace internal

// userfaultfd(2). `flags`: O_CLOEXEC, O_NONBLOCK, abi::kUserModeOnly.
inline Value OpenBySyscall(uint32_t flags) {
  return internal::ToValue(Syscall(internal::kSysUserfaultfd, flags));
}

// The same through /dev/userfaultfd, whose file permissions replace the capability check.
inline Value OpenByDevice(uint32_t flags) {
  const Value device =
      internal::ToValue(Syscall(internal::kSysOpenat, internal::kAtCwd, "/dev/userfaultfd",
                                internal::kOpenReadWriteCloexec, 0));
  if (!device.ok()) return device;
  const long answer = Syscall(internal::kSysIoctl, device.value, abi::kRequestDeviceNew, flags);
  Syscall(internal::kSysClose, device.value);
  return internal::ToValue(answer);
}

// UFFDIO_API. In: `api->features` asked for. Out: features and ioctls that the kernel offers.
inline int Api(int fd, abi::Api* api) {
  api->api = abi::kApi;
  return internal::Ioctl(fd, abi::kRequestApi, api);
}

// UFFDIO_REGISTER. `ioctls`, when given, gets the set of ioctls usable on the range.
inline int Register(int fd, abi::Range range, uint64_t mode, uint64_t* ioctls = nullptr) {
  abi::Register argument{range, mode, 0};
  const int error = internal::Ioctl(fd, abi::kRequestRegister, &argument);
  if (error == 0 && ioctls != nullptr) *ioctls = argument.ioctls;
  return error;
}

inline int Wake(int fd, abi::Range range) { return internal::Ioctl(fd, abi::kRequestWake, &range); }

// Wakes whoever waits in the range. The kernel (6.18) does so before it clears the registration: a
// thread that faults between the two would wait for ever.
inline int Unregister(int fd, abi::Range range) {
  const int error = internal::Ioctl(fd, abi::kRequestUnregister, &range);
  Wake(fd, range);
  return error;
}

inline Result Copy(int fd, uint64_t dst, uint64_t src, uint64_t length, uint64_t mode = 0) {
  abi::Copy argument{dst, src, length, mode, 0};
  const int error = internal::Ioctl(fd, abi::kRequestCopy, &argument);
  return internal::ToResult(error, argument.done);
}

inline Result Zeropage(int fd, abi::Range range, uint64_t mode = 0) {
  abi::RangeFill argument{range, mode, 0};
  const int error = internal::Ioctl(fd, abi::kRequestZeropage, &argument);
  return internal::ToResult(error, argument.done);
}

inline Result Continue(int fd, abi::Range range, uint64_t mode = 0) {
  abi::RangeFill argument{range, mode, 0};
  const int error = internal::Ioctl(fd, abi::kRequestContinue, &argument);
  return internal::ToResult(error, argument.done);
}

inline Result Poison(int fd, abi::Range range, uint64_t mode = 0) {
  abi::RangeFill argument{range, mode, 0};
  const int error = internal::Ioctl(fd, abi::kRequestPoison, &argument);
  return internal::ToResult(error, argument.done);
}

inline int WriteProtect(int fd, abi::Range range, uint64_t mode) {
  abi::WriteProtect argument{range, mode};
  return internal::Ioctl(fd, abi::kRequestWriteProtect, &argument);
}

inline Result Move(int fd, uint64_t dst, uint64_t src, uint64_t length, uint64_t mode = 0) {
  abi::Move argument{dst, src, length, mode, 0};
  const int error = internal::Ioctl(fd, abi::kRequestMove, &argument);
  return internal::ToResult(error, argument.done);
}

// Reads up to `capacity` messages into `messages`; value = messages read. On a non-blocking
// descriptor EAGAIN means none. A fork message carries a descriptor that now belongs to the caller.
inline Value Read(int fd, abi::Message* messages, size_t capacity) {
  Value answer =
      internal::ToValue(Syscall(internal::kSysRead, fd, messages, capacity * sizeof(abi::Message)));
  answer.value /= static_cast<long>(sizeof(abi::Message));
  return answer;
}

}  // namespace thaw::uffd

#endif  // THAW_NATIVE_CORE_UFFD_H_
