#pragma once

/// The process that runs the objects, and that gets killed.

#include "fleet_plan.hpp"

#include <chrono>
#include <filesystem>

namespace fleet {

struct worker_options {
  fleet_plan plan;
  std::filesystem::path directory; ///< of the runtime
  bool create = false;             ///< call `start` on every object
  bool verify = false;             ///< wait for all answers and ask the objects; else run until killed
  std::chrono::milliseconds time_limit{0}; ///< for the answers; then the objects are asked anyway
};

/// Reports through `report_descriptor` (child_process.hpp). Returns the exit code.
int run_worker(const worker_options& options);

} // namespace fleet
