// Raw Linux system calls for x86-64, without libc.
//
// Why: the host process is freestanding (libc keeps pointers into memory that it unmaps), and it
// has to share the uffd calls with the addon and the pager. Every call returns the kernel's answer
// unchanged: a value in [-4095, -1] is a negated errno; errno itself is never touched.
//
// Thread-safety: pure functions of their arguments.
#ifndef THAW_NATIVE_CORE_SYSCALL_H_
#define THAW_NATIVE_CORE_SYSCALL_H_

#include <cstdint>

#ifndef __x86_64__
#error "thaw serves x86-64 only"
#endif

namespace thaw {

inline long Syscall6(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

template <typename T>
inline long AsWord(T value) {
  if constexpr (__is_enum(T)) {
    return static_cast<long>(value);
  } else {
    return (long)value;
  }
}

template <typename... Args>
inline long Syscall(long number, Args... args) {
  static_assert(sizeof...(args) <= 6, "a system call takes at most six arguments");
  const long words[7] = {AsWord(args)...};
  return Syscall6(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_SYSCALL_H_
