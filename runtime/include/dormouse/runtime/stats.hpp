#pragma once

/// A snapshot of what a runtime is doing and has done since it started. Counters only grow; gauges are of
/// this moment. Taking one is cheap and does not stop anything, so figures of one snapshot may differ by what
/// was in motion.

#include <dormouse/serialization/address.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dormouse {

/// An object whose stored bytes failed their checks. Its calls fail with `corrupt`; its row is left as it is.
struct corrupt_object {
  address where;
  std::string reason;
};

/// A part of the store that could not be read. What it holds is left out of what the runtime does, and is
/// looked at again now and then.
struct damaged_range {
  std::string rows;   ///< kinds of rows, and the objects, fetches or times at its ends
  std::string reason; ///< the storage's words, which name the file
};

/// Counts of durations by powers of two: bucket i counts those of less than 2^i ms that no bucket before it
/// counts; the last one counts the rest.
struct duration_histogram {
  std::array<std::uint64_t, 24> buckets{};

  void add(std::chrono::microseconds duration) noexcept;
  std::uint64_t count() const noexcept;

  /// The upper bound of the bucket in which this part (0..1) of the durations ends; 0 if there are none.
  std::chrono::milliseconds percentile(double part) const noexcept;
};

enum class circuit_state : std::uint8_t { closed = 0, open = 1, half_open = 2 };

/// What fetches to one origin have come to.
struct origin_stats {
  std::string origin;
  std::uint64_t in_flight = 0; ///< gauge
  std::uint64_t attempts = 0;  ///< handed to a worker
  std::uint64_t retries = 0;
  std::uint64_t responses = 0;             ///< attempts that ended with a response, by the classes below
  std::array<std::uint64_t, 6> by_class{}; ///< [2]: statuses 200..299, and so on
  std::uint64_t errors = 0;                ///< attempts that ended without one
  std::uint64_t rejected = 0;              ///< fetches that an open circuit refused
  circuit_state circuit = circuit_state::closed;
  duration_histogram durations; ///< of attempts
};

/// A turn that has been running for longer than `options::max_turn` and still does.
struct stuck_turn {
  address object;
  std::string method;
  std::chrono::milliseconds since{};
};

struct runtime_stats {
  // gauges
  std::uint64_t active_objects = 0;    ///< in memory
  std::uint64_t active_bytes = 0;      ///< their states, as `max_active_bytes` counts, and `unwritten_bytes`
  std::uint64_t unwritten_bytes = 0;   ///< of commits that wait for the disk
  std::uint64_t mailbox_bytes = 0;     ///< of what waits in mailboxes and is on the disk too
  std::uint64_t awake_tasks = 0;       ///< in memory, those included whose end is not durable yet
  std::uint64_t pending_messages = 0;  ///< delivered to a mailbox, and not handled by a durable commit yet
  std::uint64_t queued_fetches = 0;    ///< on disk without a stored result, those in flight included
  std::uint64_t in_flight_fetches = 0; ///< handed to a worker
  std::uint64_t waiting_callers = 0;   ///< callers of a method that replies later
  std::uint64_t schedules = 0;         ///< on disk; counted up in the first moments after a start
  std::uint64_t firing_schedules = 0;  ///< due and with their objects

  // objects
  std::uint64_t active_objects_peak = 0;
  std::uint64_t wakes = 0;
  std::uint64_t hibernations = 0;
  std::uint64_t turns = 0;               ///< committing turns whose commit became durable
  std::uint64_t reads = 0;               ///< read-only turns
  std::uint64_t failed_turns = 0;        ///< undone because the handler threw
  std::uint64_t failed_commits = 0;      ///< turns undone because storage failed
  std::uint64_t overloaded = 0;          ///< messages refused by a limit of R19
  std::uint64_t thrown_by_handlers = 0;  ///< exceptions that handlers of asynchronous calls let out
  std::uint64_t thrown_by_observers = 0; ///< the same of observers, and of a clock of the program's

  // store
  std::uint64_t commits = 0; ///< units of atomicity written
  std::uint64_t syncs = 0;   ///< writes to the log, each with one fsync, that carried them

  // fetches
  std::uint64_t fetches = 0;          ///< queued by a durable commit
  std::uint64_t attempts = 0;         ///< handed to a worker
  std::uint64_t retries = 0;          ///< attempts that were repeated
  std::uint64_t responses_stored = 0; ///< results made durable, errors included
  std::uint64_t fetch_errors = 0;     ///< those that are a `fetch_error`
  std::uint64_t delivered = 0;        ///< results consumed by a continuation's commit
  std::uint64_t blocked = 0;          ///< refused by the URL policy (R13)
  std::uint64_t duplicates_dropped =
      0; ///< results for a fetch that already had one, or from a worker that had lost its lease
  std::uint64_t strangers_dropped = 0; ///< replies whose caller is gone
  std::uint64_t late_dropped = 0; ///< results and answers for an object that was destroyed meanwhile, and
                                  ///< answers to calls whose time had passed or that were given up
  std::uint64_t undeliverable =
      0; ///< results, answers, calls and sends that came when no class was defined for their binding, and
         ///< were left on disk; not those of an earlier process
  std::uint64_t dead_letters = 0; ///< messages given up on, kept with their reason
  std::uint64_t worker_restarts = 0;

  std::uint64_t aborted = 0; ///< fetches that a signal ended
  std::uint64_t tasks_started = 0;
  std::uint64_t tasks_completed = 0; ///< with a result
  std::uint64_t tasks_failed = 0;    ///< with an error
  std::uint64_t tasks_cancelled = 0;
  std::uint64_t stuck_tasks = 0; ///< on disk now: R17; 0 once the runtime has stopped
  std::uint64_t shared = 0;      ///< fetches that got the result of another one's request

  // schedules
  std::uint64_t scheduled = 0; ///< made by a durable commit
  std::uint64_t fired = 0;     ///< ticks whose turn became durable
  std::uint64_t fired_late =
      0; ///< of those, the ones that were handled, without having failed, more than a second after their time
  std::uint64_t failed_firings = 0; ///< tries of a tick whose handler threw

  /// The 1,000 origins that were used last; what the others have counted is under the name "other".
  std::vector<origin_stats> origins;

  // poison (R22, R23)
  std::uint64_t noted_deaths = 0; ///< what was running when an earlier process died, found by this start
  std::uint64_t quarantined = 0;  ///< messages, ticks and tasks set aside because of `max_deaths`
  std::vector<address> quarantined_objects; ///< kept asleep for the same reason; at most 100 are listed
  std::vector<stuck_turn> stuck_turns;      ///< now

  // damage
  std::uint64_t corrupt_rows =
      0; ///< queue and inbox rows that failed their checks, moved to the dead letters
  std::vector<corrupt_object> corrupt_objects; ///< at most 100 are listed
  std::uint64_t damage = 0; ///< parts of the store that could not be read since it was opened: R24
  std::vector<damaged_range> damaged_ranges; ///< those; at most 100 are listed
};

} // namespace dormouse
