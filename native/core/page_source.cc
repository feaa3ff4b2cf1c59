#include "page_source.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "clock.h"

namespace thaw {

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
  *error = 0;
  return Reopen(std::move(fd), status.st_size);
}

std::shared_ptr<PageSource> PageSource::Reopen(Fd fd, uint64_t byte_length) {
  return std::shared_ptr<PageSource>(new PageSource(std::move(fd), byte_length));
}

std::shared_ptr<PageSource> PageSource::OfRemote(std::shared_ptr<RemoteSource> remote) {
  constexpr uint64_t kAddressEnd = ~uint64_t{0};
  std::shared_ptr<PageSource> source(new PageSource(Fd(), kAddressEnd));
  source->remote_ = std::move(remote);
  return source;
}

int PageSource::Read(void* buffer, uint64_t byte_length, uint64_t offset, Patience patience) const {
  char* to = static_cast<char*>(buffer);
  while (byte_length > 0) {
    const bool no_wait = patience == Patience::kNoWait && knows_no_wait_;
    const iovec vector{to, byte_length};
    const ssize_t count = ::preadv2(fd_.get(), &vector, 1, offset, no_wait ? RWF_NOWAIT : 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EOPNOTSUPP && no_wait) {
      knows_no_wait_ = false;
      continue;
    }
    if (count < 0 && errno == EAGAIN && no_wait) return EAGAIN;
    // A read that may wait has no reason to be put off.
    if (count < 0) return NoteFailure(errno == EAGAIN ? EIO : errno);
    if (count == 0) return ENODATA;
    to += count;
    offset += count;
    byte_length -= count;
  }
  if (failing_since_ns() != kNotFailing) failing_since_ns_ = kNotFailing;
  return 0;
}

int PageSource::NoteFailure(int error) const {
  uint64_t not_failing = kNotFailing;
  failing_since_ns_.compare_exchange_strong(not_failing, MonotonicNs());
  return error;
}

}  // namespace thaw
