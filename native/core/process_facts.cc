#include "process_facts.h"

#include <dirent.h>

#include <cstdio>
#include <cstdlib>

namespace thaw {

long ReadNumberOf(const std::string& path, const std::string& name) {
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return -1;
  char line[256];
  long number = -1;
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    if (name.compare(0, name.size(), line, name.size()) != 0) continue;
    number = std::strtol(line + name.size(), nullptr, 10);
    break;
  }
  std::fclose(file);
  return number;
}

uint64_t PidOfPidfd(int pidfd) {
  if (pidfd < 0) return 0;
  const long pid = ReadNumberOf("/proc/self/fdinfo/" + std::to_string(pidfd), "Pid:");
  return pid > 0 ? static_cast<uint64_t>(pid) : 0;
}

bool IsAnyThreadTraced(uint64_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/task/";
  DIR* const threads = pid == 0 ? nullptr : ::opendir(path.c_str());
  if (threads == nullptr) return false;
  bool traced = false;
  while (const dirent* const entry = ::readdir(threads)) {
    if (traced || entry->d_name[0] == '.') continue;
    traced = ReadNumberOf(path + entry->d_name + "/status", "TracerPid:") > 0;
  }
  ::closedir(threads);
  return traced;
}

}  // namespace thaw
