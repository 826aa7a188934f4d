#pragma once

/// A fetch in the dispatcher's window.

#include "ports/http_transport.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dormouse {

enum class job_state : std::uint8_t {
  waiting,   ///< for its turn
  marking,   ///< the mark that it goes out is being written
  in_flight, ///< a worker has it
  following, ///< another one's request is in flight, and this one gets its result
  storing,   ///< its result is being written
  moving,    ///< its next due time is being written
};

struct job {
  std::shared_ptr<fetch_message> fetch;
  std::int64_t due_ms = 0; ///< with queue, priority and id, its key
  std::string origin;
  job_state state = job_state::waiting;
  std::uint64_t token = 0; ///< of the attempt in flight
  std::size_t worker = 0;
  std::chrono::steady_clock::time_point assigned_at;
  std::chrono::milliseconds
      rest{}; ///< what was left of the fetch's time, if the attempt may take no longer; else 0
  std::chrono::microseconds last_attempt{};
  std::uint32_t lost_workers = 0; ///< that had it when they were replaced

  std::string flight; ///< what it shares with others (`sharing::single_flight`), while it goes out for them
  std::vector<std::uint64_t> followers;
  std::uint64_t leader = 0; ///< while following
  std::optional<std::chrono::steady_clock::time_point>
      follows_until; ///< if its attempt may take less time than the leader's

  std::unique_ptr<result_message> result; ///< while storing
  blob_writer_ptr body;                   ///< of the result, if it is large
  std::int64_t next_due_ms = 0;           ///< while moving
  std::optional<std::string> ending;      ///< it was aborted while something was being written: what for
};

} // namespace dormouse
