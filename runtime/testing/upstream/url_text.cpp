#include "upstream/url_text.hpp"

#include <algorithm>
#include <cstddef>

namespace dormouse::samples {

namespace {

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  if (c >= 'A' && c <= 'F') {
    return c - 'A' + 10;
  }
  return -1;
}

// The byte that the escape at `at` stands for, -1 when it is none.
int escaped_byte(std::string_view text, std::size_t at) noexcept {
  if (text.size() - at < 3) {
    return -1;
  }
  const int high = hex_digit(text[at + 1]);
  const int low = hex_digit(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::string read_form_text(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int byte = text[i] == '%' ? escaped_byte(text, i) : -1;
    if (byte >= 0) {
      plain += static_cast<char>(byte);
      i += 2;
    } else {
      plain += text[i] == '+' ? ' ' : text[i];
    }
  }
  return plain;
}

} // namespace

std::optional<std::string> unescape(std::string_view text) {
  if (text.find('%') == std::string_view::npos) {
    return std::string{text};
  }
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    const int byte = escaped_byte(text, i);
    if (byte < 0) {
      return std::nullopt;
    }
    plain += static_cast<char>(byte);
    i += 2;
  }
  return plain;
}

name_values read_form(std::string_view text) {
  name_values pairs;
  while (!text.empty()) {
    const auto pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    if (pair.empty()) {
      continue;
    }
    const auto equals = std::min(pair.find('='), pair.size());
    pairs.emplace_back(read_form_text(pair.substr(0, equals)),
                       read_form_text(pair.substr(std::min(pair.size(), equals + 1))));
  }
  return pairs;
}

std::string_view find_value(const name_values& pairs, std::string_view name) noexcept {
  for (const auto& [each, value] : pairs) {
    if (each == name) {
      return value;
    }
  }
  return {};
}

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view space = " \t";
  const auto first = text.find_first_not_of(space);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(space) - first + 1);
}

} // namespace dormouse::samples
