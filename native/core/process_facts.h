// What /proc tells of processes.
#ifndef THAW_NATIVE_CORE_PROCESS_FACTS_H_
#define THAW_NATIVE_CORE_PROCESS_FACTS_H_

#include <cstdint>
#include <string>

namespace thaw {

// The number on the line of a file that begins with `name`; -1 when there is none.
long ReadNumberOf(const std::string& path, const std::string& name);

// As this pid namespace has it; 0: not known, or `pidfd` is negative.
uint64_t PidOfPidfd(int pidfd);

// Whether a thread of the process is traced.
bool IsAnyThreadTraced(uint64_t pid);

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_PROCESS_FACTS_H_
