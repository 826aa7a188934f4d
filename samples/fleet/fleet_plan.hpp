#pragma once

/// What a run does, as a function of few numbers.
///
/// The worker is killed and started again, so that both of its lives must agree on every object's address and
/// request without having anything in common but the command line. The same seed gives the same addresses,
/// the same delays and the same moment of the kill.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace fleet {

struct fleet_plan {
  std::size_t objects = 10'000;
  std::chrono::milliseconds delay{2'000};
  std::uint64_t seed = 0;
  std::string url = {}; ///< of the server, without a slash at the end; or what every object asks for
  bool scripted = true; ///< the server is an upstream, which answers each key by itself; else `url` is asked
                        ///< for as it stands
  std::string run_key = {}; ///< starts every key, so that runs against one server do not count each other

  std::string instance_id(std::size_t object) const;

  /// What the object asks the server for, and what the answer must therefore carry.
  std::string key(std::size_t object) const { return run_key + "-" + instance_id(object); }

  /// `delay` and up to a quarter more: answers of a real server are spread, and the kill needs a moment at
  /// which some have arrived and some have not.
  std::chrono::milliseconds delay_of(std::size_t object) const;
  std::chrono::milliseconds longest_delay() const { return delay + delay / 4; }

  std::string request_url(std::size_t object) const;

  /// How many delivered answers the worker gets to see before it is killed: 30 to 50 % of them.
  std::size_t kill_after() const;
};

} // namespace fleet
