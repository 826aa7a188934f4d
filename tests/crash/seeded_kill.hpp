#pragma once

/// The moment of a kill: some progress the child has reported, and a few microseconds more. Both come from a
/// seed that is printed; how the threads of the child are interleaved does not, so a seed repeats the plan
/// and not the run.

#include "crash/child_process.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

namespace dormouse::test {

/// DORMOUSE_CRASH_SEED, or a new one.
inline std::uint64_t crash_seed() {
  const char* given = std::getenv("DORMOUSE_CRASH_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  MESSAGE("DORMOUSE_CRASH_SEED=", seed);
  return seed;
}

/// Reads the clock until the time has passed: a sleep would end on the scheduler's tick, and so would every
/// kill.
inline void spin(std::chrono::microseconds duration) {
  const auto end = std::chrono::steady_clock::now() + duration;
  while (std::chrono::steady_clock::now() < end) {
  }
}

inline std::chrono::microseconds random_moment(std::mt19937_64& random, std::chrono::microseconds most) {
  return std::chrono::microseconds(std::uniform_int_distribution<std::int64_t>(0, most.count())(random));
}

} // namespace dormouse::test
