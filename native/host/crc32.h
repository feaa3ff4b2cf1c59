// CRC-32 (IEEE 802.3, as zlib's crc32) of a page, eight bytes a step.
#ifndef THAW_NATIVE_HOST_CRC32_H_
#define THAW_NATIVE_HOST_CRC32_H_

#include <cstddef>
#include <cstdint>

namespace thaw::host {

// Lookup tables; the owner builds them once, afterwards any thread reads them.
struct Crc32Tables {
  uint32_t table[8][256];

  void Build() {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t value = byte;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) ? 0xedb88320u : 0);
      table[0][byte] = value;
    }
    for (int level = 1; level < 8; ++level) {
      for (uint32_t byte = 0; byte < 256; ++byte) {
        const uint32_t before = table[level - 1][byte];
        table[level][byte] = (before >> 8) ^ table[0][before & 0xff];
      }
    }
  }

  // `length` is a multiple of 8.
  uint32_t Of(const uint8_t* bytes, size_t length) const {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < length; i += 8) {
      uint32_t low, high;
      __builtin_memcpy(&low, bytes + i, 4);
      __builtin_memcpy(&high, bytes + i + 4, 4);
      low ^= crc;
      crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^
            table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][(high >> 8) & 0xff] ^
            table[1][(high >> 16) & 0xff] ^ table[0][high >> 24];
    }
    return ~crc;
  }
};

}  // namespace thaw::host

#endif  // THAW_NATIVE_HOST_CRC32_H_
