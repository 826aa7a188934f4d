// What kills the process, and kills it again at the next start.

#include "crash/child_process.hpp"
#include "crash/poison.hpp"
#include "crash/seeded_kill.hpp"
#include "eventually.hpp"
#include "upstream/upstream_server.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

namespace dormouse::test::poison_test {
namespace {

constexpr int deaths = 3; ///< the default of options::max_deaths

/// How often the process died, and what its last life, which did not, said.
struct course {
  int died = 0;
  std::vector<std::string> lines;

  std::size_t count(std::string_view beginning) const {
    return static_cast<std::size_t>(std::count_if(
        lines.begin(), lines.end(), [&](const std::string& line) { return line.starts_with(beginning); }));
  }
  std::string first(std::string_view beginning) const {
    for (const auto& line : lines)
      if (line.starts_with(beginning)) return line;
    return {};
  }
};

/// Starts it until it is spared.
course live(const std::string& place, const std::string& way) {
  scratch_directory scratch;
  samples::upstream_server upstream;
  upstream.start();
  course out;
  for (int life = 1; life <= deaths + 2; ++life) {
    CAPTURE(life);
    child_process child({"live", (scratch.path() / "store").string(), place, way, life == 1 ? "plant" : "-",
                         upstream.url() + "/k/poison"});
    while (auto line = child.read_line())
      out.lines.push_back(*line);
    if (out.count("end") != 0) {
      CHECK(out.count("served") > 0);
      CHECK(child.wait() == "");
      return out;
    }
    ++out.died;
    CHECK(child.wait() != "");
  }
  return out;
}

TEST_CASE("R22: a post whose handler segfaults is a dead letter after three deaths") {
  const auto seen = live("post", "segfault");
  CHECK(seen.died == deaths);
  CHECK(seen.count("letter VICTIM.eat 3 quarantined: ") == 1);
  CHECK(seen.first("letter").find("died 3 times in a row") != std::string::npos);
  CHECK(seen.first("letter").find("SIGSEGV") != std::string::npos);
  CHECK(seen.first("letter").find("poison_child+0x") != std::string::npos);
  CHECK(seen.count("works 1") == 1);
}

TEST_CASE("R22: a post whose handler starts a thread that aborts is a dead letter after three deaths") {
  const auto seen = live("post", "thread");
  CHECK(seen.died == deaths);
  CHECK(seen.count("letter VICTIM.eat 3 quarantined: ") == 1);
  CHECK(seen.count("works 1") == 1);
}

TEST_CASE("R22: a result whose handler aborts is a dead letter after three deaths") {
  const auto seen = live("result", "abort");
  CHECK(seen.died == deaths);
  CHECK(seen.count("letter VICTIM.on_result 3 quarantined: ") == 1);
  CHECK(seen.first("letter").find("SIGABRT") != std::string::npos);
  CHECK(seen.count("works 1") == 1);
}

TEST_CASE("R22: a task that overflows the stack is stuck after three deaths") {
  const auto seen = live("task", "overflow");
  CHECK(seen.died == deaths);
  CHECK(seen.count("stuck 1 ") == 1);
  CHECK(seen.first("stuck").find("died 3 times in a row") != std::string::npos);
  CHECK(seen.first("stuck").find("SIGSEGV") != std::string::npos);
  CHECK(seen.count("letter") == 0);
  CHECK(seen.count("works 1") == 1);
}

TEST_CASE("R22: a schedule whose method calls std::terminate is a dead letter after three deaths") {
  const auto seen = live("schedule", "terminate");
  CHECK(seen.died == deaths);
  CHECK(seen.count("letter VICTIM.on_time 3 quarantined: ") == 1);
  CHECK(seen.first("letter").find("SIGABRT") != std::string::npos);
  CHECK(seen.count("works 1") == 1);
}

TEST_CASE("R22: a task that takes all memory is stuck after three deaths") {
  const auto seen = live("task", "memory");
  CHECK(seen.died == deaths);
  CHECK(seen.count("stuck 1 ") == 1);
  CHECK(seen.first("stuck").find("SIGABRT") != std::string::npos);
  CHECK(seen.count("works 1") == 1);
}

TEST_CASE("R22: an object is kept asleep when its on_wake had the process killed three times, until it is "
          "released") {
  const auto seen = live("on_wake", "killed");
  CHECK(seen.died == deaths);
  CHECK(seen.count("asleep SLEEPER") == 1);
  CHECK(seen.count("letter") == 0);
  CHECK(seen.lines.at(seen.lines.size() - 4) == "works 1"); // of the other
  CHECK(seen.lines.at(seen.lines.size() - 3) == "works quarantined");
  CHECK(seen.lines.at(seen.lines.size() - 2) == "works 1");
}

TEST_CASE("R22: an object is kept asleep when its destructor has segfaulted three times, until it is "
          "released") {
  const auto seen = live("destructor", "segfault");
  CHECK(seen.died == deaths);
  CHECK(seen.count("asleep WRECK") == 1);
  CHECK(seen.lines.at(seen.lines.size() - 3) == "works quarantined");
  CHECK(seen.lines.at(seen.lines.size() - 2) == "works 1");
}

TEST_CASE(
    "R23: with on_stuck_turn = abort a post whose handler does not end is a dead letter after three deaths") {
  const auto seen = live("post", "hang");
  CHECK(seen.died == deaths);
  CHECK(seen.count("letter VICTIM.eat 3 quarantined: ") == 1);
  CHECK(seen.first("letter").find("options::max_turn = 500 ms") != std::string::npos);
  CHECK(seen.count("works 1") == 1);
}

TEST_CASE("R23: stop returns after its grace period, says who has not ended, and the process can end") {
  scratch_directory scratch;
  child_process child({"stop", (scratch.path() / "store").string()});
  CHECK(child.read_line(std::chrono::seconds(10)).value_or("nothing") ==
        "unended " + to_string(address{"VICTIM", "v"}) + " eat");
  CHECK_FALSE(child.read_line(std::chrono::seconds(10)));
  CHECK(child.wait() == "");
}

/// DORMOUSE_POISON_KILLS, or a few.
int kills() {
  const char* given = std::getenv("DORMOUSE_POISON_KILLS");
  return given != nullptr ? std::atoi(given) : 25;
}

TEST_CASE("R22: kill -9 at any time condemns nobody") {
  std::mt19937_64 random(crash_seed());
  scratch_directory scratch;
  const auto directory = scratch.path() / "store";
  for (int life = 1; life <= kills(); ++life) {
    CAPTURE(life);
    const auto progress = random() % 100;
    const auto moment = random_moment(random, std::chrono::microseconds(20'000));
    child_process child({"work", directory.string()});
    for (std::uint64_t begun = 0; begun < progress;) {
      auto line = child.read_line();
      REQUIRE_MESSAGE(line, "the child died by itself: ", child.kill());
      begun = std::stoull(*line);
    }
    spin(moment);
    REQUIRE(child.kill() == "");
  }

  runtime host(worker_options(directory));
  host.define<worker>();
  MESSAGE(host.stats().noted_deaths, " notes of the last death");
  for (std::uint64_t i = 0; i < worker_count; ++i) {
    auto object = host.get<worker>(worker_id(i));
    CHECK(eventually([&] {
      const auto jobs = object.call<&worker::jobs>().get();
      return object.call<&worker::ticks>().get() == jobs && object.call<&worker::notes>().get() == jobs;
    }));
  }
  CHECK(eventually([&] { return host.stats().schedules == 0 && host.stats().pending_messages == 0; }));
  CHECK(host.tasks().list({.state = task_state::stuck}).empty());
  CHECK(host.dead_letters().list().empty());
  CHECK(host.stats().quarantined_objects.empty());
}

} // namespace
} // namespace dormouse::test::poison_test
