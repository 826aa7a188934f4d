#pragma once

/// What is known of something that has killed the process, or whose handler keeps failing, as it is stored:
/// from the first death or failure on, until it is handled (R22).

#include "store/dead_letter.hpp"

#include <cstdint>
#include <vector>

namespace dormouse {

struct death_record {
  std::uint32_t deaths = 0;             ///< in a row: what ran to its end since has none
  std::uint32_t failures = 0;           ///< how often the handler threw
  std::uint64_t epoch = 0;              ///< of the start that counted the last death: it is counted once
  std::vector<dead_letter_try> history; ///< of both, the oldest first

  friend bool operator==(const death_record&, const death_record&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(deaths, failures, epoch, history); }
};

} // namespace dormouse
