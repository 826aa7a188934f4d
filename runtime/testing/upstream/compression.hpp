#pragma once

/// A body in a content coding (RFC 9110, 8.4.1): what a client has to undo.
///
/// The result is built in memory, the body is not: a hundred megabytes of the
/// repeated alphabet come out as a hundred kilobytes, which is how a test makes a
/// decompression bomb.

#include "upstream/answer_body.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse::samples {

enum class coding : std::uint8_t { identity, gzip, br, zstd };

/// As in a Content-Encoding header.
[[nodiscard]] std::string_view name_of(coding how) noexcept;

/// Throws std::runtime_error when the library behind it does not work.
[[nodiscard]] std::string compressed(const answer_body& body, coding how);

/// CRC-32 as in gzip, in 8 hexadecimal digits; for tests to compare with.
[[nodiscard]] std::string crc32_of(std::string_view bytes);

} // namespace dormouse::samples
