#pragma once

/// The figures behind `runtime::stats()`. Relaxed: each is right, a set of them is of about the same moment.

#include <atomic>
#include <cstdint>

namespace dormouse {

class counter {
public:
  void add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  void sub(std::uint64_t n = 1) noexcept { value_.fetch_sub(n, std::memory_order_relaxed); }
  std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

  /// Adds one unless that would pass `limit`.
  bool add_below(std::uint64_t limit) noexcept {
    if (value_.fetch_add(1, std::memory_order_relaxed) < limit) return true;
    value_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }

private:
  std::atomic<std::uint64_t> value_{0};
};

struct counters {
  counter pending_messages, queued_fetches, in_flight_fetches, active_bytes, awake_tasks;
  counter wakes, hibernations, turns, reads, failed_turns, failed_commits, overloaded;
  counter fetches, attempts, retries, responses_stored, fetch_errors, delivered, blocked;
  counter duplicates_dropped, strangers_dropped, undeliverable, dead_letters, worker_restarts, corrupt_rows;
  counter aborted, shared, late_dropped;
  counter thrown_by_handlers, thrown_by_observers;
  counter schedules, firing_schedules, scheduled, fired, fired_late, failed_firings;
  counter noted_deaths, quarantined;
  counter tasks_started, tasks_completed, tasks_failed, tasks_cancelled;
};

} // namespace dormouse
