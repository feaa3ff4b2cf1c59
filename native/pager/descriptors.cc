#include "descriptors.h"

#include <dirent.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

#include "control_messages.h"

namespace thaw {
namespace {

void AddTargets(const Arena& arena, std::set<int>* used) {
  for (const uint32_t slot : arena.PublishedTargets()) {
    const TargetRecord& record = *arena.target(slot);
    if (record.retired_as != TargetState::kFree) continue;
    used->insert(record.plan_fd);
    used->insert(record.uffd);
    used->insert(record.pidfd);
  }
}

void AddSources(const Arena& arena, std::set<int>* used) {
  for (const uint32_t slot : arena.PublishedSources()) used->insert(arena.source(slot)->fd);
}

// Of children whose fork was read, but not applied.
void AddPendingForks(const Arena& arena, std::set<int>* used) {
  const MessageBatch& batch = arena.header().batch;
  if (batch.target_slot == 0) return;
  for (uint32_t i = batch.applied; i < kMessagesMax; ++i) {
    const abi::Message& message = batch.messages[i];
    if (message.event == abi::kEventFork) used->insert(static_cast<int>(message.fork.ufd));
  }
}

void AddHeldForks(const Arena& arena, std::set<int>* used) {
  for (const std::atomic<int32_t>& fd : arena.header().held_forks) used->insert(fd);
}

}  // namespace

void CloseUnrecorded(const Arena& arena) {
  const ProcessRecord& processes = arena.header().processes;
  std::set<int> used = {
      STDIN_FILENO, STDOUT_FILENO,          STDERR_FILENO,          kPagerControlFd,
      arena.fd(),   processes.worker_pidfd, processes.keeper_pidfd, processes.standby_pidfd};
  AddTargets(arena, &used);
  AddSources(arena, &used);
  AddPendingForks(arena, &used);
  AddHeldForks(arena, &used);
  DIR* const directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return;  // they stay open until the pager ends
  used.insert(::dirfd(directory));
  while (const dirent* const entry = ::readdir(directory)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && used.count(fd) == 0) ::close(fd);
  }
  ::closedir(directory);
}

}  // namespace thaw
