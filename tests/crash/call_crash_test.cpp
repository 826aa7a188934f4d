// Calls between objects and from outside across kills: each note arrives once and in its turn, each call has
// one outcome, each key one order.

#include "crash/child_process.hpp"
#include "crash/correspondent.hpp"
#include "crash/seeded_kill.hpp"
#include "disk.hpp"
#include "eventually.hpp"
#include "movable_clock.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace dormouse::test::call_crash_test {
namespace {

constexpr int kills = 30;

TEST_CASE(
    "R1 R3 R15 R16: kill -9 loses and doubles no note, no answer, no time-out and no order with a key") {
  std::mt19937_64 random(crash_seed());
  scratch_directory scratch;
  const auto directory = scratch.path() / "store";
  std::uint64_t tried = 0;                     // keys up to this one may have been used
  std::map<std::uint64_t, std::uint64_t> told; // by key: what its call gave
  for (int life = 1; life <= kills; ++life) {
    CAPTURE(life);
    auto progress = 1 + random() % 40;
    const auto moment = random_moment(random, std::chrono::microseconds(20'000));
    child_process child({"correspond", directory.string(), std::to_string(tried)});
    const auto hear = [&](const std::string& line) { // "<key> <order>", or the key that is about to be used
      std::istringstream words(line);
      std::uint64_t key = 0;
      std::uint64_t order = 0;
      words >> key;
      tried = std::max(tried, key);
      if (words >> order) CHECK(told.emplace(key, order).first->second == order);
    };
    while (progress-- > 0) {
      const auto line = child.read_line();
      REQUIRE_MESSAGE(line, "the child died by itself: ", child.kill());
      hear(*line);
    }
    spin(moment);
    REQUIRE(child.kill() == "");
    while (const auto line = child.read_line())
      hear(*line);
  }

  auto clock = std::make_shared<movable_clock>();
  std::uint64_t notes = 0;
  {
    runtime host(with_clock(correspondent_options(directory), clock));
    host.define<clerk, correspondent>();
    const auto orders = host.get<correspondent>(correspondent_id(0));
    for (std::uint64_t key = 1; key <= tried; ++key) {
      const auto order = orders.with({.idempotency_key = order_key(key)}).call<&correspondent::order>().get();
      CHECK(told.emplace(key, order).first->second == order);
    }
    CHECK(orders.call<&correspondent::orders>().get() == tried);
    const auto office = host.get<clerk>("clerk");
    for (std::uint64_t i = 0; i < correspondent_count; ++i) {
      CAPTURE(i);
      const auto object = host.get<correspondent>(correspondent_id(i));
      std::vector<std::uint32_t> outcomes;
      const bool all_came = eventually([&] {
        outcomes = object.call<&correspondent::outcomes>().get();
        return std::find(outcomes.begin(), outcomes.end(), 0U) == outcomes.end() &&
               object.call<&correspondent::unfinished>().get() == 0;
      });
      if (!all_came) {
        std::string left =
            std::to_string(std::count(outcomes.begin(), outcomes.end(), 0U)) +
            " without outcome, the first " +
            std::to_string(std::find(outcomes.begin(), outcomes.end(), 0U) - outcomes.begin()) + " of " +
            std::to_string(outcomes.size()) + ", " +
            std::to_string(object.call<&correspondent::unfinished>().get()) + " rounds";
        for (const auto& each : host.tasks().list({.limit = 100}))
          left += "; " + to_string(each.id) + " " + each.method + " " + std::string(to_string(each.state)) +
                  " steps " + std::to_string(each.steps);
        FAIL_CHECK(left);
      }
      CHECK(std::count(outcomes.begin(), outcomes.end(), 1U) == static_cast<std::ptrdiff_t>(outcomes.size()));
      CHECK(eventually(
          [&] { return office.call<&clerk::last_of>(correspondent_id(i)).get() == outcomes.size(); }));
      notes += outcomes.size();
    }
    CHECK(office.call<&clerk::out_of_turn>().get() == 0);
    CHECK(eventually([&] { return host.tasks().list({.limit = 1}).empty(); }));
    clock->advance(std::chrono::hours(2)); // what was remembered is forgotten
    CHECK(eventually([&] { return host.stats().schedules == 0 && host.stats().pending_messages == 0; }));
    CHECK(host.stats().dead_letters == 0);
  }
  MESSAGE(notes, " notes and calls, ", tried, " keys in ", kills, " lives");
  CHECK(notes > 100);
  disk rows(directory);
  for (char kind : {'J', 'T', 'U', 'H', 'W', 'B', 'D', 'I', 'Y'}) {
    CAPTURE(kind);
    CHECK(rows.count(kind) == 0);
  }
}

} // namespace
} // namespace dormouse::test::call_crash_test
