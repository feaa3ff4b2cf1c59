// Which CPUs a thread keeps to.
#include "cpus.h"

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
  bool kept = false, left = false, moved = false, free = false;
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
    choice.TakeAnother(cpu);
    const cpu_set_t another = Allowed();
    moved = CPU_COUNT(&another) == 1 && FirstOf(another) != cpu;
    choice.LeaveOut(-1);
    free = AreSame(Allowed(), all);
  }).join();
  EXPECT_TRUE(thaw::CountCpus() == 1 || (kept && left && moved));
  EXPECT_TRUE(free);
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
    choice.TakeAnother(cpu);
    stayed = AreSame(Allowed(), one) && ::sched_getcpu() == cpu;
  }).join();
  EXPECT_TRUE(stayed);
}
