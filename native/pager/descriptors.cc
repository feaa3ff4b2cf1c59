#include "descriptors.h"

#include <dirent.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

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

// Connections, and what was received from them and not handed on.
void AddHandoffs(const Arena& arena, std::set<int>* used) {
  for (const uint32_t slot : arena.PublishedHandoffs()) {
    HandoffRecord& record = *arena.handoff(slot);
    used->insert(record.fd);
    if (record.word == 0) continue;
    AttachedFds attached = TakeAttachedFds(record.task_attached, sizeof(record.task_attached));
    used->insert(attached.pidfd.Release());
    for (Fd& fd : attached.fds) used->insert(fd.Release());
  }
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
  AddHandoffs(arena, &used);
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

bool PrepareUffd(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  char target[64] = {};
  if (::readlink(path.c_str(), target, sizeof(target) - 1) < 0) return false;
  return std::strcmp(target, "anon_inode:[userfaultfd]") == 0 && MakeNonBlocking(fd);
}

}  // namespace thaw
