#include "schedule/next_tick.hpp"

#include <doctest/doctest.h>

#include <set>

namespace dormouse::test::next_tick_test {
namespace {

schedule_message recurring(std::int64_t interval_ms, std::int64_t tick_ms, missed_ticks missed) {
  return {.id = {1, {}}, .method = "m", .tick_ms = tick_ms, .interval_ms = interval_ms, .missed = missed};
}

} // namespace

TEST_CASE("next tick: an interval is counted from tick to tick, however late the tick was handled") {
  const struct {
    missed_ticks missed;
    std::int64_t now_ms;
    std::int64_t next_ms;
  } table[]{
      {missed_ticks::once, 1'000, 1'100}, {missed_ticks::once, 1'099, 1'100},
      {missed_ticks::once, 1'100, 1'200}, {missed_ticks::once, 1'101, 1'200},
      {missed_ticks::once, 1'999, 2'000}, {missed_ticks::once, 900, 1'100},
      {missed_ticks::all, 1'000, 1'100},  {missed_ticks::all, 1'999, 1'100},
  };
  for (const auto& each : table) {
    CAPTURE(each.now_ms);
    const auto next = next_tick(recurring(100, 1'000, each.missed), each.now_ms);
    REQUIRE(next);
    CHECK(*next == each.next_ms);
  }
}

TEST_CASE("next tick: of a cron expression the next that has not passed, or the next") {
  schedule_message daily{
      .id = {1, {}}, .method = "m", .tick_ms = 86'400'000, .cron = "@daily", .zone = "UTC"};
  const std::int64_t now = 10 * 86'400'000LL + 5;
  CHECK(**next_tick(daily, now) == 11 * 86'400'000LL);
  daily.missed = missed_ticks::all;
  CHECK(**next_tick(daily, now) == 2 * 86'400'000LL);
  daily.zone = "Atlantis/Capital"; // a tz database can lose a name
  const auto lost = next_tick(daily, now);
  REQUIRE_FALSE(lost);
  CHECK(lost.error().code == errc::invalid_request);
}

TEST_CASE("next tick: one that is further ahead than any can be is brought back, in step") {
  const auto back = [](const schedule_message& what) { return tick_of_the_present(what, 10'000); };
  CHECK_FALSE(back(recurring(100, 10'000, missed_ticks::once)));
  CHECK_FALSE(back(recurring(100, 10'100, missed_ticks::once)));
  CHECK(back(recurring(100, 10'101, missed_ticks::once)) == 10'001);
  CHECK(back(recurring(100, 987'654'350, missed_ticks::once)) == 10'050);
  CHECK_FALSE(back({.id = {1, {}}, .method = "m", .tick_ms = 987'654'321}));
  schedule_message daily{
      .id = {1, {}}, .method = "m", .tick_ms = 86'400'000, .cron = "@daily", .zone = "UTC"};
  CHECK_FALSE(back(daily));
  daily.tick_ms *= 3'653;
  CHECK(back(daily) == 86'400'000);
}

TEST_CASE("next tick: once is once") {
  const auto next = next_tick({.id = {1, {}}, .method = "m", .tick_ms = 5}, 10);
  REQUIRE(next);
  CHECK_FALSE(*next);
}

TEST_CASE("the back-off of a failed tick doubles from 2 s to 64 s, a quarter more or less, and depends on "
          "the seed alone") {
  std::int64_t base = 2'000;
  for (std::size_t failures = 1; failures <= max_firing_retries; ++failures, base *= 2) {
    std::set<std::int64_t> delays;
    for (std::uint64_t number = 1; number <= 200; ++number) {
      const auto delay = firing_back_off(7, number, failures).count();
      CHECK(delay >= base * 3 / 4);
      CHECK(delay <= base * 5 / 4);
      CHECK(delay == firing_back_off(7, number, failures).count());
      delays.insert(delay);
    }
    CHECK(delays.size() > 100); // what fails together is not tried again together
    CHECK(*delays.begin() < base * 4 / 5);
    CHECK(*delays.rbegin() > base * 6 / 5);
  }
  CHECK(base == 128'000);
  CHECK(firing_back_off(7, 1, 1) != firing_back_off(8, 1, 1));
}

} // namespace dormouse::test::next_tick_test
