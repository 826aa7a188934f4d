#pragma once

/// Percent-encoding (WHATWG URL section 1.3).

#include "ascii.hpp"

#include <string>
#include <string_view>

namespace dormouse::detail {

constexpr int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  c = ascii_lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// The byte of the escape that `text` begins with; -1 if it begins with none.
constexpr int escaped_byte(std::string_view text) noexcept {
  if (text.size() < 3 || text[0] != '%' || hex_digit(text[1]) < 0 || hex_digit(text[2]) < 0) return -1;
  return hex_digit(text[1]) * 16 + hex_digit(text[2]);
}

/// A '%' that begins no escape stands for itself.
inline std::string percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (; !text.empty(); text.remove_prefix(1)) {
    const auto byte = escaped_byte(text);
    out += byte < 0 ? text.front() : static_cast<char>(byte);
    if (byte >= 0) text.remove_prefix(2);
  }
  return out;
}

inline void append_escape(std::string& to, char c) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  to += '%';
  to += digits[byte >> 4U];
  to += digits[byte & 15U];
}

} // namespace dormouse::detail
