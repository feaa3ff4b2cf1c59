// What a lazy client says to a CRIU page server, and what the server answers.
//
// A request is a header: this many pages from this dump-time address on, of this task. The answer
// is a header with the number of pages that follow (perhaps fewer) and their bytes. Answers come in
// the order of the requests. The end is a header of a close command, answered by four bytes of
// status. There are two layouts of the header and no way to negotiate; numbers are little-endian.
#ifndef THAW_NATIVE_CORE_PAGE_SERVER_WIRE_H_
#define THAW_NATIVE_CORE_PAGE_SERVER_WIRE_H_

#include <cstdint>
#include <cstring>

namespace thaw::wire {

inline constexpr uint32_t kGetPages = 7;
inline constexpr uint32_t kAddPages = 6;      // low half of an answer's command
inline constexpr uint32_t kPagesPresent = 4;  // its high half: flags of the pages
inline constexpr uint32_t kClose = 0x1023;
inline constexpr uint32_t kForceClose = 0x1024;

// Bytes of a header: CRIU before 4.2, and from 4.2 on.
inline constexpr uint32_t kNarrowBytes = 24;
inline constexpr uint32_t kWideBytes = 32;
// The status that answers a close command.
inline constexpr uint32_t kStatusBytes = 4;

struct Header {
  uint32_t command = 0;
  uint64_t page_count = 0;
  uint64_t vaddr = 0;
  uint64_t task = 0;  // the pid in the image
};

// Writes `header` as `byte_length` bytes, one of the two lengths above.
inline void Encode(const Header& header, uint32_t byte_length, uint8_t* bytes) {
  std::memset(bytes, 0, byte_length);
  std::memcpy(bytes, &header.command, 4);
  if (byte_length == kNarrowBytes) {
    const uint32_t page_count = static_cast<uint32_t>(header.page_count);
    std::memcpy(bytes + 4, &page_count, 4);
  } else {
    std::memcpy(bytes + 8, &header.page_count, 8);
  }
  std::memcpy(bytes + byte_length - 16, &header.vaddr, 8);
  std::memcpy(bytes + byte_length - 8, &header.task, 8);
}

inline Header Decode(const uint8_t* bytes, uint32_t byte_length) {
  Header header;
  std::memcpy(&header.command, bytes, 4);
  std::memcpy(&header.page_count, bytes + (byte_length == kNarrowBytes ? 4 : 8),
              byte_length == kNarrowBytes ? 4 : 8);
  std::memcpy(&header.vaddr, bytes + byte_length - 16, 8);
  std::memcpy(&header.task, bytes + byte_length - 8, 8);
  return header;
}

}  // namespace thaw::wire

#endif  // THAW_NATIVE_CORE_PAGE_SERVER_WIRE_H_
