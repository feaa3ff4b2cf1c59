// The kernel's userfaultfd interface, as of Linux 6.18: numbers and structures.
//
// Why our own: distributions ship older headers (Debian 12's, 6.1, has no POISON, MOVE or
// WP_ASYNC). Source: userfaultfd(2), ioctl_userfaultfd(2). A native test compares the part that the
// installed <linux/userfaultfd.h> knows.
#ifndef THAW_NATIVE_CORE_UFFD_ABI_H_
#define THAW_NATIVE_CORE_UFFD_ABI_H_

#include <cstdint>

namespace thaw::abi {

inline constexpr uint64_t kApi = 0xAA;

// userfaultfd(2) flags, beside O_CLOEXEC and O_NONBLOCK.
inline constexpr uint32_t kUserModeOnly = 1;

// Feature bits (struct uffdio_api.features).
inline constexpr uint64_t kFeaturePagefaultFlagWp = 1ULL << 0;
inline constexpr uint64_t kFeatureEventFork = 1ULL << 1;
inline constexpr uint64_t kFeatureEventRemap = 1ULL << 2;
inline constexpr uint64_t kFeatureEventRemove = 1ULL << 3;
inline constexpr uint64_t kFeatureMissingHugetlbfs = 1ULL << 4;
inline constexpr uint64_t kFeatureMissingShmem = 1ULL << 5;
inline constexpr uint64_t kFeatureEventUnmap = 1ULL << 6;
inline constexpr uint64_t kFeatureSigbus = 1ULL << 7;
inline constexpr uint64_t kFeatureThreadId = 1ULL << 8;
inline constexpr uint64_t kFeatureMinorHugetlbfs = 1ULL << 9;
inline constexpr uint64_t kFeatureMinorShmem = 1ULL << 10;
inline constexpr uint64_t kFeatureExactAddress = 1ULL << 11;
inline constexpr uint64_t kFeatureWpHugetlbfsShmem = 1ULL << 12;
inline constexpr uint64_t kFeatureWpUnpopulated = 1ULL << 13;
inline constexpr uint64_t kFeaturePoison = 1ULL << 14;
inline constexpr uint64_t kFeatureWpAsync = 1ULL << 15;
inline constexpr uint64_t kFeatureMove = 1ULL << 16;

// Bits of the ioctl sets that UFFDIO_API and UFFDIO_REGISTER report (bit = ioctl number).
inline constexpr uint64_t kIoctlRegister = 1ULL << 0x00;
inline constexpr uint64_t kIoctlUnregister = 1ULL << 0x01;
inline constexpr uint64_t kIoctlWake = 1ULL << 0x02;
inline constexpr uint64_t kIoctlCopy = 1ULL << 0x03;
inline constexpr uint64_t kIoctlZeropage = 1ULL << 0x04;
inline constexpr uint64_t kIoctlMove = 1ULL << 0x05;
inline constexpr uint64_t kIoctlWriteProtect = 1ULL << 0x06;
inline constexpr uint64_t kIoctlContinue = 1ULL << 0x07;
inline constexpr uint64_t kIoctlPoison = 1ULL << 0x08;
inline constexpr uint64_t kIoctlApi = 1ULL << 0x3F;

// Register modes.
inline constexpr uint64_t kRegisterMissing = 1ULL << 0;
inline constexpr uint64_t kRegisterWp = 1ULL << 1;
inline constexpr uint64_t kRegisterMinor = 1ULL << 2;

// Modes of the resolving ioctls.
inline constexpr uint64_t kCopyDontWake = 1ULL << 0;
inline constexpr uint64_t kCopyWp = 1ULL << 1;
inline constexpr uint64_t kZeropageDontWake = 1ULL << 0;
inline constexpr uint64_t kWriteProtectWp = 1ULL << 0;
inline constexpr uint64_t kWriteProtectDontWake = 1ULL << 1;
inline constexpr uint64_t kContinueDontWake = 1ULL << 0;
inline constexpr uint64_t kContinueWp = 1ULL << 1;
inline constexpr uint64_t kPoisonDontWake = 1ULL << 0;
inline constexpr uint64_t kMoveDontWake = 1ULL << 0;
inline constexpr uint64_t kMoveAllowSrcHoles = 1ULL << 1;

// Events (struct uffd_msg.event).
inline constexpr uint8_t kEventPagefault = 0x12;
inline constexpr uint8_t kEventFork = 0x13;
inline constexpr uint8_t kEventRemap = 0x14;
inline constexpr uint8_t kEventRemove = 0x15;
inline constexpr uint8_t kEventUnmap = 0x16;

// Flags of a page fault event.
inline constexpr uint64_t kPagefaultWrite = 1ULL << 0;
inline constexpr uint64_t kPagefaultWp = 1ULL << 1;
inline constexpr uint64_t kPagefaultMinor = 1ULL << 2;

struct Message {
  uint8_t event;
  uint8_t reserved1;
  uint16_t reserved2;
  uint32_t reserved3;
  union {
    struct {
      uint64_t flags;
      uint64_t address;
      uint32_t tid;
    } pagefault;
    struct {
      uint32_t ufd;
    } fork;
    struct {
      uint64_t from;
      uint64_t to;
      uint64_t length;
    } remap;
    struct {
      uint64_t start;
      uint64_t end;
    } remove;
    uint64_t words[3];
  };
};
static_assert(sizeof(Message) == 32, "struct uffd_msg is 32 bytes");

struct Range {
  uint64_t start;
  uint64_t length;
};

struct Api {
  uint64_t api;
  uint64_t features;
  uint64_t ioctls;
};

struct Register {
  Range range;
  uint64_t mode;
  uint64_t ioctls;
};

struct Copy {
  uint64_t dst;
  uint64_t src;
  uint64_t length;
  uint64_t mode;
  int64_t done;
};

// UFFDIO_ZEROPAGE, UFFDIO_CONTINUE and UFFDIO_POISON share one layout.
struct RangeFill {
  Range range;
  uint64_t mode;
  int64_t done;
};

struct WriteProtect {
  Range range;
  uint64_t mode;
};

struct Move {
  uint64_t dst;
  uint64_t src;
  uint64_t length;
  uint64_t mode;
  int64_t done;
};

// ioctl(2) request numbers: direction, size, type 0xAA, number.
constexpr unsigned long Request(unsigned direction, unsigned number, unsigned long size) {
  return (static_cast<unsigned long>(direction) << 30) | (size << 16) | (0xAAUL << 8) | number;
}
inline constexpr unsigned kRead = 2, kReadWrite = 3;
inline constexpr unsigned long kRequestApi = Request(kReadWrite, 0x3F, sizeof(Api));
inline constexpr unsigned long kRequestRegister = Request(kReadWrite, 0x00, sizeof(Register));
inline constexpr unsigned long kRequestUnregister = Request(kRead, 0x01, sizeof(Range));
inline constexpr unsigned long kRequestWake = Request(kRead, 0x02, sizeof(Range));
inline constexpr unsigned long kRequestCopy = Request(kReadWrite, 0x03, sizeof(Copy));
inline constexpr unsigned long kRequestZeropage = Request(kReadWrite, 0x04, sizeof(RangeFill));
inline constexpr unsigned long kRequestMove = Request(kReadWrite, 0x05, sizeof(Move));
inline constexpr unsigned long kRequestWriteProtect =
    Request(kReadWrite, 0x06, sizeof(WriteProtect));
inline constexpr unsigned long kRequestContinue = Request(kReadWrite, 0x07, sizeof(RangeFill));
inline constexpr unsigned long kRequestPoison = Request(kReadWrite, 0x08, sizeof(RangeFill));

// ioctl(2) on /dev/userfaultfd that makes a new descriptor (USERFAULTFD_IOC_NEW): argument = flags.
inline constexpr unsigned long kRequestDeviceNew = 0xAA00;

}  // namespace thaw::abi

#endif  // THAW_NATIVE_CORE_UFFD_ABI_H_
