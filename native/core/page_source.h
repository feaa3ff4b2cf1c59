// A pages image on this machine: where the bytes of pages come from.
//
// Raw pages are handed out as addresses in the mapped file: the kernel copies them straight into
// the target. Only the kernel may read through the mapping (UFFDIO_COPY past the file's end is
// EFAULT; a CPU read there would be SIGBUS). Everything the pager itself looks at is read by pread.
// Thread-safety: any thread. Lifetime: shared by the plans that name it.
#ifndef THAW_NATIVE_CORE_PAGE_SOURCE_H_
#define THAW_NATIVE_CORE_PAGE_SOURCE_H_

#include <cstdint>
#include <memory>

#include "fd.h"

namespace thaw {

class PageSource {
 public:
  // Takes the descriptor over. Null with a positive errno in `error` when it is no mappable file.
  static std::shared_ptr<PageSource> Open(Fd fd, int* error);

  uint64_t byte_length() const { return byte_length_; }

  // Address of byte `offset` in the mapping: for the kernel only.
  uint64_t MappedAt(uint64_t offset) const {
    return reinterpret_cast<uint64_t>(mapping_.data()) + offset;
  }

  // Whether the file still has these bytes. A file that was cut inside a page still maps that page,
  // with zeros behind its end: no copy of it would fail.
  bool Holds(uint64_t offset, uint64_t byte_length) const;

  // Asks the kernel to have these bytes in memory and mapped, so that UFFDIO_COPY finds them at
  // once.
  void Populate(uint64_t offset, uint64_t byte_length) const;

  // Reads exactly `byte_length` bytes; 0 or a positive errno (ENODATA at the file's end).
  int Read(void* buffer, uint64_t byte_length, uint64_t offset) const;

 private:
  PageSource(Fd fd, UniqueMapping mapping, uint64_t byte_length)
      : fd_(std::move(fd)), mapping_(std::move(mapping)), byte_length_(byte_length) {}

  Fd fd_;
  UniqueMapping mapping_;
  uint64_t byte_length_;
};

}  // namespace thaw

#endif  // THAW_NATIVE_CORE_PAGE_SOURCE_H_
