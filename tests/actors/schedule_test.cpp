// When a schedule is due, as the author of an object says it.

#include <dormouse/actors/schedule.hpp>

#include <doctest/doctest.h>

#include <limits>

namespace dormouse::test::schedule_test {

using namespace std::chrono_literals;
using std::chrono::system_clock;

namespace {

const system_clock::time_point now{1'800'000'000'000ms};

schedule_message described(const when& at) {
  auto out = at.describe(now);
  CHECK(out.due_ms == out.tick_ms);
  return out;
}

std::string refusal(const when& at) {
  try {
    (void)at.describe(now);
  } catch (const failure& e) {
    CHECK(e.code() == errc::invalid_request);
    return e.what();
  }
  return {};
}

} // namespace

TEST_CASE("a schedule is for a time, or for a while from now, to the millisecond and never before it") {
  CHECK(described(now + 5ms).tick_ms == 1'800'000'000'005);
  CHECK(described(now + 5ms + 1ns).tick_ms == 1'800'000'000'006);
  CHECK(described(std::chrono::time_point_cast<std::chrono::seconds>(now) + 2h).tick_ms == 1'800'007'200'000);
  CHECK(described(now - 1h).tick_ms == 1'800'000'000'000); // has passed: now
  CHECK(described(1h).tick_ms == 1'800'003'600'000);
  CHECK(described(1us).tick_ms == 1'800'000'000'001);
  CHECK(described(0s).tick_ms == 1'800'000'000'000);
  CHECK(described(-5s).tick_ms == 1'800'000'000'000);
  CHECK(described(std::chrono::duration<double>(0.25)).tick_ms == 1'800'000'000'250);
  CHECK_FALSE(described(1h).recurs());
}

TEST_CASE("a schedule that recurs knows its interval, or its expression and zone, and begins with the first "
          "time to come") {
  const auto interval = described(every(5min));
  CHECK(interval.tick_ms == 1'800'000'300'000);
  CHECK(interval.interval_ms == 300'000);
  CHECK(interval.recurs());
  const auto expression = described(cron("*/10 * * * *", "Asia/Kolkata")); // now is 08:00:00 UTC, 13:30 there
  CHECK(expression.tick_ms == 1'800'000'600'000);
  CHECK(expression.cron == "*/10 * * * *");
  CHECK(expression.zone == "Asia/Kolkata");
  CHECK(expression.recurs());
}

TEST_CASE("a schedule is at most 100 years ahead, however the time is given") {
  CHECK(described(24h * 36'525).tick_ms > 0);
  for (const when& each :
       {when(24h * 36'525 + 1ms), when(now + 24h * 36'525 + 1ms), when(system_clock::time_point::max()),
        when(std::chrono::hours::max()), when(std::chrono::seconds::max()),
        when(std::chrono::time_point<system_clock, std::chrono::hours>::max()),
        when(every(std::chrono::hours::max()))})
    CHECK(refusal(each).find("more than 36525 days ahead") != std::string::npos);
}

TEST_CASE("R12: an interval of nothing, and what is not a number, are refused and not once") {
  constexpr auto nan = std::numeric_limits<double>::quiet_NaN();
  using seconds = std::chrono::duration<double>;
  for (const auto& none : {every(0s), every(-1s), every(-1ns), every(seconds(-0.5))})
    CHECK(refusal(none).find("the interval of every() is 0 or less") != std::string::npos);
  CHECK(refusal(every(seconds(nan))).find("not a number") != std::string::npos);
  CHECK(refusal(seconds(nan)).find("not a number") != std::string::npos);
  CHECK(refusal(std::chrono::time_point<system_clock, seconds>(seconds(nan))).find("not a number") !=
        std::string::npos);
  CHECK(described(every(1ns)).interval_ms == 1); // rounded up; the runtime has a limit of its own
}

} // namespace dormouse::test::schedule_test
