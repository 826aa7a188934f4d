#include "proxy/origin_book.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <numeric>
#include <string>
#include <vector>

namespace dormouse::test::origin_book_test {
namespace {

void attempt(origin_book& book, const std::string& origin) {
  book.note(origin, [](origin_stats& of) {
    ++of.attempts;
    ++of.responses;
    ++of.by_class[2];
    of.durations.add(std::chrono::milliseconds(5));
  });
}

std::uint64_t sum_of_attempts(const std::vector<origin_stats>& all) {
  return std::accumulate(all.begin(), all.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const origin_stats& each) { return sum + each.attempts; });
}

} // namespace

TEST_CASE("origin book: the origin used last comes first") {
  origin_book book;
  CHECK(book.all().empty());
  for (const std::string origin : {"a", "b", "c", "a"})
    attempt(book, origin);
  const auto all = book.all();
  REQUIRE(all.size() == 3);
  CHECK(all[0].origin == "a");
  CHECK(all[0].attempts == 2);
  CHECK(all[1].origin == "c");
  CHECK(all[2].origin == "b");
}

TEST_CASE("R19: origin book: it keeps 1,000 origins, and adds up the others without losing any") {
  origin_book book;
  for (int i = 0; i < 5000; ++i)
    attempt(book, std::to_string(i));
  for (int i = 0; i < 100; ++i)
    attempt(book, "0"); // comes back
  const auto all = book.all();
  REQUIRE(all.size() == origin_book::most_origins + 1);
  CHECK(all.front().origin == "0");
  CHECK(all.front().attempts == 100);
  CHECK(all.back().origin == "other");
  CHECK(all.back().attempts == 4001);
  CHECK(all.back().responses == 4001);
  CHECK(all.back().by_class[2] == 4001);
  CHECK(all.back().durations.count() == 4001);
  CHECK(sum_of_attempts(all) == 5100);
}

TEST_CASE("origin book: an origin with something in flight stays, whatever others come") {
  origin_book book;
  book.note("busy", [](origin_stats& of) { ++of.in_flight; });
  for (int i = 0; i < 3000; ++i)
    attempt(book, std::to_string(i));
  book.note("busy", [](origin_stats& of) {
    CHECK(of.in_flight == 1);
    --of.in_flight;
  });
  CHECK(book.all().front().origin == "busy");
  CHECK(book.all().front().in_flight == 0);
}

TEST_CASE("R19: origin book: one that stays does not keep the others") {
  origin_book book;
  book.note("busy", [](origin_stats& of) { ++of.in_flight; });
  for (int i = 0; i < 5000; ++i)
    attempt(book, std::to_string(i));
  CHECK(book.all().size() <= origin_book::most_origins + 2);
}

} // namespace dormouse::test::origin_book_test
