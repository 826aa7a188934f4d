#pragma once

/// A fuzz target: one function that takes any bytes, hands them to code of ours that reads what others wrote,
/// and checks what that code promises of its result. libFuzzer makes the bytes up; `replay.cpp` takes them
/// from files, as an ordinary test. A promise that does not hold ends the program, as a sanitizer does.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

/// The one entry of each target. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace dormouse::fuzz {

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// `promise` says what should have been, `about` what it was said of.
inline void require(bool holds, std::string_view promise, std::string_view about = {}) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(promise.size()), promise.data());
  for (char c : about) {
    const auto byte = static_cast<unsigned char>(c);
    std::fprintf(stderr, byte < 0x20 || byte >= 0x7f ? "\\x%02x" : "%c", static_cast<unsigned>(byte));
  }
  std::fputc('\n', stderr);
  std::abort();
}

/// Takes a line off the front, without its LF. The last one needs none.
inline std::string_view take_line(std::string_view& text) {
  const auto end = std::min(text.find('\n'), text.size());
  const auto line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

/// Whether it has a control character that no field of HTTP may have (RFC 9110 section 5.5).
inline bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; });
}

} // namespace dormouse::fuzz
