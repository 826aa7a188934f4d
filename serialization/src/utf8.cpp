#include "utf8.hpp"

#include <cstddef>

namespace dormouse::detail {
namespace {

struct sequence {
  std::size_t bytes; ///< that belong together; at least 1
  bool is_whole;
};

/// What `text` begins with (The Unicode Standard, table 3-7).
sequence first_sequence(std::string_view text) noexcept {
  const auto byte = [text](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const auto lead = byte(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xc2 || lead > 0xf4) return {1, false};
  const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const unsigned char least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80; // of the second byte
  const unsigned char most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  for (std::size_t at = 1; at < length; ++at) {
    const bool is_second = at == 1;
    if (at == text.size() || byte(at) < (is_second ? least : 0x80) || byte(at) > (is_second ? most : 0xbf))
      return {at, false};
  }
  return {length, true};
}

} // namespace

std::string to_utf8(std::string_view bytes) {
  constexpr std::string_view replacement = "\xef\xbf\xbd";
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const auto next = first_sequence(bytes);
    out += next.is_whole ? bytes.substr(0, next.bytes) : replacement;
    bytes.remove_prefix(next.bytes);
  }
  return out;
}

} // namespace dormouse::detail
