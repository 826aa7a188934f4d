#pragma once

/// The few bounds a test upstream keeps.
///
/// A server under load is only trustworthy when every buffer has a limit: a
/// head or body above these is refused (431, 413) instead of being stored.

#include <cstddef>
#include <cstdint>

namespace dormouse::samples {

struct upstream_options {
  std::uint16_t port = 0; ///< 0: the kernel picks a free one
  std::size_t header_limit = std::size_t{64} * 1024;
  std::uint64_t body_limit = std::uint64_t{128} * 1024 * 1024;
};

} // namespace dormouse::samples
