#include "proxy/ready_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

using dormouse::fetch_priority;
using dormouse::ready_queue;

TEST_CASE("ready queue: priority first, then age, whatever the origin") {
  ready_queue queue(10);
  queue.add("a", fetch_priority::low, 1);
  queue.add("b", fetch_priority::normal, 4);
  queue.add("a", fetch_priority::normal, 3);
  queue.add("b", fetch_priority::high, 6);
  queue.add("c", fetch_priority::high, 5);
  for (std::uint64_t expected : {5, 6, 3, 4, 1})
    CHECK(queue.take() == expected);
  CHECK_FALSE(queue.take());
}

TEST_CASE("R12: ready queue: an origin that is full lets the others pass") {
  ready_queue queue(2);
  for (std::uint64_t id : {1, 2, 3})
    queue.add("busy", fetch_priority::high, id);
  queue.add("quiet", fetch_priority::low, 4);
  CHECK(queue.take() == 1);
  CHECK(queue.take() == 2);
  CHECK(queue.take() == 4);
  CHECK_FALSE(queue.take());
  queue.release("busy");
  CHECK(queue.take() == 3);
  CHECK_FALSE(queue.take());
}

TEST_CASE("ready queue: what is removed does not go, and takes no place") {
  ready_queue queue(1);
  queue.add("a", fetch_priority::normal, 1);
  queue.add("a", fetch_priority::normal, 2);
  CHECK(queue.remove("a", fetch_priority::normal, 1));
  CHECK_FALSE(queue.remove("a", fetch_priority::normal, 1));
  CHECK_FALSE(queue.remove("a", fetch_priority::high, 2));
  CHECK_FALSE(queue.remove("b", fetch_priority::normal, 2));
  CHECK(queue.take() == 2);
  CHECK_FALSE(queue.remove("a", fetch_priority::normal, 2));
  queue.release("nobody");
  CHECK_FALSE(queue.take());
}

TEST_CASE("ready queue: a random walk agrees with a plain search") {
  constexpr std::size_t limit = 3;
  const std::vector<std::string> origins{"a", "b", "c", "d"};
  std::mt19937 random(20); // fixed: the same walk every time
  ready_queue queue(limit);
  std::vector<std::tuple<fetch_priority, std::uint64_t, std::string>> waiting;
  std::map<std::string, std::size_t> in_flight;
  std::uint64_t next_id = 0;
  std::size_t taken = 0;
  for (int step = 0; step < 20'000; ++step) {
    const auto& origin = origins[random() % origins.size()];
    switch (random() % 4) {
      case 0: {
        const auto priority = static_cast<fetch_priority>(random() % 3);
        queue.add(origin, priority, ++next_id);
        waiting.emplace_back(priority, next_id, origin);
        break;
      }
      case 1: {
        auto best = waiting.end();
        for (auto each = waiting.begin(); each != waiting.end(); ++each)
          if (in_flight[std::get<2>(*each)] < limit && (best == waiting.end() || *each < *best))
            best = each;
        const auto got = queue.take();
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
          queue.release(origin);
        }
        break;
      default:
        if (!waiting.empty()) {
          auto gone = waiting.begin() + static_cast<std::ptrdiff_t>(random() % waiting.size());
          REQUIRE(queue.remove(std::get<2>(*gone), std::get<0>(*gone), std::get<1>(*gone)));
          waiting.erase(gone);
        }
    }
  }
  CHECK(taken > 1000); // the walk went somewhere
}
