#pragma once

/// Times as they are stored: milliseconds since 1970, UTC, rounded down.

#include <chrono>
#include <cstdint>

namespace dormouse {

inline std::int64_t in_ms(std::chrono::system_clock::time_point when) {
  return std::chrono::floor<std::chrono::milliseconds>(when).time_since_epoch().count();
}

} // namespace dormouse
