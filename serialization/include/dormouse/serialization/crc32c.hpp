#pragma once

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum of every frame.

#include <cstdint>
#include <string_view>

namespace dormouse {

/// `seed` is the result for the bytes before, so that `crc32c(b, crc32c(a)) == crc32c(a + b)`.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0) noexcept;

} // namespace dormouse
