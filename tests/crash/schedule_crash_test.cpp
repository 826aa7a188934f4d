// Schedules across kills: each tick has one effect.

#include "crash/child_process.hpp"
#include "crash/ringer.hpp"
#include "crash/seeded_kill.hpp"
#include "eventually.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace dormouse::test::schedule_crash_test {
namespace {

constexpr int kills = 15;

TEST_CASE("R3 R6: kill -9 loses no schedule and repeats none in effect, of those for once and of those that "
          "recur") {
  std::mt19937_64 random(crash_seed());
  scratch_directory scratch;
  const auto directory = scratch.path() / "store";
  for (int life = 1; life <= kills; ++life) {
    CAPTURE(life);
    const auto progress = 1 + random() % 300;
    const auto moment = random_moment(random, std::chrono::microseconds(20'000));
    child_process child({"ring", directory.string()});
    for (std::uint64_t fired = 0; fired < progress;) {
      auto line = child.read_line();
      REQUIRE_MESSAGE(line, "the child died by itself: ", child.kill());
      fired = std::stoull(*line);
    }
    spin(moment);
    REQUIRE(child.kill() == "");
  }

  runtime host(ring_options(directory));
  host.define<ringer>();
  std::uint64_t rings = 0;
  std::uint64_t beats = 0;
  for (std::uint64_t i = 0; i < ringer_count; ++i) {
    CAPTURE(i);
    auto object = host.get<ringer>(ringer_id(i));
    std::vector<std::uint32_t> all;
    CHECK(eventually([&] {
      all = object.call<&ringer::rings>().get();
      return std::find(all.begin(), all.end(), 0U) == all.end();
    }));
    CHECK(std::count(all.begin(), all.end(), 1U) == static_cast<std::ptrdiff_t>(all.size()));
    CHECK(object.call<&ringer::odd_beats>().get() == 0);
    rings += all.size();
    beats += object.call<&ringer::beats>().get();
    object.call<&ringer::stop>().get();
  }
  CHECK(eventually([&] { return host.stats().schedules == 0 && host.stats().firing_schedules == 0; }));
  CHECK(host.stats().dead_letters == 0);
  MESSAGE(rings, " rings and ", beats, " beats in ", kills, " lives");
  CHECK(rings > kills);
  CHECK(beats > kills);
}

} // namespace
} // namespace dormouse::test::schedule_crash_test
