// The pages images and page servers that plans may name, each with its record in the arena.
//
// Thread-safety: the control thread's; sources themselves may be used and let go of by any thread.
// A record, and the descriptor in it, stays while any plan uses the source.
#ifndef THAW_NATIVE_PAGER_SOURCE_TABLE_H_
#define THAW_NATIVE_PAGER_SOURCE_TABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "arena.h"
#include "page_source.h"
#include "remote_source.h"

namespace thaw {

class SourceTable {
 public:
  // Starts a page server's thread; without a connection (`fd` invalid) it tells of the loss. Null
  // (errno set) when it cannot.
  using StartRemote =
      std::function<std::shared_ptr<RemoteSource>(Fd fd, const RemoteSource::Options& options)>;

  SourceTable(Arena* arena, StartRemote start_remote)
      : arena_(arena), start_remote_(std::move(start_remote)) {}

  // Takes the sources over that another process left in the arena; an id that was dropped is known
  // by its slot only. 0 or a positive errno.
  int Recover();

  // Adds the pages image in `fd` as `id`; 0 or a positive errno (ENOSPC: too many).
  int Add(uint64_t id, Fd fd);
  // The same for the page server at the other end of `fd`, as options.id.
  int AddRemote(Fd fd, const RemoteSource::Options& options);
  // Plans cannot name it any more. False when it is unknown.
  bool Drop(uint64_t id);

  // The source of that id and its slot in the arena; null when it is unknown.
  std::shared_ptr<PageSource> Find(uint64_t id, uint32_t* slot) const;
  // The same by slot, dropped or not, until EndRecovery().
  std::shared_ptr<PageSource> FindSlot(uint32_t slot) const;
  // What recovery held on to for FindSlot().
  void EndRecovery() { recovered_.clear(); }
  // All page servers that were not dropped.
  std::vector<std::shared_ptr<RemoteSource>> Remotes() const;

 private:
  struct Entry {
    std::shared_ptr<PageSource> source;
    SourceRecord* record;
  };

  void Publish(uint64_t id, SourceRecord* record, std::shared_ptr<PageSource> source);
  std::shared_ptr<PageSource> Recorded(SourceRecord* record, std::shared_ptr<PageSource> source);
  uint32_t SlotOf(const SourceRecord* record) const {
    return static_cast<uint32_t>(record - arena_->source(0));
  }

  Arena* const arena_;
  const StartRemote start_remote_;
  std::unordered_map<uint64_t, Entry> by_id_;
  std::unordered_map<uint32_t, std::shared_ptr<PageSource>> recovered_;  // by slot
};

}  // namespace thaw

#endif  // THAW_NATIVE_PAGER_SOURCE_TABLE_H_
