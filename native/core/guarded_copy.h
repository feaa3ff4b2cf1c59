// Copies from or to memory whose pages may not be there: SIGBUS and SIGSEGV become an outcome.
//
// Why not process_vm_readv(2): with a user-mode-only userfaultfd the kernel may not fault for us
// (EFAULT), so that the access has to be a real one, from user space.
//
// How: one copying instruction; a process-wide handler of both signals that resumes behind it when,
// and only when, the fault came from that instruction. Every other fault goes to the handler that
// was installed before. Thread-safety: any thread.
#ifndef THAW_NATIVE_CORE_GUARDED_COPY_H_
#define THAW_NATIVE_CORE_GUARDED_COPY_H_

#include <cstddef>

namespace thaw {

struct GuardedCopyOutcome {
  size_t bytes = 0;  // done
  int signal = 0;    // SIGBUS or SIGSEGV that ended it, or 0
};

// Installs the signal handler, the first time that it is called.
void InstallFaultGuard();

// Copies `byte_length` bytes upwards. Needs the guard to be installed. Waits as long as a page
// handler of the memory lets it wait.
GuardedCopyOutcome GuardedCopy(void* to, const void* from, size_t byte_length);

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_GUARDED_COPY_H_
