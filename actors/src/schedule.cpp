#include <dormouse/actors/schedule.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

using std::chrono::milliseconds;

std::int64_t in_ms_or_later(std::chrono::system_clock::time_point time) {
  return std::chrono::ceil<milliseconds>(time).time_since_epoch().count();
}

} // namespace

schedule_message when::describe(std::chrono::system_clock::time_point now) const {
  schedule_message out;
  const auto now_ms = in_ms_or_later(now);
  const auto bounded = [now_ms](std::int64_t from_now_ms) {
    if (from_now_ms < 0) throw failure({errc::invalid_request, "the time of a schedule is not a number"});
    if (from_now_ms > detail::longest_schedule.count())
      throw failure(
          {errc::invalid_request, fmt::format("a schedule is more than {} days ahead, which is the limit",
                                              detail::longest_schedule / std::chrono::hours(24))});
    return now_ms + from_now_ms;
  };
  if (const auto* at = std::get_if<time_ms>(&what_)) {
    const bool is_number = at->time_since_epoch() != detail::no_duration;
    out.tick_ms = bounded(is_number ? std::max(at->time_since_epoch().count(), now_ms) - now_ms : -1);
  } else if (const auto* from_now = std::get_if<milliseconds>(&what_)) {
    out.tick_ms = bounded(from_now->count());
  } else if (const auto* each = std::get_if<every>(&what_)) {
    out.tick_ms = bounded(each->interval.count());
    if (each->interval.count() == 0)
      throw failure({errc::invalid_request, "the interval of every() is 0 or less; the least is "
                                            "options::min_schedule_interval"});
    out.interval_ms = each->interval.count();
  } else {
    const auto& expression = std::get<cron>(what_);
    const auto first = expression.next(now);
    if (!first)
      throw failure(
          {errc::invalid_request,
           fmt::format("cron expression '{}' has no time in the next nine years", expression.expression())});
    out.tick_ms = in_ms_or_later(*first);
    out.cron = expression.expression();
    out.zone = expression.zone();
  }
  out.due_ms = out.tick_ms;
  return out;
}

} // namespace dormouse
