#include "guarded_copy.h"

#include <signal.h>
#include <ucontext.h>

#include <cstdint>
#include <mutex>

extern "C" {
__attribute__((visibility("hidden"))) extern const char thaw_guarded_copy_begin[];
__attribute__((visibility("hidden"))) extern const char thaw_guarded_copy_end[];
}

namespace thaw {

namespace {

struct sigaction previous_bus;
struct sigaction previous_segv;

void Chain(int number, siginfo_t* info, void* context) {
  const struct sigaction& previous = number == SIGBUS ? previous_bus : previous_segv;
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
  } else {
    // The faulting instruction runs again and meets the default action; a signal that somebody sent
    // would not come again by itself.
    sigaction(number, &previous, nullptr);
    if (info->si_code <= 0) raise(number);
  }
}

void OnFault(int number, siginfo_t* info, void* context) {
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  if (registers[REG_RIP] != reinterpret_cast<greg_t>(thaw_guarded_copy_begin)) {
    Chain(number, info, context);
    return;
  }
  registers[REG_RIP] = reinterpret_cast<greg_t>(thaw_guarded_copy_end);
  registers[REG_RAX] = number;
}

}  // namespace

void InstallFaultGuard() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = OnFault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous_bus);
    sigaction(SIGSEGV, &action, &previous_segv);
  });
}

// One copy of the instruction, so that its address is one.
__attribute__((noinline, noclone)) GuardedCopyOutcome GuardedCopy(void* to, const void* from,
                                                                  size_t byte_length) {
  size_t left = byte_length;
  uint64_t signal_number = 0;
  // A fault leaves the bytes still to copy in rcx.
  __asm__ volatile(
      ".globl thaw_guarded_copy_begin\n"
      ".hidden thaw_guarded_copy_begin\n"
      ".globl thaw_guarded_copy_end\n"
      ".hidden thaw_guarded_copy_end\n"
      "thaw_guarded_copy_begin: rep movsb\n"
      "thaw_guarded_copy_end:\n"
      : "+D"(to), "+S"(from), "+c"(left), "+a"(signal_number)
      :
      : "memory");
  return {byte_length - left, static_cast<int>(signal_number)};
}

}  // namespace thaw
