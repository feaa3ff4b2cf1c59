// A process whose memory somebody else serves: what a restored task is to a page handler.
//
//   uffd-target FEATURES FLAGS PAGES
//
// Maps PAGES pages, registers them (missing) with a userfaultfd of FEATURES (hexadecimal) and
// FLAGS, and sends its address with the descriptor on the SOCK_SEQPACKET socket 3. Then obeys one
// command a message and answers each with one message of two numbers (see kCommands): the outcome,
// and an errno or 0. Ends when the socket does.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "uffd.h"

namespace {

namespace abi = thaw::abi;
namespace uffd = thaw::uffd;

constexpr int kSocket = 3;
constexpr size_t kPageBytes = 4096;
constexpr int kGuardInstall = 102;  // MADV_GUARD_INSTALL, Linux 6.13

struct Answer {
  uint64_t value;
  int error;
};

uint8_t* At(uint64_t vaddr) { return reinterpret_cast<uint8_t*>(vaddr); }

Answer FromLibc(long result) { return {static_cast<uint64_t>(result), result < 0 ? errno : 0}; }

Answer ReadByte(uint64_t vaddr, uint64_t) {
  return {*static_cast<volatile uint8_t*>(At(vaddr)), 0};
}

Answer WriteByte(uint64_t vaddr, uint64_t value) {
  *static_cast<volatile uint8_t*>(At(vaddr)) = static_cast<uint8_t>(value);
  return {0, 0};
}

// Lets the kernel read the byte, as the buffer of a write(2).
Answer ReadBySyscall(uint64_t vaddr, uint64_t) {
  int fds[2];
  if (pipe(fds) != 0) return FromLibc(-1);
  const Answer answer = FromLibc(write(fds[1], At(vaddr), 1));
  close(fds[0]);
  close(fds[1]);
  return answer;
}

Answer ReadByProcMem(uint64_t vaddr, uint64_t) {
  const int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  uint8_t byte = 0;
  const Answer answer = FromLibc(pread(fd, &byte, 1, static_cast<off_t>(vaddr)));
  close(fd);
  return answer;
}

// Forks a child that reads the byte; value = the child's exit status, the byte.
Answer ForkAndRead(uint64_t vaddr, uint64_t) {
  const pid_t pid = fork();
  if (pid == 0) _exit(*static_cast<volatile uint8_t*>(At(vaddr)));
  int status = 0;
  if (waitpid(pid, &status, 0) < 0) return FromLibc(-1);
  return {static_cast<uint64_t>(WEXITSTATUS(status)), 0};
}

Answer Discard(uint64_t vaddr, uint64_t length) {
  return FromLibc(madvise(At(vaddr), length, MADV_DONTNEED));
}

Answer Guard(uint64_t vaddr, uint64_t length) {
  return FromLibc(madvise(At(vaddr), length, kGuardInstall));
}

Answer Unmap(uint64_t vaddr, uint64_t length) { return FromLibc(munmap(At(vaddr), length)); }

Answer Remap(uint64_t vaddr, uint64_t length) {
  // A place of its own: the mapping that was there is replaced.
  void* place = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* moved = mremap(At(vaddr), length, length, MREMAP_MAYMOVE | MREMAP_FIXED, place);
  return FromLibc(reinterpret_cast<long>(moved));
}

constexpr struct {
  const char* name;
  Answer (*run)(uint64_t vaddr, uint64_t argument);
} kCommands[] = {
    {"read", ReadByte},
    {"write", WriteByte},
    {"syscall-read", ReadBySyscall},
    {"proc-mem", ReadByProcMem},
    {"fork", ForkAndRead},
    {"discard", Discard},
    {"guard", Guard},
    {"unmap", Unmap},
    {"remap", Remap},
};

Answer Obey(const char* text) {
  char name[32];
  uint64_t vaddr = 0;
  uint64_t argument = 0;
  if (sscanf(text, "%31s %lu %lu", name, &vaddr, &argument) < 1) return {0, EINVAL};
  for (const auto& command : kCommands) {
    if (strcmp(command.name, name) == 0) return command.run(vaddr, argument);
  }
  return {0, EINVAL};
}

bool SendWithFd(const char* text, int fd) {
  iovec part{const_cast<char*>(text), strlen(text)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof(int));
  return sendmsg(kSocket, &message, MSG_NOSIGNAL) > 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  abi::Api api{};
  api.features = strtoull(argv[1], nullptr, 16);
  const auto flags = static_cast<uint32_t>(strtoul(argv[2], nullptr, 16));
  const size_t length = strtoull(argv[3], nullptr, 10) * kPageBytes;
  const uffd::Value opened = uffd::OpenBySyscall(flags);
  if (!opened.ok()) return 3;
  const int fd = static_cast<int>(opened.value);
  void* memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || uffd::Api(fd, &api) != 0) return 3;
  const abi::Range range{reinterpret_cast<uint64_t>(memory), length};
  if (uffd::Register(fd, range, abi::kRegisterMissing) != 0) return 3;

  char text[128];
  snprintf(text, sizeof(text), "%lu", range.start);
  if (!SendWithFd(text, fd)) return 4;
  close(fd);
  while (true) {
    const ssize_t received = recv(kSocket, text, sizeof(text) - 1, 0);
    if (received <= 0) return 0;
    text[received] = '\0';
    const Answer answer = Obey(text);
    snprintf(text, sizeof(text), "%lu %d", answer.value, answer.error);
    if (send(kSocket, text, strlen(text), MSG_NOSIGNAL) < 0) return 0;
  }
}
