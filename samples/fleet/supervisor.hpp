#pragma once

/// The process that is not killed: it starts the server and the worker, kills the worker, starts it again,
/// and judges.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace fleet {

struct run_options {
  std::size_t objects = 10'000;
  std::chrono::milliseconds delay{2'000};
  bool kill = true;
  bool json_only = false;
  std::filesystem::path directory = {}; ///< empty: a fresh temporary one, removed at the end
  std::string url = {};                 ///< of an upstream, or any other; empty: a server of our own
  std::uint64_t seed = 0;
};

/// Returns the exit code: 0 if every object got its own answer once, 1 if not, 130 after SIGINT or SIGTERM.
/// Throws `usage_error` (run_directory.hpp), and std::exception for a run that broke off.
int run_supervisor(const run_options& options);

} // namespace fleet
