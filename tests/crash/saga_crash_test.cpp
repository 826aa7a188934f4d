// R16 under kill -9: sagas that are killed a hundred times, anywhere, charge nobody twice and never stop half
// way.

#include "crash/child_process.hpp"
#include "crash/saga.hpp"
#include "crash/seeded_kill.hpp"
#include "disk.hpp"
#include "eventually.hpp"
#include "upstream/upstream_server.hpp"

#include <doctest/doctest.h>

namespace dormouse::test::saga_crash_test {
namespace {

using std::chrono::microseconds;

constexpr int kills = 100;

TEST_CASE("R3 R7 R16: kill -9 at 100 random moments of checkout sagas: nobody is charged twice, and none "
          "stops half way") {
  std::mt19937_64 random(crash_seed());
  scratch_directory scratch;
  const auto directory = scratch.path() / "store";
  samples::upstream_server upstream;
  upstream.start();
  std::uint64_t placed = 0;
  for (int life = 1; life <= kills; ++life) {
    CAPTURE(life);
    auto progress = random() % 6;
    const auto moment = random_moment(random, microseconds(20'000));
    child_process child({"sell", directory.string(), upstream.url(), std::to_string(placed)});
    for (;;) {
      const auto line = child.read_line();
      REQUIRE_MESSAGE(line, "the child died by itself: ", child.kill());
      placed = std::max<std::uint64_t>(placed, std::stoull(*line)); // durable
      if (progress-- == 0) break;
    }
    spin(moment);
    REQUIRE(child.kill() == "");
  }
  child_process last({"settle", directory.string()});
  std::uint64_t shipped = 0;
  std::uint64_t seen = 0;
  for (;;) { // "<number> <what was done> ..."
    const auto line = last.read_line();
    REQUIRE(line);
    if (*line == "waiting") continue;
    if (*line == "end") break;
    const auto space = line->find(' ');
    const auto number = std::stoull(line->substr(0, space));
    const auto fate = fate_of(number);
    CAPTURE(number);
    ++seen;
    shipped += fate == order_fate::shipped ? 1 : 0;
    CHECK(line->substr(space + 1) == (fate == order_fate::refused    ? "placed reserved refused"
                                      : fate == order_fate::returned ? "placed reserved paid returned"
                                                                     : "placed reserved paid shipped"));
    // However often a request had to be repeated, it had one key: a payment service charges once for it.
    CHECK(upstream.idempotency(upstream_key("pay", number)).size() == 1);
    CHECK(upstream.idempotency(upstream_key("ship", number)).size() == (fate == order_fate::refused ? 0 : 1));
    CHECK(upstream.idempotency(upstream_key("refund", number)).size() ==
          (fate == order_fate::returned ? 1 : 0));
  }
  const auto stock_line = last.read_line();
  REQUIRE(stock_line);
  CHECK(std::stoull(*stock_line) == shipped);
  REQUIRE(last.wait() == "");
  CHECK(seen >= placed);
  MESSAGE(seen, " orders, ", shipped, " shipped, ", upstream.total(), " requests, ", kills, " kills");
  CHECK(seen > 100); // a test that killed an idle process would have shown nothing
  disk rows(directory);
  for (char kind : {'J', 'T', 'U', 'H', 'W', 'B', 'D', 'I', 'Q', 'A', 'E'}) {
    CAPTURE(kind);
    CHECK(rows.count(kind) == 0);
  }
}

} // namespace
} // namespace dormouse::test::saga_crash_test
