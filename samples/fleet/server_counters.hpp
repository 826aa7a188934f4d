#pragma once

/// The other side's view: what the server counted, asked over HTTP so that any `upstream` can be asked.

#include <cstdint>
#include <optional>
#include <string>

namespace fleet {

struct server_counters {
  std::uint64_t hits = 0;           ///< requests for keys of this run
  std::uint64_t in_flight_peak = 0; ///< received and not answered yet, at most; of all clients it has had
};

/// Nothing if the server cannot tell: not plain http, or no `GET /counters` as `upstream` has it.
std::optional<server_counters> count_requests(const std::string& server_url, const std::string& run_key);

} // namespace fleet
