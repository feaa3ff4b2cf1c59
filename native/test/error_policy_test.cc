// What becomes of a target of which pages cannot be produced: by policy, and on a kernel that
// cannot poison pages.
#include "error_policy.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <string>
#include <thread>

#include "lazy_target.h"
#include "test_image.h"
#include "testing.h"

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

constexpr int kBusError = 3;
constexpr uint32_t kBadPage = 5;

// The letter of a process's state, such as 'T' for stopped.
char StateOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const size_t end = text.rfind(')');
  return end == std::string::npos ? '?' : text[end + 2];
}

bool WaitState(pid_t pid, char state) {
  for (int i = 0; i < 5000; ++i) {
    if (StateOf(pid) == state) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

bool WaitMissing(AddressSpace& space, uint64_t page_count) {
  for (int i = 0; i < 5000; ++i) {
    if (space.figures().missing_pages == page_count) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

// Sixteen raw pages with checksums, of which one was overwritten.
struct DamagedImage {
  TestImage image{16};
  DamagedImage() {
    image.AddRaw(16).AddChecksums();
    image.file()[kBadPage * kPageSize + 9] ^= 1;
    image.plan();
  }
};

// Whether every page but the damaged one is right, and that one EFAULT.
int LookAtAll(const TestImage& image) {
  std::vector<uint8_t> bytes(kPageSize);
  for (uint32_t page = 0; page < image.page_count(); ++page) {
    const bool read = ReadPage(image.At(page), bytes.data());
    if (read != (page != kBadPage)) return kWrong;
    if (read && !image.Holds(page, bytes.data())) return kWrong;
  }
  return kBusError;
}

bool SaysOneError(PagerRig* rig, const DamagedImage& damaged, ErrorAction action) {
  if (!rig->WaitEvent(PagerEventKind::kPageError, 1)) return false;
  const std::vector<PagerEvent> events = rig->Events(PagerEventKind::kPageError);
  if (events.size() != 1) return false;
  const PagerEvent& event = events[0];
  return event.error == EILSEQ && event.a == damaged.image.At(kBadPage) && event.b == 1 &&
         event.d == kBadPage * kPageSize && event.e == static_cast<uint64_t>(action);
}

TEST(PolicyPoisonGoesOn) {
  DamagedImage damaged;
  LazyTarget target(damaged.image,
                    [&](const LazyTarget::Self&) { return LookAtAll(damaged.image); });
  PagerRig rig;
  rig.Add(1, &target, &damaged.image);
  target.Go();
  EXPECT_EQ(target.Wait(), kBusError);
  EXPECT_TRUE(SaysOneError(&rig, damaged, ErrorAction::kPoisoned));
}

// Stopped before it saw anything; whoever lets it go on sees the pages fail, and all others right,
// whatever has been filled in meanwhile.
TEST(PolicyStopStopsForAFaultAndForTheFill) {
  for (const bool fill : {false, true}) {
    DamagedImage damaged;
    LazyTarget target(damaged.image, [&](const LazyTarget::Self& self) {
      if (fill) self.Meet();
      return LookAtAll(damaged.image);
    });
    PagerRig rig;
    const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &damaged.image);
    space->set_on_error(OnError::kStop);
    target.Go();
    if (fill) rig.Fill(space);
    EXPECT_TRUE(WaitState(target.pid(), 'T'));
    EXPECT_TRUE(SaysOneError(&rig, damaged, ErrorAction::kStopped));
    if (!fill) rig.Fill(space);
    EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kResident, 1));
    EXPECT_EQ(space->figures().poisoned_pages.load(), 1u);
    EXPECT_EQ(StateOf(target.pid()), 'T');
    ::kill(target.pid(), SIGCONT);
    if (fill) target.Meet();
    EXPECT_EQ(target.Wait(), kBusError);
  }
}

TEST(PolicyKillKills) {
  DamagedImage damaged;
  LazyTarget target(damaged.image,
                    [&](const LazyTarget::Self&) { return LookAtAll(damaged.image); });
  PagerRig rig;
  rig.Add(1, &target, &damaged.image)->set_on_error(OnError::kKill);
  target.Go();
  EXPECT_EQ(target.Wait(), -SIGKILL);
  EXPECT_TRUE(SaysOneError(&rig, damaged, ErrorAction::kKilled));
  EXPECT_TRUE(rig.WaitEvent(PagerEventKind::kGone, 1));
}

// Without a pidfd nobody can be stopped: the page is poisoned all the same.
TEST(PolicyStopWithoutPidfdPoisons) {
  DamagedImage damaged;
  LazyTarget target(damaged.image,
                    [&](const LazyTarget::Self&) { return LookAtAll(damaged.image); });
  PagerRig rig;
  rig.Add(1, &target, &damaged.image, true, false)->set_on_error(OnError::kStop);
  target.Go();
  EXPECT_EQ(target.Wait(), kBusError);
  EXPECT_TRUE(SaysOneError(&rig, damaged, ErrorAction::kPoisoned));
}

// From here on this process is on a kernel from before UFFDIO_POISON.
bool ForgetPoison() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(abi::kRequestPoison), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{sizeof(filter) / sizeof(filter[0]), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Runs `body` in a process of its own that is on such a kernel; the exit status.
int WithoutPoison(bool (*body)()) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(30);
    ::_exit(ForgetPoison() && body() ? kRight : kWrong);
  }
  return WaitFor(pid);
}

// It is stopped, and stopped again when somebody lets it go on: it never reads a zero, and the
// pager does not let go of it.
TEST(PolicyPoisonStopsWhereTheKernelCannotPoison) {
  EXPECT_EQ(WithoutPoison([] {
              DamagedImage damaged;
              LazyTarget target(damaged.image, [&](const LazyTarget::Self&) {
                return *static_cast<volatile uint8_t*>(Pointer(damaged.image.At(kBadPage)));
              });
              PagerRig rig;
              const std::shared_ptr<AddressSpace> space = rig.Add(1, &target, &damaged.image);
              target.Go();
              rig.Fill(space);
              bool right = WaitState(target.pid(), 'T') &&
                           SaysOneError(&rig, damaged, ErrorAction::kStopped);
              for (int i = 0; i < 3; ++i) {
                ::kill(target.pid(), SIGCONT);
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
                right = right && WaitState(target.pid(), 'T');
              }
              return right && WaitMissing(*space, 1) && space->figures().poisoned_pages == 1 &&
                     rig.Events(PagerEventKind::kResident).empty();
            }),
            kRight);
}

TEST(PolicyHoldsATargetThatCannotBePoisonedNorStopped) {
  EXPECT_EQ(WithoutPoison([] {
              DamagedImage damaged;
              LazyTarget target(damaged.image, [&](const LazyTarget::Self&) {
                return *static_cast<volatile uint8_t*>(Pointer(damaged.image.At(kBadPage)));
              });
              PagerRig rig;
              rig.Add(1, &target, &damaged.image, true, false);
              target.Go();
              return SaysOneError(&rig, damaged, ErrorAction::kHeld) && target.Wait(1) == kHung;
            }),
            kRight);
}

}  // namespace
