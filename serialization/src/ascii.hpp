#pragma once

/// What HTTP, MIME and WHATWG do with ASCII letters and white space, whatever the locale.

#include <string>
#include <string_view>

namespace dormouse {

constexpr char ascii_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

inline std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    c = ascii_lower(c);
  return out;
}

/// Without the HTTP white space around it (WHATWG Fetch, "normalize a byte sequence").
constexpr std::string_view without_outer_space(std::string_view text) noexcept {
  constexpr std::string_view space = " \t\r\n";
  auto first = text.find_first_not_of(space);
  return first == std::string_view::npos ? std::string_view{}
                                         : text.substr(first, text.find_last_not_of(space) - first + 1);
}

} // namespace dormouse
