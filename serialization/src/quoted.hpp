#pragma once

/// Foreign text in an error: quoted, one line, of bounded length.

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace dormouse::detail {

inline std::string quoted(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 64)) {
    auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte >= 0x7f ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return "'" + out + (text.size() > 64 ? "...'" : "'");
}

} // namespace dormouse::detail
