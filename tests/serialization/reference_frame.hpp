#pragma once

/// Frames written down a second time, from docs/on-disk-format.md and RFC 3720 instead of from the code: what
/// a test compares the code with.

#include <cstdint>
#include <string>
#include <string_view>

namespace reference {

/// RFC 3720 appendix B.4, a bit at a time.
inline std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xffffffffU;
  for (char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

/// `bytes` bytes, least significant first.
inline std::string little_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i)
    out += static_cast<char>((value >> (8 * i)) & 0xffU);
  return out;
}

inline std::string frame(std::uint8_t version, std::uint8_t type, std::string_view payload) {
  auto covered = little_endian(version, 1) + little_endian(type, 1) + little_endian(payload.size(), 4);
  return "DMSE" + covered + little_endian(crc32c(covered + std::string(payload)), 4) + std::string(payload);
}

} // namespace reference
