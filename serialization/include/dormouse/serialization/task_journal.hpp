#pragma once

/// What is on disk of a durable task: its record, and one step for each operation it has asked for, in order
/// (R16).

#include <dormouse/serialization/call_result.hpp>
#include <dormouse/serialization/return_path.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

/// Stable numbers: on disk. Append only.
enum class step_kind : std::uint8_t {
  fetch = 1,
  call = 2,     ///< of another object, or of another task
  call_own = 3, ///< of a method of the task's own object
  sleep = 4,
  now = 5,
  uuid = 6,
  random = 7,
  promise = 8,
  side_effect = 9,
};

std::string_view to_string(step_kind kind) noexcept;

struct journal_step {
  step_kind kind{};
  std::string target;       ///< what it is about, for whoever reads it: a method, a URL
  std::uint32_t digest = 0; ///< CRC-32C of the arguments
  std::uint64_t order = 0;  ///< in which the steps of the task were done, from 1; 0: not done
  std::uint8_t failed = 0;
  std::uint8_t body_is_blob = 0;                    ///< the response's body is in the blob `reference`
  std::uint64_t reference = 0;                      ///< who does it: the id of the fetch or of the schedule
  call_result<std::string> outcome = std::string(); ///< once done: the value, encoded

  friend bool operator==(const journal_step&, const journal_step&) = default;

  template <class Archive> void serialize(Archive& ar) {
    ar(kind, target, digest, order, failed, body_is_blob, reference, outcome);
  }
};

/// `"fetch GET https://example.com/?..."`: for logs and errors, with a URL as `shown_url` gives it.
std::string to_string(const journal_step& step);

/// Stable numbers: on disk. Append only.
enum class task_state : std::uint8_t {
  running = 1,
  stuck = 2,     ///< its code asks for other operations than its journal has (R17)
  completed = 3, ///< only of a task that was started with start<>(), for as long as its result is kept
  failed = 4,    ///< the same, with an error
  cancelled = 5, ///< the same
};

std::string_view to_string(task_state state) noexcept;

struct task_record {
  std::string method; ///< wire name
  std::string arguments;
  task_state state = task_state::running;
  std::uint8_t keep = 0;          ///< the outcome is kept for whoever asks later
  std::uint64_t first_step = 0;   ///< of its journal: a run that continue_as began goes on counting, so that
                                  ///< what the run before left under way finds nobody
  std::uint32_t cancelled_at = 0; ///< at which co_await, from 1; 0: nobody cancelled it
  std::string cancel_reason;
  std::vector<return_path> waiters;                 ///< who gets the outcome
  call_result<std::string> outcome = std::string(); ///< of one that has ended; of one that is stuck: why
  std::int64_t created_ms = 0;
  std::int64_t ended_ms = 0;

  friend bool operator==(const task_record&, const task_record&) = default;

  template <class Archive> void serialize(Archive& ar) {
    ar(method, arguments, state, keep, first_step, cancelled_at, cancel_reason, waiters, outcome, created_ms,
       ended_ms);
  }
};

/// Where an operation's outcome belongs: the context of a return address whose method is `task_methods::hop`.
struct step_place {
  std::uint64_t task = 0;
  std::uint64_t step = 0;

  friend bool operator==(const step_place&, const step_place&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(task, step); }
};

/// Wire names of what every object understands about its tasks; no class can have methods of such names. On
/// disk.
namespace task_methods {

inline constexpr std::string_view hop =
    "#task"; ///< of return addresses and schedules: (step_place) leads to a step
inline constexpr std::string_view start = "#start";   ///< (method, arguments) -> task_id
inline constexpr std::string_view await = "#await";   ///< (number) -> the task's result
inline constexpr std::string_view cancel = "#cancel"; ///< (number, reason) -> whether it was running
inline constexpr std::string_view settle =
    "#settle"; ///< (step_place, call_result<std::string>) -> whether the promise was open
inline constexpr std::string_view restart = "#restart"; ///< (number): the next run of continue_as
inline constexpr std::string_view wake = "#wake";       ///< (number): one that was stuck is tried again
inline constexpr std::string_view forget = "#forget";   ///< (number): its result was kept long enough

} // namespace task_methods

} // namespace dormouse
