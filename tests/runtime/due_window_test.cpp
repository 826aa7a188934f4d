// The window on the schedules that are due: bounded, and neither blocked nor kept busy by rows that nobody
// can handle.

#include "memory_engine.hpp"
#include "schedule/due_window.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace dormouse::test::due_window_test {
namespace {

struct fixture {
  test::memory_engine disk;
  std::set<std::string> defined{"THING"};
  std::vector<keys::due_parts> handed_over;
  std::vector<std::string> whose;
  std::vector<std::string> buried;
  std::size_t scans = 0;

  due_window make(std::size_t most) {
    return {most,
            {.scan =
                 [this](std::string_view from, std::string_view to) {
                   ++scans;
                   return disk.scan(from, to);
                 },
             .hand_over =
                 [this](const keys::due_parts& row, keys::schedule_parts of) {
                   if (!defined.contains(of.where.binding)) return false;
                   handed_over.push_back(row);
                   whose.push_back(of.where.instance_id);
                   return true;
                 },
             .bury =
                 [this](const row_cursor& row, const std::string&) {
                   buried.emplace_back(row.key());
                   write({{std::string(row.key()), std::nullopt}});
                 },
             .unreadable = [](const error&) {}}};
  }

  void write(const write_set& writes) {
    const write_set* sets[] = {&writes};
    value_or_throw(disk.write(sets));
  }
  keys::due_parts put(std::int64_t due_ms, std::uint64_t number, const std::string& binding = "THING") {
    write({{keys::due(due_ms, number), keys::schedule({binding, std::to_string(number)}, {number, {}})}});
    return {due_ms, number};
  }
  /// As its turn's commit does it.
  void done(due_window& window, const keys::due_parts& row) {
    write({{keys::due(row.due_ms, row.number), std::nullopt}});
    CHECK(window.over(row));
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "due window: what is due is handed over in the order of its time, and the rest is "
                           "only known by its time") {
  put(300, 3);
  put(100, 1);
  put(200, 2);
  put(900, 9);
  auto window = make(10);
  CHECK_FALSE(window.read(300));
  CHECK(whose == std::vector<std::string>{"1", "2", "3"});
  CHECK(window.next_ms() == 900);
  CHECK_FALSE(window.read(899));
  CHECK(handed_over.size() == 3);
  CHECK_FALSE(window.read(900));
  CHECK(handed_over.size() == 4);
  CHECK(window.next_ms() == due_window::never);
}

TEST_CASE_FIXTURE(fixture, "due window: a row that is written ahead of all others is next, and one behind "
                           "them waits for its place") {
  put(500, 5);
  auto window = make(10);
  window.read(100);
  CHECK(window.next_ms() == 500);
  window.written(put(200, 2));
  window.written(put(800, 8));
  CHECK(window.next_ms() == 200);
  window.read(199);
  CHECK(handed_over.empty());
  window.read(1'000);
  CHECK(whose == std::vector<std::string>{"2", "5", "8"});
  window.written(put(50, 1)); // due already, and before everything that was read
  window.read(1'000);
  CHECK(whose.back() == "1");
  CHECK(handed_over.size() == 4); // those that are out are not handed over twice
}

TEST_CASE_FIXTURE(
    fixture,
    "R19: due window: no more than its size is out at once, however many are due, and all come in the end") {
  constexpr std::size_t most = 8;
  constexpr std::size_t all = 1'000;
  for (std::uint64_t i = 0; i < all; ++i)
    put(100, i);
  auto window = make(most);
  std::size_t begun = 0;
  while (begun < all) {
    window.read(100);
    REQUIRE(window.out() <= most);
    REQUIRE(handed_over.size() > begun);
    for (; begun < handed_over.size(); ++begun)
      done(window, handed_over[begun]);
  }
  std::set<std::uint64_t> seen;
  for (const auto& row : handed_over)
    seen.insert(row.number);
  CHECK(seen.size() == all);
  CHECK(handed_over.size() == all);
  CHECK(scans <= 2 * all / (most / 2)); // refilled when half of it is free, not for each
}

TEST_CASE_FIXTURE(fixture, "due window: a row that moved to a later time comes again then, also if the first "
                           "firing is not known to be over") {
  const auto first = put(100, 1);
  auto window = make(10);
  window.read(100);
  const auto second = put(150, 1);
  write({{keys::due(first.due_ms, first.number), std::nullopt}});
  window.written(second);
  window.read(200);
  CHECK(handed_over == std::vector<keys::due_parts>{first, second});
  CHECK(window.over(first));
  CHECK_FALSE(window.over(first));
  CHECK(window.out() == 1);
}

TEST_CASE_FIXTURE(fixture, "due window: rows of classes that are not defined are passed over, keep nobody "
                           "busy, and come when the class does") {
  constexpr std::uint64_t many = 50;
  for (std::uint64_t i = 0; i < many; ++i)
    put(100, i, "LATER");
  put(101, many);
  auto window = make(4);
  CHECK_FALSE(window.read(200));
  CHECK(handed_over.size() == 1); // not blocked
  CHECK(window.next_ms() == due_window::never);
  const auto before = scans;
  CHECK_FALSE(window.read(300));
  CHECK(scans == before); // not looked at again
  window.defined("OTHER");
  CHECK_FALSE(window.read(300));
  CHECK(scans == before);
  defined.insert("LATER");
  window.defined("LATER");
  std::size_t begun = 0;
  for (window.read(300); begun < handed_over.size(); window.read(300))
    for (; begun < handed_over.size(); ++begun)
      done(window, handed_over[begun]);
  CHECK(handed_over.size() == many + 1);
}

TEST_CASE_FIXTURE(fixture,
                  "due window: a long walk over rows of classes that are not defined is done in pieces") {
  for (std::uint64_t i = 0; i < due_window::rows_per_read + 10; ++i)
    put(100, i, "LATER");
  put(100, ~std::uint64_t{0});
  auto window = make(4);
  CHECK(window.read(200));
  CHECK(handed_over.empty());
  CHECK_FALSE(window.read(200));
  CHECK(handed_over.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "R21: due window: a row that leads nowhere is buried, once, and holds up nobody") {
  write({{"W too short", "x"}, {keys::due(100, 1), "no key of a schedule"}});
  put(100, 2);
  auto window = make(4);
  window.read(1'000);
  CHECK(buried.size() == 2);
  window.read(1'000);
  CHECK(buried.size() == 2);
  CHECK(whose == std::vector<std::string>{"2"});
}

} // namespace dormouse::test::due_window_test
