#include "source_table.h"

#include <cerrno>
#include <utility>

namespace thaw {

// The record goes before the descriptor in it does: nobody must find one whose number may be
// another's.
std::shared_ptr<PageSource> SourceTable::Recorded(SourceRecord* record,
                                                  std::shared_ptr<PageSource> source) {
  PageSource* const plain = source.get();
  const auto let_go = [arena = arena_, record, source = std::move(source)](PageSource*) mutable {
    arena->ReleaseSource(record);
    source.reset();
  };
  return std::shared_ptr<PageSource>(plain, let_go);
}

void SourceTable::Publish(uint64_t id, SourceRecord* record, std::shared_ptr<PageSource> source) {
  record->id = id;
  record->byte_length = source->byte_length();
  record->published = true;
  by_id_[id] = {Recorded(record, std::move(source)), record};
}

int SourceTable::Add(uint64_t id, Fd fd) {
  int error = 0;
  const int number = fd.get();
  std::shared_ptr<PageSource> source = PageSource::Open(std::move(fd), &error);
  if (source == nullptr) return error;
  SourceRecord* const record = arena_->TakeSource();
  if (record == nullptr) return ENOSPC;
  record->fd = number;
  Publish(id, record, std::move(source));
  return 0;
}

int SourceTable::AddRemote(Fd fd, const RemoteSource::Options& options) {
  SourceRecord* const record = arena_->TakeSource();
  if (record == nullptr) return ENOSPC;
  std::shared_ptr<RemoteSource> remote = start_remote_(std::move(fd), options);
  if (remote == nullptr) {
    const int error = errno;
    arena_->ReleaseSource(record);
    return error;
  }
  record->remote = true;
  record->fd = -1;
  record->header_bytes = options.header_bytes;
  record->close_command = options.close_command;
  record->first_answer_ms = options.first_answer_ms;
  Publish(options.id, record, PageSource::OfRemote(std::move(remote)));
  return 0;
}

bool SourceTable::Drop(uint64_t id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  found->second.record->dropped = true;
  by_id_.erase(found);
  return true;
}

std::shared_ptr<PageSource> SourceTable::Find(uint64_t id, uint32_t* slot) const {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  *slot = SlotOf(found->second.record);
  return found->second.source;
}

std::shared_ptr<PageSource> SourceTable::FindSlot(uint32_t slot) const {
  const auto found = recovered_.find(slot);
  return found == recovered_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<RemoteSource>> SourceTable::Remotes() const {
  std::vector<std::shared_ptr<RemoteSource>> remotes;
  for (const auto& [id, entry] : by_id_) {
    if (entry.source->remote() != nullptr) remotes.push_back(entry.source->remote());
  }
  return remotes;
}

int SourceTable::Recover() {
  for (const uint32_t slot : arena_->PublishedSources()) {
    SourceRecord* const record = arena_->source(slot);
    std::shared_ptr<PageSource> source;
    if (record->remote) {
      RemoteSource::Options options;
      options.id = record->id;
      options.header_bytes = record->header_bytes;
      options.close_command = record->close_command;
      options.first_answer_ms = record->first_answer_ms;
      std::shared_ptr<RemoteSource> remote = start_remote_(Fd(), options);
      if (remote == nullptr) return errno;
      if (record->dropped) remote->Abandon();
      source = PageSource::OfRemote(std::move(remote));
    } else {
      source = PageSource::Reopen(Fd(record->fd), record->byte_length);
    }
    source = Recorded(record, std::move(source));
    if (!record->dropped) by_id_[record->id] = {source, record};
    recovered_[slot] = std::move(source);
  }
  return 0;
}

}  // namespace thaw
