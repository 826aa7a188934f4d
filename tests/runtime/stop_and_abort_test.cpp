// The ends of objects and of the runtime, and what a turn finds of the one before.

#include "eventually.hpp"
#include "gate.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::stop_and_abort_test {

using namespace std::chrono_literals;

namespace {

struct lives {
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  std::atomic<int> at_once{0};
  std::atomic<int> most_at_once{0};
  std::atomic<int> seen_too_early{0};
  /// A destructor waits for this, though not for long: who goes on too early is seen.
  std::function<bool()> too_early = [] { return false; };
};
lives& counted() {
  static lives all;
  return all;
}

/// Takes its time to end.
class mortal : public durable_object {
public:
  mortal() {
    ++counted().begun;
    const auto now = ++counted().at_once;
    for (auto most = counted().most_at_once.load();
         most < now && !counted().most_at_once.compare_exchange_weak(most, now);) {
    }
  }
  ~mortal() override {
    if (eventually(counted().too_early, 50ms)) ++counted().seen_too_early;
    --counted().at_once;
    ++counted().ended;
  }

  void live() { ++times_; }

  template <class Archive> void serialize(Archive& ar) { ar(times_); }

  using methods = dormouse::methods<"MORTAL", method<"live", &mortal::live>>;

private:
  int times_ = 0;
};

std::atomic<int> looked{0};

/// Reads what storage may not give it.
class reader : public durable_object {
public:
  void read_jar() {
    (void)cookies();
    done_.push_back("jar");
  }
  void read_signal() {
    (void)aborted(stop_.signal());
    done_.push_back("signal");
  }
  void read_row() {
    (void)storage().get<int>("key");
    done_.push_back("row");
  }
  void read_and_hide() {
    try {
      (void)cookies();
    } catch (const failure&) {
      throw std::runtime_error("no cookies");
    }
    done_.push_back("hidden");
  }
  void rest() { done_.push_back("rest"); }
  void stop() { abort(stop_); }
  bool is_stopped() {
    const bool stopped = aborted(stop_.signal());
    ++looked;
    return stopped;
  }
  std::vector<std::string> done() const { return done_; }

  template <class Archive> void serialize(Archive& ar) { ar(done_, stop_); }

  using methods =
      dormouse::methods<"READER", method<"read_jar", &reader::read_jar>,
                        method<"read_signal", &reader::read_signal>, method<"read_row", &reader::read_row>,
                        method<"read_and_hide", &reader::read_and_hide>, method<"rest", &reader::rest>,
                        method<"stop", &reader::stop>, method<"is_stopped", &reader::is_stopped>,
                        method<"done", &reader::done>>;

private:
  std::vector<std::string> done_;
  abort_controller stop_;
};

using texts = std::vector<std::string>;

} // namespace

TEST_CASE("R33: when stop() returns every object has been destroyed") {
  std::atomic<bool> stopped{false};
  counted().too_early = [&stopped] { return stopped.load(); };
  for (int round = 0; round < 3; ++round) {
    test::scratch_directory directory;
    stopped = false;
    const auto begun = counted().begun.load();
    runtime running({.directory = directory.path()});
    running.define<mortal>();
    std::vector<std::future<void>> calls;
    for (int i = 0; i < 4; ++i)
      calls.push_back(running.get<mortal>(std::to_string(i)).call<&mortal::live>());
    for (auto& each : calls)
      value_of(std::move(each));
    CHECK(counted().begun == begun + 4);
    running.stop();
    stopped = true;
    CHECK(counted().ended == counted().begun);
  }
  REQUIRE(eventually([] { return counted().ended == counted().begun; })); // they look at `stopped`
  counted().too_early = [] { return false; };
}

TEST_CASE("R1: an object has been destroyed before it is made again") {
  test::scratch_directory directory;
  counted().most_at_once = 0;
  counted().seen_too_early = 0;
  counted().too_early = [] { return counted().at_once > 1; };
  runtime running({.directory = directory.path(), .idle_after = 0ms});
  running.define<mortal>();
  for (int i = 0; i < 20; ++i)
    value_of(running.get<mortal>("m").call<&mortal::live>());
  running.stop();
  CHECK(counted().most_at_once == 1);
  CHECK(eventually([] { return counted().at_once == 0; }));
  CHECK(counted().seen_too_early == 0);
  counted().too_early = [] { return false; };
}

TEST_CASE("R33: the turn behind one that aborts sees it") {
  test::scratch_directory directory;
  auto valve = std::make_shared<test::storage_valve>();
  runtime running({.directory = directory.path()}, {.wrap_engine = valve->wrap()});
  running.define<reader>();
  auto it = running.get<reader>("r");
  CHECK_FALSE(value_of(it.call<&reader::is_stopped>()));
  std::future<void> stopped;
  std::future<bool> seen;
  const auto before = looked.load();
  {
    test::gate::closing held(valve->writes);
    stopped = it.call<&reader::stop>();
    seen = it.call<&reader::is_stopped>();
    REQUIRE(eventually([&] { return looked > before; }, 10s));
  }
  value_of(std::move(stopped));
  CHECK(value_of(std::move(seen)));
  CHECK(value_of(it.call<&reader::is_stopped>()));
}

TEST_CASE("R33: an abort whose commit failed has not happened") {
  test::scratch_directory directory;
  auto valve = std::make_shared<test::storage_valve>();
  runtime running({.directory = directory.path()}, {.wrap_engine = valve->wrap()});
  running.define<reader>();
  auto it = running.get<reader>("r");
  CHECK_FALSE(value_of(it.call<&reader::is_stopped>()));
  valve->fail_writes();
  CHECK(test::error_of(it.call<&reader::stop>()).code == errc::storage_error);
  valve->heal();
  CHECK_FALSE(value_of(it.call<&reader::is_stopped>()));
}

TEST_CASE("R33: what storage does not give costs a post no try, nor its place") {
  struct kind_of_row {
    std::string name;
    char kind;
    std::future<void> (*read)(const object_ref<reader>&);
  };
  const std::vector<kind_of_row> kinds{
      {"jar", 'C', [](const object_ref<reader>& it) { return it.post<&reader::read_jar>(); }},
      {"signal", 'S', [](const object_ref<reader>& it) { return it.post<&reader::read_signal>(); }},
      {"row", 'K', [](const object_ref<reader>& it) { return it.post<&reader::read_row>(); }},
      {"hidden", 'C', [](const object_ref<reader>& it) { return it.post<&reader::read_and_hide>(); }},
  };
  for (const auto& [name, kind, read] : kinds) {
    const auto& this_name = name; // clang 14 captures no structured binding
    CAPTURE(this_name);
    test::scratch_directory directory;
    auto valve = std::make_shared<test::storage_valve>();
    runtime running({.directory = directory.path()}, {.wrap_engine = valve->wrap()});
    running.define<reader>();
    auto it = running.get<reader>("r");
    valve->fail_reads(kind);
    value_of(read(it));
    REQUIRE(eventually([&] { return valve->failed_reads() >= 1; }, 10s));
    value_of(it.post<&reader::rest>());
    valve->heal();
    CHECK(eventually([&] { return value_of(it.call<&reader::done>()) == texts{this_name, "rest"}; }, 10s));
  }
}

} // namespace dormouse::test::stop_and_abort_test
