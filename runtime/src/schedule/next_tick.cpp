#include "schedule/next_tick.hpp"

#include <dormouse/actors/cron.hpp>

#include <algorithm>

namespace dormouse {
namespace {

using std::chrono::milliseconds;

/// splitmix64: as good as random, and nothing to keep.
std::uint64_t mixed(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

} // namespace

expected<std::optional<std::int64_t>> next_tick(const schedule_message& what, std::int64_t now_ms) {
  const bool all = what.missed == missed_ticks::all;
  if (what.interval_ms != 0) {
    const auto missed = all ? 0 : std::max<std::int64_t>(0, now_ms - what.tick_ms) / what.interval_ms;
    return what.tick_ms + (missed + 1) * what.interval_ms;
  }
  if (what.cron.empty()) return std::nullopt;
  auto expression = cron::parse(what.cron, what.zone);
  if (!expression) return unexpected<error>(expression.error());
  const auto next = expression->next(std::chrono::system_clock::time_point(
      milliseconds(all ? what.tick_ms : std::max(what.tick_ms, now_ms))));
  if (!next) return std::nullopt;
  return std::chrono::duration_cast<milliseconds>(next->time_since_epoch()).count();
}

std::optional<std::int64_t> tick_of_the_present(const schedule_message& what, std::int64_t now_ms) {
  if (what.due_ms <= now_ms || what.tick_ms <= now_ms) return std::nullopt;
  auto from_now = what;
  from_now.tick_ms = now_ms;
  const auto next = next_tick(from_now, now_ms);
  return next && *next && **next < what.tick_ms ? *next : std::nullopt;
}

std::chrono::milliseconds firing_back_off(std::uint64_t seed, std::uint64_t number, std::size_t failures) {
  const auto doublings = std::clamp<std::size_t>(failures, 1, max_firing_retries) - 1;
  const auto base = std::int64_t{2'000} << doublings;
  const auto random = mixed(seed ^ mixed(number ^ mixed(failures)));
  return milliseconds(base * 3 / 4 +
                      static_cast<std::int64_t>(random % static_cast<std::uint64_t>(base / 2 + 1)));
}

} // namespace dormouse
