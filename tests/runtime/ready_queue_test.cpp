#include "proxy/ready_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace dormouse::test::ready_queue_test {
namespace {

ready_queue::rules_of at_most(std::size_t in_flight) {
  return [in_flight](const std::string&) { return ready_queue::origin_rules{.max_in_flight = in_flight}; };
}

ready_queue::rules_of rate(double per_second, double burst) {
  return [per_second, burst](const std::string&) {
    return ready_queue::origin_rules{.per_second = per_second, .burst = burst};
  };
}

ready_queue::place in(std::string origin, fetch_priority priority, std::uint64_t id, std::string queue = "") {
  return {std::move(queue), std::move(origin), priority, id};
}

std::vector<std::uint64_t> take_all(ready_queue& queue, std::int64_t now_ms) {
  std::vector<std::uint64_t> ids;
  while (auto id = queue.take(now_ms))
    ids.push_back(*id);
  return ids;
}

} // namespace

TEST_CASE("ready queue: priority first, then age, whatever the origin") {
  ready_queue queue(at_most(10));
  queue.add(in("a", fetch_priority::low, 1), 0);
  queue.add(in("b", fetch_priority::normal, 4), 0);
  queue.add(in("a", fetch_priority::normal, 3), 0);
  queue.add(in("b", fetch_priority::high, 6), 0);
  queue.add(in("c", fetch_priority::high, 5), 0);
  CHECK(take_all(queue, 0) == std::vector<std::uint64_t>{5, 6, 3, 4, 1});
}

TEST_CASE("R12: ready queue: an origin that is full lets the others pass") {
  ready_queue queue(at_most(2));
  for (std::uint64_t id : {1, 2, 3})
    queue.add(in("busy", fetch_priority::high, id), 0);
  queue.add(in("quiet", fetch_priority::low, 4), 0);
  CHECK(take_all(queue, 0) == std::vector<std::uint64_t>{1, 2, 4});
  queue.release("", "busy", 0);
  CHECK(take_all(queue, 0) == std::vector<std::uint64_t>{3});
}

TEST_CASE("ready queue: what is removed does not go, and takes no place") {
  ready_queue queue(at_most(1));
  queue.add(in("a", fetch_priority::normal, 1), 0);
  queue.add(in("a", fetch_priority::normal, 2), 0);
  CHECK(queue.remove(in("a", fetch_priority::normal, 1), 0));
  CHECK_FALSE(queue.remove(in("a", fetch_priority::normal, 1), 0));
  CHECK_FALSE(queue.remove(in("a", fetch_priority::high, 2), 0));
  CHECK_FALSE(queue.remove(in("b", fetch_priority::normal, 2), 0));
  CHECK(queue.take(0) == 2);
  CHECK_FALSE(queue.remove(in("a", fetch_priority::normal, 2), 0));
  queue.release("", "nobody", 0);
  CHECK_FALSE(queue.take(0));
}

TEST_CASE("ready queue: of 21 fetches 16 are high, 4 normal and 1 low while there is work of all") {
  ready_queue queue(at_most(1000));
  for (std::uint64_t id = 0; id < 100; ++id) {
    queue.add(in("a", fetch_priority::high, 1000 + id), 0);
    queue.add(in("a", fetch_priority::normal, 2000 + id), 0);
    queue.add(in("a", fetch_priority::low, 3000 + id), 0);
  }
  std::map<std::uint64_t, int> taken;
  for (int i = 0; i < 42; ++i)
    ++taken[*queue.take(0) / 1000];
  CHECK(taken == std::map<std::uint64_t, int>{{1, 32}, {2, 8}, {3, 2}});
}

TEST_CASE("ready queue: a rate lets a burst go and then one at a time") {
  ready_queue queue(rate(10, 3));
  for (std::uint64_t id = 1; id <= 6; ++id)
    queue.add(in("a", fetch_priority::normal, id), 1000);
  CHECK(take_all(queue, 1000) == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(queue.next_ms() == 1100);
  CHECK(take_all(queue, 1099).empty());
  CHECK(take_all(queue, 1100) == std::vector<std::uint64_t>{4});
  CHECK(take_all(queue, 1300) == std::vector<std::uint64_t>{5, 6});
  for (int i = 0; i < 6; ++i)
    queue.release("", "a", 1300);
  CHECK(queue.origins() == 1); // its bucket is not full: a new one would have three tokens
  CHECK(take_all(queue, 1600).empty());
  CHECK(queue.origins() == 0);
  CHECK(queue.next_ms() == ready_queue::until_told);
}

TEST_CASE("ready queue: one that did not go out leaves its token to the next") {
  ready_queue queue(rate(1, 2));
  for (std::uint64_t id = 1; id <= 5; ++id)
    queue.add(in("a", fetch_priority::normal, id), 1000);
  CHECK(queue.take(1000) == 1);
  for (std::uint64_t id = 2; id <= 4; ++id) {
    CHECK(queue.take(1000) == id);
    queue.release_unused("", "a", 1000);
  }
  CHECK(queue.take(1000) == 5);
  queue.add(in("a", fetch_priority::normal, 6), 1000);
  CHECK_FALSE(queue.take(1000)); // the two that went have the burst
  queue.release_unused("", "nobody", 1000);
  CHECK(take_all(queue, 2000) == std::vector<std::uint64_t>{6});
  queue.release_unused("", "a", 2000);
  queue.release_unused("", "a", 2000);
  queue.release_unused("", "a", 2000); // never more than a burst
  for (std::uint64_t id = 7; id <= 9; ++id)
    queue.add(in("a", fetch_priority::normal, id), 2000);
  CHECK(take_all(queue, 2000) == std::vector<std::uint64_t>{7, 8});
}

TEST_CASE("ready queue: a clock that is set back neither gives tokens nor takes any") {
  ready_queue queue(rate(1, 1));
  for (std::uint64_t id = 1; id <= 3; ++id)
    queue.add(in("a", fetch_priority::normal, id), 100'000);
  CHECK(take_all(queue, 100'000) == std::vector<std::uint64_t>{1});
  CHECK(take_all(queue, 50'000).empty());
  queue.release("", "a", 50'000);
  CHECK(take_all(queue, 51'000) == std::vector<std::uint64_t>{2});
}

TEST_CASE("ready queue: a held origin waits for its time, and others do not") {
  ready_queue queue(at_most(10));
  queue.add(in("a", fetch_priority::high, 1), 0);
  queue.add(in("b", fetch_priority::low, 2), 0);
  queue.hold("a", 500, 0);
  CHECK(take_all(queue, 0) == std::vector<std::uint64_t>{2});
  CHECK(queue.next_ms() == 500);
  CHECK(take_all(queue, 500) == std::vector<std::uint64_t>{1});
  queue.hold("a", ready_queue::until_told, 500);
  queue.add(in("a", fetch_priority::high, 3), 500);
  CHECK(take_all(queue, 1'000'000).empty());
  queue.hold("a", 0, 600);
  CHECK(take_all(queue, 600) == std::vector<std::uint64_t>{3});
}

TEST_CASE("ready queue: a narrowed origin has fewer places") {
  ready_queue queue(at_most(10));
  for (std::uint64_t id : {1, 2, 3})
    queue.add(in("a", fetch_priority::normal, id), 0);
  queue.narrow("a", 1, 0);
  CHECK(take_all(queue, 0) == std::vector<std::uint64_t>{1});
  queue.narrow("a", std::nullopt, 0);
  CHECK(take_all(queue, 0) == std::vector<std::uint64_t>{2, 3});
}

TEST_CASE("R12: ready queue: named queues have limits of their own and take turns") {
  ready_queue queue(at_most(100));
  queue.limit_queue("bulk", 2);
  for (std::uint64_t id = 1; id <= 4; ++id)
    queue.add(in("a", fetch_priority::high, id, "bulk"), 0);
  for (std::uint64_t id = 11; id <= 14; ++id)
    queue.add(in("a", fetch_priority::low, id), 0);
  CHECK(take_all(queue, 0) == std::vector<std::uint64_t>{1, 11, 2, 12, 13, 14});
  queue.release("bulk", "a", 0);
  CHECK(take_all(queue, 0) == std::vector<std::uint64_t>{3});
  CHECK(queue.remove(in("a", fetch_priority::high, 4, "bulk"), 0));
}

TEST_CASE("ready queue: a random walk agrees with a plain search") {
  constexpr std::size_t limit = 3;
  const std::vector<std::string> origins{"a", "b", "c", "d"};
  std::mt19937 random(20); // fixed: the same walk every time
  ready_queue queue(at_most(limit));
  std::vector<std::tuple<fetch_priority, std::uint64_t, std::string>> waiting;
  std::map<std::string, std::size_t> in_flight;
  std::uint64_t next_id = 0;
  std::size_t taken = 0;
  for (int step = 0; step < 20'000; ++step) {
    const auto& origin = origins[random() % origins.size()];
    switch (random() % 4) {
    case 0: {
      const auto priority = static_cast<fetch_priority>(random() % 3);
      queue.add(in(origin, priority, ++next_id), 0);
      waiting.emplace_back(priority, next_id, origin);
      break;
    }
    case 1: {
      const auto turn = taken % 21;
      const auto preferred = turn == 20      ? fetch_priority::low
                             : turn % 5 == 4 ? fetch_priority::normal
                                             : fetch_priority::high;
      auto best = waiting.end();
      const auto rank = [&](const auto& each) {
        return std::tuple(std::get<0>(each) != preferred, std::get<0>(each), std::get<1>(each));
      };
      for (auto each = waiting.begin(); each != waiting.end(); ++each)
        if (in_flight[std::get<2>(*each)] < limit && (best == waiting.end() || rank(*each) < rank(*best)))
          best = each;
      const auto got = queue.take(0);
      REQUIRE(got.has_value() == (best != waiting.end()));
      if (got) {
        REQUIRE(*got == std::get<1>(*best));
        ++in_flight[std::get<2>(*best)];
        waiting.erase(best);
        ++taken;
      }
      break;
    }
    case 2:
      if (in_flight[origin] > 0) {
        --in_flight[origin];
        queue.release("", origin, 0);
      }
      break;
    default:
      if (!waiting.empty()) {
        auto gone = waiting.begin() + static_cast<std::ptrdiff_t>(random() % waiting.size());
        REQUIRE(queue.remove(in(std::get<2>(*gone), std::get<0>(*gone), std::get<1>(*gone)), 0));
        waiting.erase(gone);
      }
    }
  }
  CHECK(taken > 1000); // the walk went somewhere
}

} // namespace dormouse::test::ready_queue_test
