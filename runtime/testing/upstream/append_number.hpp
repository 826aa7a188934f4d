#pragma once

/// A whole number in decimal, without a stream.

#include <array>
#include <charconv>
#include <string>

namespace dormouse::samples {

template <class Number> void append_number(std::string& out, Number number) {
  std::array<char, 20> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

} // namespace dormouse::samples
