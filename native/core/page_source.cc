#include "page_source.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "clock.h"

namespace thaw {
namespace {

// What is mapped of one file at most: its page table entries take 8 bytes a page.
constexpr uint64_t kMappedBytesMax = uint64_t{4} << 30;
constexpr uint64_t kMapStepBytes = 1 << 20;
constexpr uint64_t kCachePageBytes = 4096;
constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ; Linux 5.14

// Whether mapped bytes stand in the page cache. (Of a file that is neither ours nor writable the
// kernel says so in any case.)
bool IsCached(uint8_t* start, uint64_t byte_length) {
  std::array<unsigned char, kMapStepBytes / kCachePageBytes> cached;
  if (::mincore(start, byte_length, cached.data()) != 0) return false;
  const auto count = static_cast<ptrdiff_t>((byte_length + kCachePageBytes - 1) / kCachePageBytes);
  return std::all_of(cached.begin(), cached.begin() + count,
                     [](unsigned char flags) { return flags & 1; });
}

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

bool PageSource::MapNext() {
  const uint64_t end = std::min(byte_length_, kMappedBytesMax);
  uint64_t from = map_next_;
  if (from >= end) return false;
  if (from == 0) {
    mapping_ = UniqueMapping::Map(end, PROT_READ, MAP_SHARED, fd_.get());
    if (!mapping_.valid()) return false;
  }
  map_next_ = std::min(from + kMapStepBytes, end);
  uint8_t* const start = mapping_.data() + from;
  const uint64_t byte_length = map_next_ - from;
  if (!IsCached(start, byte_length)) return false;
  if (::madvise(start, byte_length, kPopulateRead) != 0) return false;
  // Unless it was given up meanwhile.
  return mapped_until_.compare_exchange_strong(from, map_next_, std::memory_order_release) &&
         map_next_ < end;
}

uint64_t PageSource::FindMapped(uint64_t offset, uint64_t byte_length) const {
  if (offset + byte_length > mapped_until_.load(std::memory_order_acquire)) return 0;
  // Behind the end of a file that was cut, its last page has zeros.
  struct stat status;
  if (::fstat(fd_.get(), &status) != 0) return 0;
  if (offset + byte_length > static_cast<uint64_t>(status.st_size)) return 0;
  return reinterpret_cast<uint64_t>(mapping_.data()) + offset;
}

int PageSource::NoteFailure(int error) const {
  uint64_t not_failing = kNotFailing;
  failing_since_ns_.compare_exchange_strong(not_failing, MonotonicNs());
  return error;
}

}  // namespace thaw
