#include "page_source.h"

#include <sys/stat.h>

#include <cerrno>

namespace thaw {
namespace {
constexpr int kMadvPopulateRead = 22;
constexpr uint64_t kPageMask = 4095;
}  // namespace

std::shared_ptr<PageSource> PageSource::Open(Fd fd, int* error) {
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) {
    *error = errno;
    return nullptr;
  }
  if (!S_ISREG(status.st_mode)) {
    *error = EINVAL;
    return nullptr;
  }
  const uint64_t byte_length = status.st_size;
  UniqueMapping mapping;
  if (byte_length > 0) {
    mapping = UniqueMapping::Map(byte_length, PROT_READ, MAP_SHARED, fd.get());
    if (!mapping.valid()) {
      *error = errno;
      return nullptr;
    }
  }
  *error = 0;
  return std::shared_ptr<PageSource>(
      new PageSource(std::move(fd), std::move(mapping), byte_length));
}

bool PageSource::Holds(uint64_t offset, uint64_t byte_length) const {
  struct stat status;
  return ::fstat(fd_.get(), &status) == 0 &&
         offset + byte_length <= static_cast<uint64_t>(status.st_size);
}

void PageSource::Populate(uint64_t offset, uint64_t byte_length) const {
  // A failure (an old kernel, a short file) shows itself at the copy.
  const uint64_t start = offset & ~kPageMask;
  ::madvise(mapping_.data() + start, offset + byte_length - start, kMadvPopulateRead);
}

int PageSource::Read(void* buffer, uint64_t byte_length, uint64_t offset) const {
  char* to = static_cast<char*>(buffer);
  while (byte_length > 0) {
    const ssize_t count = ::pread(fd_.get(), to, byte_length, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    if (count == 0) return ENODATA;
    to += count;
    offset += count;
    byte_length -= count;
  }
  return 0;
}

}  // namespace thaw
