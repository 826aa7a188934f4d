#pragma once

/// What a worker tells its supervisor: one JSON object a line, through a pipe.
///
///   {"ready": sample}       the runtime is open, nothing has been created yet
///   {"sample": sample}      a hundred times a second
///   {"note": "text"}        something to show
///   {"failed": "text"}      it gives up, and exits with 1
///   {"findings": findings}  what the objects had stored, at the end

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>

namespace fleet {

struct sample {
  std::uint64_t created = 0;    ///< objects whose first call has been answered
  std::uint64_t awake = 0;      ///< objects in memory
  std::uint64_t awake_peak = 0; ///< in this life
  std::uint64_t pending = 0;    ///< requests without a stored result, those in flight included
  std::uint64_t in_flight =
      0; ///< of those, the ones handed to libcurl; how many have gone out the server knows
  std::uint64_t delivered = 0; ///< results consumed by their objects, in this life
  std::uint64_t retries = 0;   ///< in this life
  double rss_mib = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(sample, created, awake, awake_peak, pending, in_flight, delivered, retries,
                                   rss_mib)

/// Over all objects, each asked for its record.
struct findings {
  std::uint64_t fetches = 0;        ///< requests made
  std::uint64_t delivered = 0;      ///< results received, duplicates included
  std::uint64_t lost = 0;           ///< objects without an answer
  std::uint64_t without_result = 0; ///< of those, the ones that have not even got an error
  std::uint64_t duplicated = 0;     ///< results beyond the first
  std::uint64_t wrong_object = 0;   ///< answers to somebody else's question
  std::string first_problem = {};   ///< that an object tells of, or that kept it from telling
  std::uint64_t awake_peak = 0;     ///< in this life, before the objects were asked
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(findings, fetches, delivered, lost, without_result, duplicated,
                                   wrong_object, first_problem, awake_peak)

} // namespace fleet
