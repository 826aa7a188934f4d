#pragma once

/// What came of it: computed from what the objects had stored and from what the server counted.

#include "server_counters.hpp"
#include "worker_messages.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace fleet {

struct run_report {
  std::size_t objects = 0;
  findings found;
  std::optional<server_counters> server;
  std::uint64_t awake_peak = 0; ///< over all lives of the worker
  double rss_mib_idle = 0;      ///< runtime open, nothing created
  sample asleep;                ///< the moment with the most requests pending and the fewest objects awake
  unsigned restarts = 0;
  std::uint64_t delivered_before_kill = 0;
  std::uint64_t retries = 0;
  double seconds = 0;

  /// Every object got its own answer, once.
  bool good() const;

  std::string table() const;
  std::string json_line() const;
};

/// "all 300 objects asleep, all 300 requests pending", or what was the case instead.
std::string describe_asleep(const sample& moment, std::size_t objects);

/// With one digit behind the point, to be shown.
std::string one_digit(double value);

} // namespace fleet
