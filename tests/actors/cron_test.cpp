// Cron expressions: what they take, when they are next, and what they do when the clocks change.

#include <dormouse/actors/cron.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

namespace dormouse::test::cron_test {

using namespace std::chrono_literals;
using std::chrono::system_clock;

namespace {

/// "2026-03-29 01:30:00", in UTC.
system_clock::time_point utc(const std::string& text) {
  std::tm parts{};
  std::istringstream in(text);
  in >> std::get_time(&parts, "%Y-%m-%d %H:%M:%S");
  REQUIRE_FALSE(in.fail());
  return system_clock::from_time_t(timegm(&parts));
}

std::string text_of(system_clock::time_point time) {
  const auto seconds = system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::ostringstream out;
  out << std::put_time(&parts, "%Y-%m-%d %H:%M:%S");
  return out.str();
}

struct expectation {
  std::string expression;
  std::string zone;
  std::string after; ///< UTC, as all times here
  std::vector<std::string> times;
};

void holds(const expectation& each) {
  CAPTURE(each.expression);
  CAPTURE(each.zone);
  const cron expression(each.expression, each.zone);
  auto at = utc(each.after);
  for (const auto& time : each.times) {
    const auto next = expression.next(at);
    REQUIRE(next);
    CHECK(text_of(*next) == time);
    CHECK(*next > at);
    at = *next;
  }
}

std::string refusal(const std::string& expression, const std::string& zone = "UTC") {
  CAPTURE(expression);
  const auto parsed = cron::parse(expression, zone);
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().code == errc::invalid_request);
  return parsed.error().message;
}

} // namespace

TEST_CASE("cron: lists, ranges, steps, names and shorthands") {
  const std::vector<expectation> table{
      {"* * * * *", "UTC", "2026-01-01 00:00:00", {"2026-01-01 00:01:00", "2026-01-01 00:02:00"}},
      {"*/20 * * * *",
       "UTC",
       "2026-01-01 00:05:00",
       {"2026-01-01 00:20:00", "2026-01-01 00:40:00", "2026-01-01 01:00:00"}},
      {"10-40/15 * * * *",
       "UTC",
       "2026-01-01 00:00:00",
       {"2026-01-01 00:10:00", "2026-01-01 00:25:00", "2026-01-01 00:40:00", "2026-01-01 01:10:00"}},
      {"50/5 23 * * *",
       "UTC",
       "2026-01-01 00:00:00",
       {"2026-01-01 23:50:00", "2026-01-01 23:55:00", "2026-01-02 23:50:00"}},
      {"5,1,3-4 12 * * *",
       "UTC",
       "2026-01-01 00:00:00",
       {"2026-01-01 12:01:00", "2026-01-01 12:03:00", "2026-01-01 12:04:00", "2026-01-01 12:05:00"}},
      {"0 9 * * MON-FRI",
       "UTC",
       "2026-01-01 12:00:00",
       {"2026-01-02 09:00:00", "2026-01-05 09:00:00", "2026-01-06 09:00:00"}}, // Thursday
      {"0 9 * * sat-sun",
       "UTC",
       "2026-01-01 12:00:00",
       {"2026-01-03 09:00:00", "2026-01-04 09:00:00", "2026-01-10 09:00:00"}},
      {"0 9 * * 0", "UTC", "2026-01-01 12:00:00", {"2026-01-04 09:00:00", "2026-01-11 09:00:00"}},
      {"0 9 * * 7", "UTC", "2026-01-01 12:00:00", {"2026-01-04 09:00:00", "2026-01-11 09:00:00"}},
      {"0 9 * * 5-7",
       "UTC",
       "2026-01-01 12:00:00",
       {"2026-01-02 09:00:00", "2026-01-03 09:00:00", "2026-01-04 09:00:00", "2026-01-09 09:00:00"}},
      {"0 0 1 JAN,jul *", "UTC", "2026-01-01 00:00:00", {"2026-07-01 00:00:00", "2027-01-01 00:00:00"}},
      {"0 0 31 * *", "UTC", "2026-01-31 00:00:00", {"2026-03-31 00:00:00", "2026-05-31 00:00:00"}},
      {"0 0 29 2 *", "UTC", "2026-01-01 00:00:00", {"2028-02-29 00:00:00", "2032-02-29 00:00:00"}},
      {"0 0 29 2 *", "UTC", "2096-03-01 00:00:00", {"2104-02-29 00:00:00"}}, // 2100 is no leap year
      {"30 15 10 * * *", "UTC", "2026-01-01 00:00:00", {"2026-01-01 10:15:30", "2026-01-02 10:15:30"}},
      {"*/30 * * * * *", "UTC", "2026-01-01 00:00:00", {"2026-01-01 00:00:30", "2026-01-01 00:01:00"}},
      {"  0\t9   * * *  ", "UTC", "2026-01-01 00:00:00", {"2026-01-01 09:00:00"}},
      {"@yearly", "UTC", "2026-01-01 00:00:00", {"2027-01-01 00:00:00"}},
      {"@annually", "UTC", "2026-01-02 00:00:00", {"2027-01-01 00:00:00"}},
      {"@monthly", "UTC", "2026-01-01 00:00:00", {"2026-02-01 00:00:00"}},
      {"@weekly", "UTC", "2026-01-01 00:00:00", {"2026-01-04 00:00:00", "2026-01-11 00:00:00"}},
      {"@daily", "UTC", "2026-01-01 00:00:00", {"2026-01-02 00:00:00"}},
      {"@midnight", "UTC", "2026-01-01 00:00:01", {"2026-01-02 00:00:00"}},
      {"@hourly", "UTC", "2026-01-01 00:00:00", {"2026-01-01 01:00:00"}},
  };
  for (const auto& each : table)
    holds(each);
}

TEST_CASE("cron: of a day of the month and a day of the week that are both given either will do, as in "
          "Vixie's cron") {
  const std::vector<expectation> table{
      {"0 0 13 * FRI",
       "UTC",
       "2026-01-01 00:00:00",
       {"2026-01-02 00:00:00", "2026-01-09 00:00:00", "2026-01-13 00:00:00", "2026-01-16 00:00:00"}},
      {"0 0 13 * *", "UTC", "2026-01-01 00:00:00", {"2026-01-13 00:00:00", "2026-02-13 00:00:00"}},
      {"0 0 * * FRI", "UTC", "2026-01-01 00:00:00", {"2026-01-02 00:00:00", "2026-01-09 00:00:00"}},
      {"0 0 */2 * FRI",
       "UTC",
       "2026-01-01 00:00:00",
       {"2026-01-09 00:00:00", "2026-01-23 00:00:00"}}, // begins with a star: both must hold
  };
  for (const auto& each : table)
    holds(each);
}

TEST_CASE("cron: the clocks of a zone count, in summer and in winter") {
  const std::vector<expectation> table{
      {"0 9 * * *", "Europe/Berlin", "2026-01-01 00:00:00", {"2026-01-01 08:00:00"}},
      {"0 9 * * *", "Europe/Berlin", "2026-07-01 00:00:00", {"2026-07-01 07:00:00"}},
      {"0 9 * * *", "Asia/Kolkata", "2026-07-01 00:00:00", {"2026-07-01 03:30:00"}},
      {"0 0 1 * *",
       "America/New_York",
       "2026-01-31 00:00:00",
       {"2026-02-01 05:00:00", "2026-03-01 05:00:00", "2026-04-01 04:00:00"}},
      {"0 0 31 12 *",
       "Pacific/Apia",
       "2011-12-01 00:00:00",
       {"2011-12-30 10:00:00"}}, // the 30th was left out there
      {"0 12 30 12 *",
       "Pacific/Apia",
       "2011-12-01 00:00:00",
       {"2011-12-30 10:00:00", "2012-12-29 22:00:00"}}, // and so a time of it is the first moment after
  };
  for (const auto& each : table)
    holds(each);
}

TEST_CASE(
    "cron: in spring a time that is skipped is the first moment after the gap, and each day has it once") {
  // Berlin, 2026-03-29: 01:59:59 +01 is followed by 03:00:00 +02, at 01:00 UTC.
  const std::vector<expectation> table{
      {"30 2 * * *",
       "Europe/Berlin",
       "2026-03-27 12:00:00",
       {"2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00"}},
      {"0,30 2 * * *",
       "Europe/Berlin",
       "2026-03-28 12:00:00",
       {"2026-03-29 01:00:00", "2026-03-30 00:00:00", "2026-03-30 00:30:00"}}, // two in the gap, one moment
      {"30 2,3 * * *",
       "Europe/Berlin",
       "2026-03-28 12:00:00",
       {"2026-03-29 01:00:00", "2026-03-29 01:30:00", "2026-03-30 00:30:00"}},
      {"0 2,3 * * *",
       "Europe/Berlin",
       "2026-03-28 12:00:00",
       {"2026-03-29 01:00:00", "2026-03-30 00:00:00"}}, // both are 03:00
      {"59 1 * * *", "Europe/Berlin", "2026-03-28 12:00:00", {"2026-03-29 00:59:00", "2026-03-29 23:59:00"}},
      {"30 2 29 3 *",
       "Europe/Berlin",
       "2026-03-29 01:00:00",
       {"2027-03-29 00:30:00"}}, // from the moment itself: it has been
  };
  for (const auto& each : table)
    holds(each);
}

TEST_CASE("cron: in autumn a time that comes twice counts the first time") {
  // Berlin, 2026-10-25: 02:59:59 +02 is followed by 02:00:00 +01, at 01:00 UTC.
  const std::vector<expectation> table{
      {"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00:00", {"2026-10-25 00:30:00", "2026-10-26 01:30:00"}},
      {"0,30 2,3 * * *",
       "Europe/Berlin",
       "2026-10-24 12:00:00",
       {"2026-10-25 00:00:00", "2026-10-25 00:30:00", "2026-10-25 02:00:00", "2026-10-25 02:30:00"}},
      {"30 2 * * *",
       "Europe/Berlin",
       "2026-10-25 01:10:00",
       {"2026-10-26 01:30:00"}}, // in the second pass, before its 02:30
      {"0 3 * * *", "Europe/Berlin", "2026-10-24 12:00:00", {"2026-10-25 02:00:00"}},
      {"30 1 * * *",
       "America/New_York",
       "2026-10-31 12:00:00",
       {"2026-11-01 05:30:00", "2026-11-02 06:30:00"}},
      {"45 1 * * *",
       "Australia/Lord_Howe",
       "2026-04-04 00:00:00",
       {"2026-04-04 14:45:00", "2026-04-05 15:15:00"}}, // half an hour, 01:30..02:00 twice
  };
  for (const auto& each : table)
    holds(each);
}

TEST_CASE("cron: an expression for every hour goes by elapsed time when the clocks change") {
  const std::vector<expectation> table{
      {"30 * * * *",
       "Europe/Berlin",
       "2026-03-28 23:50:00",
       {"2026-03-29 00:30:00", "2026-03-29 01:30:00", "2026-03-29 02:30:00"}},
      {"30 * * * *",
       "Europe/Berlin",
       "2026-10-24 23:50:00",
       {"2026-10-25 00:30:00", "2026-10-25 01:30:00", "2026-10-25 02:30:00"}},
      {"*/30 * * * *",
       "Europe/Berlin",
       "2026-10-25 00:45:00",
       {"2026-10-25 01:00:00", "2026-10-25 01:30:00", "2026-10-25 02:00:00"}},
  };
  for (const auto& each : table)
    holds(each);
}

TEST_CASE("cron: a time between two seconds comes before the next second, and one on a second is over") {
  const cron each_minute("* * * * *");
  CHECK(*each_minute.next(utc("2026-01-01 00:00:59") + 999ms) == utc("2026-01-01 00:01:00"));
  CHECK(*each_minute.next(utc("2026-01-01 00:01:00") - 1ns) == utc("2026-01-01 00:01:00"));
  CHECK(*each_minute.next(utc("2026-01-01 00:01:00") + 1ns) == utc("2026-01-01 00:02:00"));
}

TEST_CASE("cron: what is none is refused, and says which part") {
  CHECK(refusal("").find("0 fields") != std::string::npos);
  CHECK(refusal("* * * *").find("4 fields") != std::string::npos);
  CHECK(refusal("* * * * * * *").find("7 fields") != std::string::npos);
  CHECK(refusal("60 * * * *").find("'60' is not a minute, which is 0..59") != std::string::npos);
  CHECK(refusal("* 24 * * *").find("'24' is not a hour") != std::string::npos);
  CHECK(refusal("* * 0 * *").find("'0' is not a day of the month") != std::string::npos);
  CHECK(refusal("* * * 13 *").find("'13' is not a month") != std::string::npos);
  CHECK(refusal("* * * FEBRUARY *").find("name of three letters") != std::string::npos);
  CHECK(refusal("* * * * 8").find("'8' is not a day of the week") != std::string::npos);
  CHECK(refusal("0 0 30 2 *").find("no day of any year") != std::string::npos);
  CHECK(refusal("@reboot").find("@hourly") != std::string::npos);
  for (const char* nonsense :
       {"*/0 * * * *", "*/61 * * * *", "5-1 * * * *", "1- * * * *", "-1 * * * *", ", * * * *", "1, * * * *",
        "1/ * * * *", "/2 * * * *", "** * * * *", "+1 * * * *", "1.5 * * * *", "* * * * FRI-MON",
        "* * * * MON#2", "* * L * *", "? * * * *", "99999999999999999999 * * * *"})
    CHECK(refusal(nonsense).find("is not a ") != std::string::npos);
  CHECK(refusal(std::string(257, '*')).find("the limit is 256") != std::string::npos);
  CHECK(refusal("* * * * *", "Mars/Olympus").find("\"Mars/Olympus\" is not in the system's tz database") !=
        std::string::npos);
  CHECK(refusal("* * * * *", "").find("tz database") != std::string::npos);
  CHECK(refusal("* * * * *", "../../etc/passwd").find("tz database") != std::string::npos);
  CHECK_THROWS_AS(cron("no"), failure);
}

} // namespace dormouse::test::cron_test
