#pragma once

/// How the runtime that is killed is set up: small limits, so that seconds of load reach what takes days
/// otherwise.

#include "crash/fetch_plan.hpp"

#include <dormouse/runtime/options.hpp>

#include <filesystem>
#include <string>

namespace dormouse::test {

inline constexpr std::size_t fetcher_count = 100;

inline std::string fetcher_id(std::size_t index) { return "f" + std::to_string(index); }

inline options crash_options(const std::filesystem::path& directory) {
  return {
      .directory = directory,
      .allow = {"127.0.0.1"},
      .idle_after = std::chrono::milliseconds(20), // they hibernate and wake all the time
      .max_inline_bytes = small_message_bytes,
      .proxy_workers = 2,
      .max_window = 64, // most of the queue waits on disk
      .store_cache_bytes = std::size_t{1} << 20U,
      .store_buffer_bytes = std::size_t{1}
                            << 20U, // a log that is a file full, so that recovery also finds tables
  };
}

} // namespace dormouse::test
