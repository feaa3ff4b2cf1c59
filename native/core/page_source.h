// Where the bytes of pages come from: a pages image on this machine, or a page server.
//
// A file's bytes are read by pread, or copied by the kernel from where they stand mapped. To map a
// page takes as long as to read it, so only what was mapped ahead of the first fault is taken from
// there, and only what need not be looked at: no instruction of ours reads the mapping, since a
// file that is cut makes that SIGBUS. Thread-safety: any thread, but for MapNext(). Lifetime:
// shared by the plans that name it.
#ifndef THAW_NATIVE_CORE_PAGE_SOURCE_H_
#define THAW_NATIVE_CORE_PAGE_SOURCE_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "fd.h"

namespace thaw {

class RemoteSource;

// Whether a read may wait for the disk.
enum class Patience { kWait, kNoWait };

class PageSource {
 public:
  // Takes the descriptor over. Null with a positive errno in `error` when it is no regular file.
  static std::shared_ptr<PageSource> Open(Fd fd, int* error);

  // The same source in another process, as long as it was when it was opened.
  static std::shared_ptr<PageSource> Reopen(Fd fd, uint64_t byte_length);

  // A page server. It has no bytes at hand, so none of the calls below but byte_length() is for it.
  static std::shared_ptr<PageSource> OfRemote(std::shared_ptr<RemoteSource> remote);

  // The page server, or null: a pages image.
  const std::shared_ptr<RemoteSource>& remote() const { return remote_; }

  // No page lies behind it; of a page server, whose pages lie at their dump-time addresses, the end
  // of all addresses.
  uint64_t byte_length() const { return byte_length_; }

  // Reads exactly `byte_length` bytes; 0 or a positive errno (ENODATA at the file's end, EAGAIN
  // where it would have to wait for the disk and must not).
  int Read(void* buffer, uint64_t byte_length, uint64_t offset, Patience patience) const;

  // One thread: maps the next megabyte that stands in the page cache. False when no more is to be
  // mapped.
  bool MapNext();
  // Where bytes stand mapped, to be copied by the kernel and by nobody else; 0: they do not.
  uint64_t FindMapped(uint64_t offset, uint64_t byte_length) const;
  // That a copy from there has failed: from now on everything is read.
  void GiveMappingUp() const { mapped_until_.store(0, std::memory_order_relaxed); }

  // CLOCK_MONOTONIC since when every read has failed (the file's end aside); ~0: the
  // last one did not.
  uint64_t failing_since_ns() const { return failing_since_ns_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint64_t kNotFailing = ~uint64_t{0};

  int NoteFailure(int error) const;

  PageSource(Fd fd, uint64_t byte_length) : fd_(std::move(fd)), byte_length_(byte_length) {}

  Fd fd_;
  uint64_t byte_length_;
  // Cleared where the file system cannot tell.
  mutable std::atomic<bool> knows_no_wait_{true};
  mutable std::atomic<uint64_t> failing_since_ns_{kNotFailing};
  std::shared_ptr<RemoteSource> remote_;
  UniqueMapping mapping_;  // of the mapper, until mapped_until_ says that there is something in it
  uint64_t map_next_ = 0;  // the mapper's own
  mutable std::atomic<uint64_t> mapped_until_{0};
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_PAGE_SOURCE_H_
