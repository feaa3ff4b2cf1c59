// The few system calls and numbers that the freestanding host needs, on top of core/syscall.h.
#ifndef THAW_NATIVE_HOST_SYS_H_
#define THAW_NATIVE_HOST_SYS_H_

#include <cstddef>
#include <cstdint>

#include "syscall.h"

namespace thaw::host {

inline constexpr uint64_t kPageSize = 4096;
// End of user space with four-level page tables.
inline constexpr uint64_t kUserSpaceEnd = 0x7ffffffff000;

namespace number {
inline constexpr long kRead = 0, kClose = 3, kMmap = 9, kMprotect = 10, kMunmap = 11,
                      kRtSigaction = 13, kPread = 17, kPwrite = 18, kMadvise = 28, kSendmsg = 46,
                      kRecvmsg = 47, kClone = 56, kExit = 60, kGetppid = 110, kSigaltstack = 131,
                      kPrctl = 157, kFutex = 202, kClockGettime = 228, kExitGroup = 231,
                      kOpenat = 257;
}  // namespace number

inline constexpr int kErrIntr = 4, kErrNoExec = 8, kErrIo = 5, kErrExist = 17, kErrInval = 22;
inline constexpr long kProtRead = 1, kProtWrite = 2, kProtExec = 4;
inline constexpr long kMapPrivate = 2, kMapShared = 1, kMapFixed = 0x10, kMapAnonymous = 0x20,
                      kMapNoreserve = 0x4000, kMapFixedNoreplace = 0x100000;

inline bool IsError(long answer) { return answer < 0 && answer >= -4095; }

[[noreturn]] inline void Exit(int status) {
  for (;;) Syscall(number::kExitGroup, status);
}

inline long Mmap(uint64_t start, uint64_t length, long prot, long flags, int fd, uint64_t offset) {
  return Syscall(number::kMmap, start, length, prot, flags, fd, offset);
}

// Reads exactly `length` bytes; 0, or a positive errno (kErrIo at the file's end).
inline int PreadAll(int fd, void* buffer, uint64_t length, uint64_t offset) {
  char* to = static_cast<char*>(buffer);
  while (length > 0) {
    const long answer = Syscall(number::kPread, fd, to, length, offset);
    if (answer == -kErrIntr) continue;
    if (answer < 0) return static_cast<int>(-answer);
    if (answer == 0) return kErrIo;
    to += answer;
    offset += answer;
    length -= answer;
  }
  return 0;
}

inline int PwriteAll(int fd, const void* buffer, uint64_t length, uint64_t offset) {
  const char* from = static_cast<const char*>(buffer);
  while (length > 0) {
    const long answer = Syscall(number::kPwrite, fd, from, length, offset);
    if (answer == -kErrIntr) continue;
    if (answer < 0) return static_cast<int>(-answer);
    from += answer;
    offset += answer;
    length -= answer;
  }
  return 0;
}

inline uint64_t NowNs() {
  int64_t time[2];
  Syscall(number::kClockGettime, 1 /* CLOCK_MONOTONIC */, time);
  return static_cast<uint64_t>(time[0]) * 1000000000u + static_cast<uint64_t>(time[1]);
}

}  // namespace thaw::host

#endif  // THAW_NATIVE_HOST_SYS_H_
