#pragma once

/// When a method of an object is called by itself: `schedule<&T::m>(when, args...)` in an object
/// (durable_object.hpp).
///
///   schedule<&T::remind>(24h, "milk");                                           // once, a day from now
///   schedule<&T::remind>(meeting - 10min, "meeting");                            // once, at a time
///   schedule<&T::poll>(every(5min));
///   schedule<&T::report>({.at = cron("0 9 * * MON-FRI", "Europe/Berlin"), .name = "report"}, "daily");
///
/// A schedule is a row on disk that comes and goes with turns: it is there when the turn that made it has
/// committed, and the commit of the turn that it causes erases it or moves it to its next tick. So it
/// survives hibernation, restart and `kill -9`, is never early, and each tick has exactly one effect. An
/// object that sleeps is woken for it and does not stay awake because of it.

#include <dormouse/actors/cron.hpp>
#include <dormouse/serialization/schedule.hpp>

#include <chrono>
#include <string>
#include <variant>

namespace dormouse {

namespace detail {

/// What NaN is counted as: it is refused where it is used.
inline constexpr std::chrono::milliseconds no_duration = std::chrono::milliseconds::min();

/// A longer one is refused where it is used, and counting it in milliseconds does not overflow.
inline constexpr std::chrono::milliseconds longest_schedule = std::chrono::hours(24) * 36'525;

template <class Rep, class Period>
constexpr std::chrono::milliseconds bounded_ms(std::chrono::duration<Rep, Period> given,
                                               std::chrono::milliseconds most = longest_schedule) {
  if (std::chrono::duration<double>(given) > std::chrono::duration<double>(most))
    return most + std::chrono::milliseconds(1);
  if (given <= given.zero()) return std::chrono::milliseconds(0);
  if (!(given > given.zero())) return no_duration;
  return std::chrono::ceil<std::chrono::milliseconds>(given);
}

} // namespace detail

/// Tick after tick, without drift: a tick is `interval` after the one before, however late that was handled.
/// The first is `interval` after the call. An interval is `options::min_schedule_interval` to 100 years; any
/// other, also 0 and NaN, is refused with `invalid_request`.
struct every {
  template <class Rep, class Period>
  explicit constexpr every(std::chrono::duration<Rep, Period> each) : interval(detail::bounded_ms(each)) {}

  std::chrono::milliseconds interval;
};

/// A time, a while from now, an interval, or a cron expression. To the millisecond, rounded up. A time that
/// has passed, and a while that is below 0 or NaN, is now.
class when {
public:
  template <class Duration>
  when(std::chrono::time_point<std::chrono::system_clock, Duration> at)
      : what_(time_ms(detail::bounded_ms(at.time_since_epoch(), 10 * detail::longest_schedule))) {}
  template <class Rep, class Period>
  when(std::chrono::duration<Rep, Period> from_now) : what_(detail::bounded_ms(from_now)) {}
  when(every interval) : what_(interval) {}
  when(cron expression) : what_(std::move(expression)) {}

  /// A schedule without a method that has these times. Throws `failure{invalid_request}` for one whose first
  /// tick would be in more than 100 years, for an interval of 0 or less, and for NaN.
  schedule_message describe(std::chrono::system_clock::time_point now) const;

private:
  using time_ms = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

  std::variant<time_ms, std::chrono::milliseconds, every, cron> what_;
};

struct schedule_options {
  when at;
  std::string name =
      {}; ///< 1..256 bytes of UTF-8, takes the place of this object's schedule of the same name; empty: none
  missed_ticks missed = missed_ticks::once; ///< of one that recurs
};

/// A schedule of an object, for looking at.
struct schedule_info {
  schedule_id id;
  std::string method;                         ///< its wire name
  std::chrono::system_clock::time_point tick; ///< the time that the next call is for
  std::chrono::system_clock::time_point due;  ///< when it is tried: later than its tick if it has failed
  bool recurs = false;
};

} // namespace dormouse
