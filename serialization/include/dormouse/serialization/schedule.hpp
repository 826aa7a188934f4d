#pragma once

/// A call of an object's own method at a time to come: as it is stored, and the id that is enough to cancel
/// it. Times are milliseconds since the Unix epoch.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dormouse {

inline constexpr std::size_t max_schedule_name_bytes = 256;

/// One schedule of an object: a value that can be an argument and part of a state. It stays the same from
/// tick to tick.
struct schedule_id {
  std::uint64_t number = 0; ///< unique in the store for ever; 0: whichever has the name now
  std::string name;         ///< empty: none

  friend bool operator==(const schedule_id&, const schedule_id&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(number, name); }
};

/// What becomes of ticks that came while nobody could act on them: the process was down, or the tick before
/// was still being tried.
enum class missed_ticks : std::uint8_t {
  once = 0, ///< one call for all of them
  all = 1,  ///< a call for each, one after the other
};

/// How the handler failed once.
struct schedule_try {
  std::int64_t time_ms = 0;
  std::string failure;

  friend bool operator==(const schedule_try&, const schedule_try&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(time_ms, failure); }
};

/// A schedule, from the turn that made it until its last tick has been handled.
struct schedule_message {
  schedule_id id;
  std::string method;
  std::string arguments;
  std::int64_t tick_ms = 0;     ///< the time that the next call is for
  std::int64_t due_ms = 0;      ///< when it is tried: at its tick, and later if it has failed
  std::int64_t interval_ms = 0; ///< from tick to tick; 0: see `cron`
  std::string cron; ///< an expression whose times are the ticks; empty: once, unless there is an interval
  std::string zone; ///< of the expression: a name of the tz database
  missed_ticks missed = missed_ticks::once;
  std::vector<schedule_try> tries; ///< of this tick, which all failed

  bool recurs() const noexcept { return interval_ms != 0 || !cron.empty(); }

  friend bool operator==(const schedule_message&, const schedule_message&) = default;

  template <class Archive> void serialize(Archive& ar) {
    ar(id, method, arguments, tick_ms, due_ms, interval_ms, cron, zone, missed, tries);
  }
};

} // namespace dormouse
