// Which CPUs a thread keeps to.
#include "cpus.h"

#include <unistd.h>

#include <atomic>
#include <thread>

#include "testing.h"

namespace {

using thaw::CpuChoice;

cpu_set_t Allowed() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  ::sched_getaffinity(0, sizeof(cpus), &cpus);
  return cpus;
}

bool AreSame(const cpu_set_t& a, const cpu_set_t& b) { return CPU_EQUAL(&a, &b); }

int FirstOf(const cpu_set_t& cpus) {
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &cpus)) return cpu;
  }
  return -1;
}

}  // namespace

// In a thread of its own: the test's own keeps its CPUs.
TEST(CpuChoiceKeepsToOneLeavesOneOutAndTakesAllAgain) {
  bool kept = false, left = false, free = false;
  std::thread([&] {
    const cpu_set_t all = Allowed();
    const int cpu = FirstOf(all);
    CpuChoice choice;
    choice.TakeOnly(cpu);
    const cpu_set_t one = Allowed();
    kept = CPU_COUNT(&one) == 1 && FirstOf(one) == cpu && ::sched_getcpu() == cpu;
    choice.LeaveOut(cpu);
    const cpu_set_t others = Allowed();
    left = CPU_COUNT(&others) == CPU_COUNT(&all) - 1 &&
           !CPU_ISSET(static_cast<size_t>(cpu), &others) && ::sched_getcpu() != cpu;
    choice.TakeAll();
    free = AreSame(Allowed(), all);
  }).join();
  EXPECT_TRUE(thaw::CountCpus() == 1 || (kept && left));
  EXPECT_TRUE(free);
}

// The fill moves the fault thread, not itself, by it.
TEST(CpuChoiceMovesTheThreadItIsOf) {
  const cpu_set_t all = Allowed();
  std::atomic<pid_t> tid{0};
  std::atomic<bool> moved{false};
  cpu_set_t others;
  std::thread other([&] {
    tid = ::gettid();
    while (!moved) ::sched_yield();
    others = Allowed();
  });
  while (tid == 0) ::sched_yield();
  CpuChoice choice(tid);
  choice.LeaveOut(FirstOf(all));
  moved = true;
  other.join();
  EXPECT_TRUE(AreSame(Allowed(), all));
  EXPECT_TRUE(thaw::CountCpus() == 1 || !CPU_ISSET(static_cast<size_t>(FirstOf(all)), &others));
}

// With a single CPU there is nothing to choose, and none to lose.
TEST(CpuChoiceLeavesTheOnlyCpuAlone) {
  bool stayed = false;
  std::thread([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    const int cpu = FirstOf(Allowed());
    CPU_SET(static_cast<size_t>(cpu), &one);
    ::sched_setaffinity(0, sizeof(one), &one);
    CpuChoice choice;
    choice.LeaveOut(cpu);
    choice.TakeOnly(cpu);
    stayed = AreSame(Allowed(), one) && ::sched_getcpu() == cpu;
  }).join();
  EXPECT_TRUE(stayed);
}
