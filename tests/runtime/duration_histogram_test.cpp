#include <dormouse/runtime/stats.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>

namespace dormouse::test::duration_histogram_test {

using namespace std::chrono_literals;
using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST_CASE("duration histogram: bucket i has what is less than 2^i ms and in no bucket before it") {
  struct row {
    microseconds duration;
    std::size_t bucket;
  };
  for (const auto& [duration, bucket] :
       {row{0us, 0}, row{999us, 0}, row{1ms, 1}, row{1999us, 1}, row{2ms, 2}, row{3999us, 2}, row{4ms, 3},
        row{1023ms, 10}, row{1024ms, 11}, row{4'194'303ms, 22}, row{4'194'304ms, 23}, row{24h, 23},
        row{24h * 365, 23}, row{-5ms, 0}}) {
    const auto& this_duration = duration; // clang 14 captures no structured binding
    CAPTURE(this_duration.count());
    duration_histogram times;
    times.add(duration);
    for (std::size_t i = 0; i < times.buckets.size(); ++i)
      CHECK(times.buckets[i] == (i == bucket ? 1U : 0U));
    CHECK(times.count() == 1);
  }
}

TEST_CASE("duration histogram: a percentile is the upper bound of the bucket in which that part ends") {
  duration_histogram times;
  CHECK(times.count() == 0);
  for (double part : {0.0, 0.5, 1.0})
    CHECK(times.percentile(part) == 0ms);
  for (int i = 0; i < 90; ++i)
    times.add(500us); // below 1 ms
  for (int i = 0; i < 9; ++i)
    times.add(10ms); // below 16 ms
  times.add(3s);     // below 4096 ms
  CHECK(times.count() == 100);
  CHECK(times.percentile(0) == 1ms);
  CHECK(times.percentile(0.5) == 1ms);
  CHECK(times.percentile(0.9) == 1ms);
  CHECK(times.percentile(0.901) == 16ms);
  CHECK(times.percentile(0.99) == 16ms);
  CHECK(times.percentile(0.991) == 4096ms);
  CHECK(times.percentile(1) == 4096ms);
  // What is no part is taken for the nearest one.
  CHECK(times.percentile(-1) == 1ms);
  CHECK(times.percentile(2) == 4096ms);
}

TEST_CASE("duration histogram: of one duration every percentile is its bucket's bound") {
  duration_histogram times;
  times.add(100ms);
  for (double part : {0.0, 0.001, 0.5, 1.0})
    CHECK(times.percentile(part) == 128ms);
}

} // namespace dormouse::test::duration_histogram_test
