#pragma once

#include <string>

namespace dormouse {

/// A random 128-bit number as 32 lower-case hexadecimal digits, from the system's generator: an instance id
/// that nobody else has and nobody can guess. Thread-safe.
std::string unique_id();

} // namespace dormouse
