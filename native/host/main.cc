// The host process: stands in for a task of the image.
//
// It moves itself into a gap of the image's map, unmaps everything else, places the image's
// regions, registers the lazy ones with a uffd, hands that over, and then touches pages on request.
// It is freestanding position-independent code without writable globals: libc would keep pointers
// into the memory that goes. It dies with the command that started it.
#include "block.h"

// The compiler may call these for copies and initialisers.
extern "C" {
void* memcpy(void* to, const void* from, size_t length) {
  void* const result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
  return result;
}
void* memset(void* to, int value, size_t length) {
  void* const result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(value) : "memory");
  return result;
}
}

namespace thaw::host {
namespace {

extern "C" {
extern const char __ehdr_start[];
extern const char _end[];
void thaw_host_start();
[[noreturn]] void thaw_switch_stack(void* top, void (*run)(Block*), Block* block);
}

__asm__(
    ".text\n"
    ".globl _start, thaw_switch_stack\n"
    ".hidden thaw_switch_stack\n"
    "_start:\n"
    "  xorl %ebp, %ebp\n"
    "  andq $-16, %rsp\n"
    "  callq thaw_host_start\n"
    "  hlt\n"
    "thaw_switch_stack:\n"
    "  movq %rdi, %rsp\n"
    "  xorl %ebp, %ebp\n"
    "  movq %rdx, %rdi\n"
    "  callq *%rsi\n"
    "  hlt\n");

struct IoVector {
  void* base;
  uint64_t length;
};

struct MessageHeader {
  void* name;
  uint32_t name_length;
  IoVector* vectors;
  uint64_t vector_count;
  void* control;
  uint64_t control_length;
  uint32_t flags;
};

struct DescriptorMessage {
  uint64_t length;
  int32_t level;
  int32_t type;
  int32_t fd;
  int32_t padding;
};
constexpr int kSolSocket = 1, kScmRights = 1;
constexpr int kMessageNoSignal = 0x4000, kMessageCloexec = 0x40000000;

void Send(Answer answer, int fd) {
  IoVector vector{&answer, sizeof(answer)};
  DescriptorMessage rights{16 + sizeof(int32_t), kSolSocket, kScmRights, fd, 0};
  MessageHeader message{nullptr, 0, &vector, 1, nullptr, 0, 0};
  if (fd >= 0) {
    message.control = &rights;
    message.control_length = sizeof(rights);
  }
  while (Syscall(number::kSendmsg, kControlFd, &message, kMessageNoSignal) == -kErrIntr) {
  }
}

[[noreturn]] void Give(const Answer& answer) {
  Send(answer, -1);
  Exit(1);
}

[[noreturn]] void GiveUp(Stage stage, uint64_t vaddr, long error) {
  Give({static_cast<uint32_t>(stage), static_cast<int32_t>(error < 0 ? -error : error), vaddr, 0, 0,
        0});
}

// Receives one request. False when the coordinator is gone.
bool Receive(Request* request, int* fd) {
  IoVector vector{request, sizeof(*request)};
  DescriptorMessage rights{};
  MessageHeader message{nullptr, 0, &vector, 1, &rights, sizeof(rights), 0};
  long answer;
  do {
    answer = Syscall(number::kRecvmsg, kControlFd, &message, kMessageCloexec);
  } while (answer == -kErrIntr);
  *fd = (message.control_length >= 16 + sizeof(int32_t) && rights.type == kScmRights) ? rights.fd
                                                                                      : -1;
  return answer == sizeof(*request);
}

[[noreturn]] void Serve(Block* block) {
  for (;;) {
    Request request{};
    int fd = -1;
    if (!Receive(&request, &fd)) Exit(0);
    Answer answer{static_cast<uint32_t>(Stage::kTouch), kErrInval, 0, block->start, 0, 0};
    if (request.op == kRequestTouch && fd >= 0) {
      answer.error = Touch(block, fd, request.count, request.threads);
    }
    if (fd >= 0) Syscall(number::kClose, fd);
    Send(answer, -1);
  }
}

void UnmapAllBut(uint64_t start, uint64_t end) {
  long answer = Syscall(number::kMunmap, 0, start);
  if (answer == 0) answer = Syscall(number::kMunmap, end, kUserSpaceEnd - end);
  if (answer != 0) GiveUp(Stage::kUnmap, start, answer);
}

// From here on the host runs in its block.
void RunInBlock(Block* block) {
  UnmapAllBut(block->start, block->start + block->header.block_bytes);
  const long plan = Mmap(block->start + kBlockFixedBytes, block->header.byte_length, kProtRead,
                         kMapPrivate | kMapFixed, kPlanFd, 0);
  if (IsError(plan)) GiveUp(Stage::kPlan, 0, plan);
  block->plan = reinterpret_cast<const uint8_t*>(plan);
  InstallFaultHandler();
  block->crc.Build();
  Answer answer{};
  int uffd = -1;
  if (PlaceRegions(block, &answer) != 0) Give(answer);
  if (RegisterRegions(block, &uffd, &answer) != 0) Give(answer);
  // The host keeps its copy of the uffd: were the pager's the last one, a missing page would read
  // as zeros after the pager's death.
  Send({static_cast<uint32_t>(Stage::kReady), 0, 0, block->start, block->refused_hints, 0}, uffd);
  Serve(block);
}

uint64_t ReserveBlock(const HostPlanHeader& header) {
  for (uint32_t i = 0; i < header.gap_count; ++i) {
    const long answer =
        Mmap(header.gaps[i], header.block_bytes, kProtRead | kProtWrite,
             kMapPrivate | kMapAnonymous | kMapNoreserve | kMapFixedNoreplace, -1, 0);
    if (!IsError(answer) && static_cast<uint64_t>(answer) == header.gaps[i]) return header.gaps[i];
    if (!IsError(answer)) Syscall(number::kMunmap, answer, header.block_bytes);
  }
  GiveUp(Stage::kGap, 0, kErrExist);
}

}  // namespace

extern "C" [[noreturn]] __attribute__((visibility("hidden"))) void thaw_host_start() {
  HostPlanHeader header;
  if (const int error = PreadAll(kPlanFd, &header, sizeof(header), 0)) {
    GiveUp(Stage::kPlan, 0, error);
  }
  const uint64_t code_bytes = RoundUp(static_cast<uint64_t>(_end - __ehdr_start));
  if (header.magic != kHostPlanMagic || header.gap_count > kGapsMax || code_bytes > kCodeBytesMax ||
      header.block_bytes < kBlockFixedBytes + RoundUp(header.byte_length)) {
    GiveUp(Stage::kPlan, 0, kErrInval);
  }
  Syscall(number::kPrctl, 1 /* PR_SET_PDEATHSIG */, 9 /* SIGKILL */, 0, 0, 0);
  if (Syscall(number::kGetppid) != static_cast<long>(header.parent_pid)) Exit(1);
  const uint64_t start = ReserveBlock(header);
  memcpy(reinterpret_cast<void*>(start), __ehdr_start, code_bytes);
  const long answer = Syscall(number::kMprotect, start, code_bytes, kProtRead | kProtExec);
  if (answer != 0) GiveUp(Stage::kGap, start, answer);
  Block* block = reinterpret_cast<Block*>(start + kCodeBytesMax);
  block->header = header;
  block->start = start;
  // The same functions, in the copy.
  const uint64_t shift = start - reinterpret_cast<uint64_t>(__ehdr_start);
  auto* run = reinterpret_cast<void (*)(Block*)>(reinterpret_cast<uint64_t>(&RunInBlock) + shift);
  thaw_switch_stack(block->main_stack + kMainStackBytes, run, block);
}

}  // namespace thaw::host
