#pragma once

/// What is on disk after a crash, and nothing else: read from a copy of the directory, so that the next
/// process finds exactly what the killed one left, log and all.

#include "crash/objects.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace dormouse::test {

struct durable_view {
  std::unordered_map<std::string, std::unique_ptr<fetcher>>
      fetchers; ///< by instance id; those that were ever used
  std::uint64_t counter_value = 0;
  std::uint64_t ledger_value = 0;
  std::map<std::string, std::uint64_t> ledger_rows;
  std::uint64_t mayfly_value = 0; ///< 0: there is none
  std::set<std::uint64_t> mayfly_rows;

  /// Fetches by their key at the upstream, with how many rows each has.
  std::unordered_map<std::string, std::size_t> queued;
  std::unordered_map<std::string, std::size_t> arrived; ///< a stored result that no continuation has seen

  std::vector<std::pair<std::string, std::uint64_t>> waiting_calls; ///< posts in the inbox: fetcher and token
  std::size_t attempt_marks = 0;
  std::size_t blobs = 0;
  std::size_t lost_blobs = 0; ///< of no queued fetch and no arrived result
  std::size_t blob_files = 0; ///< those that no row names included: a crash may leave them
  std::size_t dead_letters = 0;
  std::size_t unreadable = 0; ///< rows of whatever kind that did not pass their checks
};

/// `scratch`: where the copy goes; replaced. Nobody may have `directory` open.
durable_view read_durable(const std::filesystem::path& directory, const std::filesystem::path& scratch);

} // namespace dormouse::test
