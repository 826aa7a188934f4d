#pragma once

/// Whether the process may have so many threads more.
///
/// A thread that cannot be made ends the process where CAF and RocksDB make theirs: both have begun by then
/// and cannot go back. So a runtime makes as many as it is going to need, and lets them go, before it begins
/// anything.

#include <dormouse/serialization/error.hpp>

#include <cstddef>

namespace dormouse {

/// Has them all at once for a moment. Error: `overloaded` saying how many there were, and why not more.
expected<void> check_threads(std::size_t wanted);

} // namespace dormouse
