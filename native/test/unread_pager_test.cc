// A control plane that does not read while much happens: targets are served as ever, and nothing
// grows. Afterwards it hears of all that is still there.
#include <sys/mman.h>
#include <unistd.h>

#include <set>

#include "clock.h"
#include "pager_processes.h"
#include "testing.h"

#ifndef __SANITIZE_THREAD__

namespace {

using namespace thaw;           // NOLINT: the whole core is under test
using namespace thaw::testing;  // NOLINT

constexpr uint32_t kPages = 512;
// More events than fit into the socket.
constexpr int kForks = 600;

// Forks children one after the other, each of which looks at a page nobody has seen yet; some fork
// themselves.
int ForkMany(const TestImage& image, int count) {
  for (int i = 0; i < count; ++i) {
    const pid_t child = ::fork();
    if (child != 0) {
      if (WaitFor(child) != kRight) return kWrong;
      continue;
    }
    const uint32_t page = 8 + static_cast<uint32_t>(i) % 500;
    if (i % 50 == 0) {
      const pid_t grandchild = ::fork();
      if (grandchild == 0) ::_exit(HoldsPages(image, page, page + 1) ? kRight : kWrong);
      if (WaitFor(grandchild) != kRight) ::_exit(kWrong);
    }
    ::_exit(HoldsPages(image, page, page + 1) ? kRight : kWrong);
  }
  return kRight;
}

TEST(UnreadEventsNeitherGrowNorStopTargets) {
  TestImage image(kPages);
  image.AddRaw(kPages);
  image.plan();
  LazyTarget target(image, [&](const LazyTarget::Self& self) {
    if (ForkMany(image, kForks / 6) != kRight) return 2;
    self.Meet();
    self.Meet();
    if (ForkMany(image, kForks) != kRight) return 3;
    const pid_t last = ::fork();
    if (last == 0) ::_exit(HoldsAll(image) ? kRight : kWrong);
    self.Meet();
    self.Meet();
    return HoldsAll(image) ? WaitFor(last) : kWrong;
  });
  PagerProcesses pager;
  ASSERT_TRUE(pager.Add(1, &target, &image));
  target.Go();
  target.Meet();
  const long before = PrivateKib(pager.processes().worker_pid);
  const uint64_t started_ns = MonotonicNs();
  target.Meet();
  target.Meet();
  const double took_s = static_cast<double>(MonotonicNs() - started_ns) / 1e9;
  EXPECT_TRUE(took_s < 30);
  EXPECT_TRUE(PrivateKib(pager.processes().worker_pid) < before + 8 * kNoiseKib);
  EXPECT_TRUE(pager.target_slots_used() < kForks);
  target.Meet();
  EXPECT_TRUE(pager.WaitEnd(1));
  EXPECT_EQ(target.Wait(), kRight);
  // A child whose parent came and went unheard of is its grandparent's.
  std::set<uint64_t> known = {1};
  for (const ControlPacket& packet : pager.events()) {
    if (packet.event_kind != static_cast<uint32_t>(PagerEventKind::kForked)) continue;
    EXPECT_EQ(known.count(packet.target), 1u);
    known.insert(packet.a);
  }
  EXPECT_TRUE(known.size() > 100 && known.size() < kForks);
  EXPECT_TRUE(pager.Close());
}

}  // namespace

#endif
