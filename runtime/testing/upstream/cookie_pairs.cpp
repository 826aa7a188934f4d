#include "upstream/cookie_pairs.hpp"

#include <algorithm>

namespace dormouse::samples {

name_values read_cookies(std::string_view header) {
  name_values pairs;
  while (!header.empty()) {
    const auto end = std::min(header.find(';'), header.size());
    const auto pair = trimmed(header.substr(0, end));
    header.remove_prefix(std::min(header.size(), end + 1));
    if (pair.empty()) {
      continue;
    }
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos) {
      pairs.emplace_back("", pair);
    } else {
      pairs.emplace_back(trimmed(pair.substr(0, equals)), trimmed(pair.substr(equals + 1)));
    }
  }
  return pairs;
}

} // namespace dormouse::samples
