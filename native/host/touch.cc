// Touches pages from inside the host: each first touch is a page fault of this process, timed, and
// each page read is reported as a CRC-32.
#include "block.h"

namespace thaw::host {
namespace {

constexpr int kAtCwd = -100, kOpenRdonlyCloexec = 02000000;
constexpr int kSigBus = 7, kSigSegv = 11;
constexpr uint64_t kBatch = 256;
constexpr long kCloneThreadFlags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x200000;
constexpr long kFutexWait = 0;

// One thread's share of a request. Lives on the main stack until every thread has ended.
struct Share {
  const Block* block;
  int list_fd;
  uint64_t count;  // words in the whole list
  uint64_t first;
  uint64_t last;
  int error;
  int running;  // cleared and woken by the kernel when the thread is gone
};

extern "C" {
// bool thaw_touch(const void*): reads one byte. A SIGSEGV or SIGBUS at thaw_touch_load resumes at
// thaw_touch_failed.
bool thaw_touch(const void* byte);
extern const char thaw_touch_load[];
extern const char thaw_touch_failed[];
void thaw_signal_return();
long thaw_clone_thread(long flags, void* stack, int* child_tid, void (*run)(void*), void* argument);
}

__asm__(
    ".text\n"
    ".globl thaw_touch, thaw_touch_load, thaw_touch_failed, thaw_signal_return\n"
    ".globl thaw_clone_thread\n"
    ".hidden thaw_touch, thaw_touch_load, thaw_touch_failed, thaw_signal_return\n"
    ".hidden thaw_clone_thread\n"
    "thaw_touch:\n"
    "thaw_touch_load:\n"
    "  movb (%rdi), %al\n"
    "  movl $1, %eax\n"
    "  ret\n"
    "thaw_touch_failed:\n"
    "  xorl %eax, %eax\n"
    "  ret\n"
    "thaw_signal_return:\n"
    "  movl $15, %eax\n"  // rt_sigreturn
    "  syscall\n"
    // rdi flags, rsi stack top, rdx child tid, rcx run, r8 argument. The child has a new stack, so
    // only the parent takes its saved registers back.
    "thaw_clone_thread:\n"
    "  pushq %r12\n"
    "  pushq %r13\n"
    "  movq %rdx, %r10\n"
    "  movq %rcx, %r12\n"
    "  movq %r8, %r13\n"
    "  xorl %edx, %edx\n"
    "  xorl %r8d, %r8d\n"
    "  movl $56, %eax\n"
    "  syscall\n"
    "  testq %rax, %rax\n"
    "  jz 1f\n"
    "  popq %r13\n"
    "  popq %r12\n"
    "  ret\n"
    "1:\n"
    "  xorl %ebp, %ebp\n"
    "  movq %r13, %rdi\n"
    "  callq *%r12\n"
    "  xorl %edi, %edi\n"
    "  movl $60, %eax\n"  // exit
    "  syscall\n"
    "  hlt\n");

// The kernel's struct ucontext up to the instruction pointer (x86-64).
struct SignalContext {
  uint64_t flags, link;
  uint64_t stack[3];
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
};

struct SignalAction {
  void (*handler)(int, void*, SignalContext*);
  uint64_t flags;
  void (*restorer)();
  uint64_t mask;
};

void OnFault(int signal, void*, SignalContext* context) {
  if (context->rip != reinterpret_cast<uint64_t>(thaw_touch_load)) Exit(128 + signal);
  context->rip = reinterpret_cast<uint64_t>(thaw_touch_failed);
}

TouchResult TouchPage(const Block* block, uint64_t word, int mem_fd, uint8_t* copy) {
  const uint64_t vaddr = word & ~(kPageSize - 1);
  const uint8_t* page = reinterpret_cast<const uint8_t*>(vaddr);
  const uint64_t before = NowNs();
  if (word & kTouchThroughMem) {
    if (PreadAll(mem_fd, copy, kPageSize, vaddr) != 0) return {kTouchFailed, 0};
    page = copy;
  } else if (!thaw_touch(page)) {
    return {kTouchFailed, 0};
  }
  const uint64_t elapsed = NowNs() - before;
  TouchResult result{elapsed < kTouchFailed ? static_cast<uint32_t>(elapsed) : kTouchFailed - 1, 0};
  if (!(word & kTouchWithoutCrc)) result.crc32 = block->crc.Of(page, kPageSize);
  return result;
}

int TouchShare(const Share& share, int mem_fd) {
  uint64_t words[kBatch];
  TouchResult results[kBatch];
  alignas(16) uint8_t copy[kPageSize];
  for (uint64_t at = share.first; at < share.last; at += kBatch) {
    const uint64_t batch = share.last - at < kBatch ? share.last - at : kBatch;
    if (const int error = PreadAll(share.list_fd, words, batch * sizeof(uint64_t), at * 8)) {
      return error;
    }
    for (uint64_t i = 0; i < batch; ++i) {
      results[i] = TouchPage(share.block, words[i], mem_fd, copy);
    }
    const uint64_t offset = share.count * sizeof(uint64_t) + at * sizeof(TouchResult);
    if (const int error = PwriteAll(share.list_fd, results, batch * sizeof(TouchResult), offset)) {
      return error;
    }
  }
  return 0;
}

void RunShare(void* argument) {
  Share* share = static_cast<Share*>(argument);
  const long mem_fd = Syscall(number::kOpenat, kAtCwd, "/proc/self/mem", kOpenRdonlyCloexec, 0);
  if (IsError(mem_fd)) {
    share->error = static_cast<int>(-mem_fd);
    return;
  }
  share->error = TouchShare(*share, static_cast<int>(mem_fd));
  Syscall(number::kClose, mem_fd);
}

// Without a limit on purpose: a touch waits as long as its page does. The coordinator ends the host
// by SIGKILL.
void WaitForEnd(Share* share) {
  for (;;) {
    const int running = __atomic_load_n(&share->running, __ATOMIC_ACQUIRE);
    if (running == 0) return;
    Syscall(number::kFutex, &share->running, kFutexWait, running, 0, 0, 0);
  }
}

}  // namespace

void InstallFaultHandler() {
  SignalAction action{OnFault, 0x4 | 0x04000000 | 0x40000000 /* SIGINFO, RESTORER, NODEFER */,
                      thaw_signal_return, 0};
  Syscall(number::kRtSigaction, kSigSegv, &action, 0, 8);
  Syscall(number::kRtSigaction, kSigBus, &action, 0, 8);
}

int Touch(Block* block, int list_fd, uint64_t count, uint32_t threads) {
  if (threads == 0 || threads > kThreadsMax) return kErrInval;
  Share shares[kThreadsMax];
  for (uint32_t i = 0; i < threads; ++i) {
    shares[i] = {block, list_fd, count, count * i / threads, count * (i + 1) / threads, 0, 0};
  }
  uint32_t started = 1;  // this thread serves the first share itself
  int error = 0;
  for (; started < threads; ++started) {
    Share* share = &shares[started];
    share->running = 1;
    const long answer =
        thaw_clone_thread(kCloneThreadFlags, block->thread_stacks[started] + kThreadStackBytes,
                          &share->running, RunShare, share);
    if (IsError(answer)) {
      error = static_cast<int>(-answer);
      break;
    }
  }
  RunShare(&shares[0]);
  for (uint32_t i = 0; i < started; ++i) {
    if (i > 0) WaitForEnd(&shares[i]);
    if (error == 0) error = shares[i].error;
  }
  return error;
}

}  // namespace thaw::host
