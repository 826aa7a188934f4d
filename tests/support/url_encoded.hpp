#pragma once

/// For the parameters of the upstream that are url-encoded: every byte is escaped, so that nothing in it
/// means anything on the way.

#include <string>
#include <string_view>

namespace dormouse::test {

inline std::string url_encoded(std::string_view text) {
  constexpr std::string_view hex = "0123456789ABCDEF";
  std::string encoded;
  for (const unsigned char c : text)
    encoded += std::string{'%', hex[c >> 4U], hex[c & 15U]};
  return encoded;
}

} // namespace dormouse::test
