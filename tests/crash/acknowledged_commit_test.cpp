// What was acknowledged before a kill is there after it.

#include "crash/child_process.hpp"
#include "crash/durable_view.hpp"
#include "crash/seeded_kill.hpp"
#include "eventually.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace dormouse::test::acknowledged_commit_test {
namespace {

using std::chrono::microseconds;

constexpr int kills = 20;

/// What callers were told in one life.
struct replies {
  std::uint64_t adds = 0; ///< how many
  std::uint64_t first_add = 0;
  std::uint64_t last_add = 0;
  std::uint64_t largest_read = 0;
  bool in_order = true;

  void note(const std::string& line) {
    const auto value = std::stoull(line.substr(line.find(' ') + 1));
    if (line.starts_with("read ")) {
      largest_read = std::max<std::uint64_t>(largest_read, value);
      return;
    }
    if (adds++ == 0)
      first_add = value;
    else
      in_order = in_order && value == last_add + 1;
    last_add = value;
  }
};

TEST_CASE("R3 R4: kill -9 loses no acknowledged commit, and nobody was told of one that is not durable") {
  std::mt19937_64 random(crash_seed());
  scratch_directory scratch;
  const auto directory = scratch.path() / "store";
  std::uint64_t durable = 0;
  std::uint64_t unacknowledged = 0;
  for (int life = 1; life <= kills; ++life) {
    const std::uint64_t at_once = life % 2 == 0 ? 16 : 1;
    const auto progress = 1 + random() % 400;
    const auto moment = random_moment(random, microseconds(5'000));
    CAPTURE(life);
    child_process child({"count", directory.string(), std::to_string(at_once)});
    replies told;
    while (told.adds < progress) {
      auto line = child.read_line();
      REQUIRE_MESSAGE(line, "the child died by itself: ", child.kill());
      told.note(*line);
    }
    spin(moment);
    REQUIRE(child.kill() == "");
    while (auto line = child.read_line()) // what it was told before it died
      told.note(*line);

    const auto view = read_durable(directory, scratch.path() / "copy");
    CHECK(told.in_order);
    CHECK(told.first_add == durable + 1);
    durable = view.counter_value;
    CHECK(durable >= told.last_add);
    CHECK(durable <= told.last_add + at_once);
    CHECK(told.largest_read <= durable);
    CHECK(view.unreadable == 0);
    unacknowledged += durable - told.last_add;
  }
  MESSAGE(durable, " commits in ", kills, " lives, of which ", unacknowledged,
          " were durable and not yet acknowledged when the kill came");
  CHECK(durable >= kills);
}

TEST_CASE("R3 R4: kill -9 never parts the rows of an object from its state") {
  std::mt19937_64 random(crash_seed());
  scratch_directory scratch;
  const auto directory = scratch.path() / "store";
  std::uint64_t durable = 0;
  for (int life = 1; life <= kills; ++life) {
    const std::uint64_t at_once = life % 2 == 0 ? 16 : 1;
    const auto progress = 1 + random() % 400;
    const auto moment = random_moment(random, microseconds(5'000));
    CAPTURE(life);
    child_process child({"keep", directory.string(), std::to_string(at_once)});
    replies told;
    while (told.adds < progress) {
      auto line = child.read_line();
      REQUIRE_MESSAGE(line, "the child died by itself: ", child.kill());
      told.note(*line);
    }
    spin(moment);
    REQUIRE(child.kill() == "");
    while (auto line = child.read_line())
      told.note(*line);

    const auto view = read_durable(directory, scratch.path() / "copy");
    CHECK(told.in_order);
    CHECK(told.first_add == durable + 1);
    durable = view.ledger_value;
    CHECK(durable >= told.last_add);
    CHECK(durable <= told.last_add + at_once);
    CHECK(view.unreadable == 0);
    CHECK(view.ledger_rows == ledger::rows_at(durable));
  }
  MESSAGE(durable, " commits in ", kills, " lives");
  CHECK(durable > ledger::page); // a range was erased
}

TEST_CASE("R3: kill -9 never leaves a part of an object that was destroyed") {
  std::mt19937_64 random(crash_seed());
  scratch_directory scratch;
  const auto directory = scratch.path() / "store";
  std::size_t alive = 0;
  std::uint64_t ends = 0;
  for (int life = 1; life <= kills; ++life) {
    const auto progress = 1 + random() % 20;
    const auto moment = random_moment(random, microseconds(5'000));
    CAPTURE(life);
    child_process child({"live and end", directory.string(), life % 2 == 0 ? "16" : "1"});
    for (std::uint64_t line = 0; line < progress; ++line, ++ends)
      REQUIRE_MESSAGE(child.read_line(), "the child died by itself: ", child.kill());
    spin(moment);
    REQUIRE(child.kill() == "");

    const auto view = read_durable(directory, scratch.path() / "copy");
    CHECK(view.unreadable == 0);
    CHECK(view.mayfly_rows.size() == view.mayfly_value);
    CHECK((view.mayfly_rows.empty() || *view.mayfly_rows.rbegin() == view.mayfly_value));
    alive += view.mayfly_value != 0 ? 1 : 0;
  }
  MESSAGE(ends, " objects in ", kills, " lives, of which ", alive, " ended in the middle of an object");
  CHECK(alive > 0);
}

} // namespace
} // namespace dormouse::test::acknowledged_commit_test
