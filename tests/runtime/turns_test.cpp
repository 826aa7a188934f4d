#include "eventually.hpp"
#include "gate.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace dormouse::test::turns_test {

using namespace std::chrono_literals;

namespace {

/// What the objects of a test share with it.
struct world {
  test::gate turns;
  std::atomic<bool> refuses{false};
  std::atomic<int> entered{0};
  std::array<std::atomic<bool>, 8> busy{};
  std::atomic<int> overlaps{0};
};
std::unique_ptr<world> here;

class counter : public durable_object {
public:
  int add(int amount) {
    ++here->entered;
    total_ += amount;
    return total_;
  }
  int total() const { return total_; }

  int add_behind_gate(int amount) {
    ++here->entered;
    here->turns.pass();
    return total_ += amount;
  }
  void add_or_refuse(int amount) {
    total_ += amount;
    if (here->refuses) throw std::runtime_error("not today");
  }
  void add_and_throw(int amount) {
    total_ += amount;
    throw std::runtime_error("no good");
  }
  void add_and_throw_a_number(int amount) {
    total_ += amount;
    throw 7;
  }
  void add_and_fail(int amount) {
    total_ += amount;
    throw failure({errc::invalid_request, "the caller's own words"});
  }
  int throw_reading() const { throw std::runtime_error("cannot read"); }
  void grow(std::uint64_t bytes) {
    ++total_;
    text_.assign(bytes, 'x');
  }
  void note(std::string text) { total_ += static_cast<int>(text.size()); }
  std::string echo(std::string text) const { return text; }

  template <class Archive> void serialize(Archive& ar) {
    ar(total_, text_);
    if (text_ == "xxx") throw std::runtime_error("three are too many");
  }

  using methods = dormouse::methods<
      "COUNTER", method<"add", &counter::add>, method<"total", &counter::total>,
      method<"add_behind_gate", &counter::add_behind_gate>, method<"add_or_refuse", &counter::add_or_refuse>,
      method<"add_and_throw", &counter::add_and_throw>,
      method<"add_and_throw_a_number", &counter::add_and_throw_a_number>,
      method<"add_and_fail", &counter::add_and_fail>, method<"throw_reading", &counter::throw_reading>,
      method<"grow", &counter::grow>, method<"note", &counter::note>, method<"echo", &counter::echo>>;

private:
  int total_ = 0;
  std::string text_;
};

class impostor : public durable_object {
public:
  int total() const { return -1; }
  using methods = dormouse::methods<"COUNTER", method<"total", &impostor::total>>;
};

/// Counts what reached it, by sender, and whether it came in order.
class register_desk : public durable_object {
public:
  void take(std::uint32_t sender, std::uint32_t number) {
    enter();
    if (number != last_[sender] + 1) ++disorder_;
    last_[sender] = number;
    leave();
  }
  std::uint32_t last(std::uint32_t sender) const {
    enter();
    auto found = last_.find(sender);
    auto number = found == last_.end() ? 0 : found->second;
    leave();
    return number;
  }
  std::uint32_t disorder() const { return disorder_; }

  template <class Archive> void serialize(Archive& ar) { ar(last_, disorder_); }

  using methods =
      dormouse::methods<"DESK", method<"take", &register_desk::take>, method<"last", &register_desk::last>,
                        method<"disorder", &register_desk::disorder>>;

private:
  std::atomic<bool>& busy() const { return here->busy[std::stoul(instance_id())]; }
  void enter() const {
    if (busy().exchange(true)) ++here->overlaps;
  }
  void leave() const { busy() = false; }

  std::map<std::uint32_t, std::uint32_t> last_;
  std::uint32_t disorder_ = 0;
};

class newborn : public durable_object {
public:
  void on_create() override {
    ++creations_;
    if (here->refuses) throw std::runtime_error("not born yet");
  }
  void on_wake() override { ++wakes_; }
  int creations() const { return creations_; }
  int wakes() const { return wakes_; }

  template <class Archive> void serialize(Archive& ar) { ar(creations_, wakes_); }

  using methods = dormouse::methods<"NEWBORN", method<"creations", &newborn::creations>,
                                    method<"wakes", &newborn::wakes>>;

private:
  int creations_ = 0;
  int wakes_ = 0;
};

class light_sleeper : public durable_object {
public:
  void on_wake() override {
    ++tries_;
    if (here->refuses) throw std::runtime_error("five more minutes");
  }
  int tries() const { return tries_; }

  template <class Archive> void serialize(Archive& ar) { ar(tries_); }

  using methods = dormouse::methods<"SLEEPER", method<"tries", &light_sleeper::tries>>;

private:
  int tries_ = 0;
};

struct fixture {
  test::scratch_directory directory;

  fixture() { here = std::make_unique<world>(); }

  options settings() const { return {.directory = directory.path()}; }

  bool sleeps(const runtime& running) const {
    return eventually([&running] { return running.stats().active_objects == 0; });
  }
};

} // namespace

// --- R1 ----------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R1: one turn at a time, in order per sender") {
  constexpr std::uint32_t senders = 4;
  constexpr std::uint32_t objects = 8;
  constexpr std::uint32_t numbers = 300;
  runtime running(settings());
  running.define<register_desk>();
  std::atomic<int> stale_reads{0};
  std::vector<std::thread> threads;
  for (std::uint32_t sender = 0; sender < senders; ++sender)
    threads.emplace_back([&running, &stale_reads, sender] {
      std::vector<std::future<void>> done;
      std::vector<std::pair<std::uint32_t, std::future<std::uint32_t>>> reads;
      for (std::uint32_t number = 1; number <= numbers; ++number)
        for (std::uint32_t object = 0; object < objects; ++object) {
          auto desk = running.get<register_desk>(std::to_string(object));
          done.push_back(desk.call<&register_desk::take>(sender, number));
          if (number % 10 == 0) reads.emplace_back(number, desk.call<&register_desk::last>(sender));
        }
      for (auto& each : done)
        value_of(std::move(each));
      for (auto& [number, read] : reads)
        if (value_of(std::move(read)) != number) ++stale_reads;
    });
  for (auto& thread : threads)
    thread.join();
  for (std::uint32_t object = 0; object < objects; ++object) {
    auto desk = running.get<register_desk>(std::to_string(object));
    CHECK(value_of(desk.call<&register_desk::disorder>()) == 0);
    for (std::uint32_t sender = 0; sender < senders; ++sender)
      CHECK(value_of(desk.call<&register_desk::last>(sender)) == numbers);
  }
  CHECK(here->overlaps == 0);
  CHECK(stale_reads == 0);
  CHECK(running.stats().turns == senders * objects * numbers);
  CHECK(running.stats().active_objects_peak == objects);
}

// --- R2 ----------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R2: on_create runs once in a life, on_wake on every activation") {
  auto chosen = settings();
  chosen.idle_after = 0ms;
  for (int process = 0; process < 2; ++process) {
    runtime running(chosen);
    running.define<newborn>();
    auto child = running.get<newborn>("x");
    for (int activation = 1; activation <= 3; ++activation) {
      CHECK(value_of(child.call<&newborn::creations>()) == 1);
      REQUIRE(sleeps(running));
      CHECK(running.stats().wakes == static_cast<std::uint64_t>(2 * activation - 1));
      CHECK(value_of(child.call<&newborn::wakes>()) == process * 6 + 2 * activation);
      REQUIRE(sleeps(running));
    }
  }
}

TEST_CASE_FIXTURE(fixture,
                  "R2: on_create that throws gives the caller its error, and the next use tries again") {
  runtime running(settings());
  running.define<newborn>();
  auto child = running.get<newborn>("x");
  here->refuses = true;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto why = error_of(child.call<&newborn::creations>());
    CHECK(why.code == errc::handler_failed);
    CHECK(contains(why.message, "on_create"));
    CHECK(contains(why.message, "NEWBORN/x"));
    CHECK(contains(why.message, "not born yet"));
  }
  CHECK(running.stats().turns == 0);
  here->refuses = false;
  CHECK(value_of(child.call<&newborn::creations>()) == 1);
  CHECK(value_of(child.call<&newborn::wakes>()) == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "R2: on_wake that throws gives the caller its error, and the next use tries again") {
  runtime running(settings());
  running.define<light_sleeper>();
  auto sleeper = running.get<light_sleeper>("x");
  here->refuses = true;
  const auto why = error_of(sleeper.call<&light_sleeper::tries>());
  CHECK(why.code == errc::handler_failed);
  CHECK(contains(why.message, "on_wake"));
  CHECK(contains(why.message, "five more minutes"));
  here->refuses = false;
  CHECK(value_of(sleeper.call<&light_sleeper::tries>()) == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "R2: an object whose on_create failed does not exist, and nothing of it stays in memory") {
  auto chosen = settings();
  chosen.idle_after = 0ms;
  runtime running(chosen);
  running.define<newborn>();
  here->refuses = true;
  (void)error_of(running.get<newborn>("x").call<&newborn::creations>());
  REQUIRE(sleeps(running));
  CHECK(eventually([&running] { return running.stats().active_bytes == 0; }));
}

// --- R3 ----------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R3: a handler that throws leaves no trace") {
  runtime running(settings());
  running.define<counter>();
  auto object = running.get<counter>("x");
  CHECK(value_of(object.call<&counter::add>(5)) == 5);

  const auto why = error_of(object.call<&counter::add_and_throw>(100));
  CHECK(why.code == errc::handler_failed);
  for (const std::string part : {"COUNTER.add_and_throw", "COUNTER/x", "no good"})
    CHECK(contains(why.message, part));
  CHECK(value_of(object.call<&counter::total>()) == 5);

  CHECK(error_of(object.call<&counter::add_and_throw_a_number>(100)).code == errc::handler_failed);
  CHECK(value_of(object.call<&counter::total>()) == 5);

  CHECK(error_of(object.call<&counter::add_and_fail>(100)) ==
        error{errc::invalid_request, "the caller's own words", {"COUNTER", "x"}});
  CHECK(value_of(object.call<&counter::add>(1)) == 6);
  CHECK(running.stats().failed_turns == 3);
  CHECK(running.stats().turns == 2);
}

TEST_CASE_FIXTURE(fixture, "R3: a first turn that throws leaves no object behind") {
  {
    runtime running(settings());
    running.define<counter>();
    (void)error_of(running.get<counter>("x").call<&counter::add_and_throw>(100));
    CHECK(running.stats().commits == 0);
  }
  runtime running(settings());
  running.define<counter>();
  CHECK(value_of(running.get<counter>("x").call<&counter::total>()) == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R3: a handler that throws while earlier commits are in flight loses its own turn only") {
  auto valve = std::make_shared<test::storage_valve>();
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  running.define<counter>();
  auto object = running.get<counter>("x");
  std::future<int> before;
  std::future<void> thrown;
  std::future<int> after;
  std::future<int> read;
  {
    test::gate::closing held(valve->writes);
    before = object.call<&counter::add>(1);
    REQUIRE(eventually([&valve] { return valve->writes.waiting() == 1; }));
    thrown = object.call<&counter::add_and_throw>(100);
    after = object.call<&counter::add>(2);
    read = object.call<&counter::total>();
    REQUIRE(eventually([&running] { return running.stats().failed_turns == 1; }));
    // The error may have come of state that is not durable yet, so it waits too.
    CHECK_FALSE(test::is_ready(thrown));
    CHECK_FALSE(test::is_ready(after));
  }
  CHECK(value_of(std::move(before)) == 1);
  CHECK(error_of(std::move(thrown)).code == errc::handler_failed);
  CHECK(value_of(std::move(after)) == 3);
  CHECK(value_of(std::move(read)) == 3);
}

TEST_CASE_FIXTURE(fixture, "R3: a state that cannot be saved undoes its turn") {
  auto chosen = settings();
  chosen.max_state_bytes = 4096;
  runtime running(chosen);
  running.define<counter>();
  auto object = running.get<counter>("x");
  CHECK(value_of(object.call<&counter::add>(5)) == 5);

  const auto large = error_of(object.call<&counter::grow>(5000));
  CHECK(large.code == errc::too_large);
  CHECK(contains(large.message, "COUNTER/x"));
  CHECK(contains(large.message, "options::max_state_bytes = 4096"));
  CHECK(value_of(object.call<&counter::total>()) == 5);

  const auto thrown = error_of(object.call<&counter::grow>(3));
  CHECK(thrown.code == errc::handler_failed);
  CHECK(contains(thrown.message, "three are too many"));
  CHECK(value_of(object.call<&counter::total>()) == 5);
}

TEST_CASE_FIXTURE(fixture, "R3: a read that throws disturbs nothing") {
  runtime running(settings());
  running.define<counter>();
  auto object = running.get<counter>("x");
  value_of(object.call<&counter::add>(5));
  CHECK(contains(error_of(object.call<&counter::throw_reading>()).message, "cannot read"));
  CHECK(value_of(object.call<&counter::total>()) == 5);
  CHECK(running.stats().commits == 1);
}

// --- post --------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "post: runs once, after the future is ready at the latest") {
  runtime running(settings());
  running.define<counter>();
  auto object = running.get<counter>("x");
  for (int i = 0; i < 100; ++i)
    value_of(object.post<&counter::add>(1));
  CHECK(eventually([&object] { return value_of(object.call<&counter::total>()) == 100; }));
  CHECK(here->entered == 100);
  CHECK(running.stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture, "post: survives a restart, and runs once") {
  here->refuses = true;
  {
    runtime running(settings());
    running.define<counter>();
    value_of(running.get<counter>("x").post<&counter::add_or_refuse>(7));
    REQUIRE(eventually([&running] { return running.stats().failed_turns == 1; }));
  }
  here->refuses = false;
  for (int process = 0; process < 2; ++process) {
    runtime running(settings());
    running.define<counter>();
    auto object = running.get<counter>("x");
    CHECK(eventually([&object] { return value_of(object.call<&counter::total>()) == 7; }));
  }
  runtime running(settings());
  running.define<counter>();
  CHECK(value_of(running.get<counter>("x").call<&counter::total>()) == 7);
}

TEST_CASE_FIXTURE(
    fixture, "R7: a message whose handler keeps throwing is tried five times and becomes a dead letter") {
  runtime running(settings());
  running.define<counter>();
  auto object = running.get<counter>("x");
  value_of(object.post<&counter::add_and_throw>(1));
  value_of(object.post<&counter::add>(2)); // does not wait for it
  CHECK(eventually([&object] { return value_of(object.call<&counter::total>()) == 2; }));
  CHECK(eventually([&running] { return running.stats().dead_letters == 1; }));
  CHECK(running.stats().failed_turns == 5);
  CHECK(value_of(object.call<&counter::total>()) == 2);
}

TEST_CASE_FIXTURE(fixture, "R7: a post that comes while its class is being defined runs once") {
  auto valve = std::make_shared<test::storage_valve>();
  valve->hold_scans('I');
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  std::thread definer;
  bool posted = false;
  {
    test::gate::closing held(valve->scans); // the walk over what is in the inbox has not begun
    definer = std::thread([&running] { running.define<counter>(); });
    REQUIRE(eventually([&valve] { return valve->scans.waiting() == 1; }));
    try {
      value_of(running.get<counter>("x").post<&counter::add>(1));
      posted = true;
    } catch (const failure& e) {
      CHECK(e.code() == errc::unknown_binding);
    }
  }
  definer.join();
  auto object = running.get<counter>("x");
  if (!posted) value_of(object.post<&counter::add>(1));
  value_of(object.post<&counter::add>(10)); // behind everything that the walk found
  CHECK(eventually([&object] { return value_of(object.call<&counter::total>()) >= 11; }));
  CHECK(value_of(object.call<&counter::total>()) == 11);
}

TEST_CASE_FIXTURE(fixture, "R7: a class that many threads define at once gets what is in its inbox once") {
  constexpr int posts = 20;
  constexpr int definers = 8;
  here->refuses = true;
  {
    runtime running(settings());
    running.define<counter>();
    for (int i = 0; i < posts; ++i)
      value_of(running.get<counter>(std::to_string(i)).post<&counter::add_or_refuse>(1));
    REQUIRE(eventually([&running] { return running.stats().failed_turns >= posts; }));
  }
  here->refuses = false;
  auto valve = std::make_shared<test::storage_valve>();
  valve->hold_scans('I');
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  std::vector<std::thread> threads;
  std::atomic<int> begun{0};
  {
    test::gate::closing held(valve->scans);
    for (int i = 0; i < definers; ++i)
      threads.emplace_back([&running, &begun] {
        ++begun;
        running.define<counter>();
      });
    REQUIRE(eventually([&] { return begun == definers && valve->scans.waiting() == 1; }));
  }
  for (auto& thread : threads)
    thread.join();
  for (int i = 0; i < posts; ++i) {
    auto object = running.get<counter>(std::to_string(i));
    CHECK(eventually([&object] { return value_of(object.call<&counter::total>()) >= 1; }));
    value_of(object.call<&counter::add>(10));
  }
  running.stop();
  runtime again(settings());
  again.define<counter>();
  for (int i = 0; i < posts; ++i)
    CHECK(value_of(again.get<counter>(std::to_string(i)).call<&counter::total>()) == 11);
}

// --- R18, R19, R20 -----------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R18: a second runtime on the same directory is refused by name") {
  {
    runtime running(settings());
    const auto why = error_thrown_by([this] { runtime second(settings()); });
    CHECK(why.code == errc::directory_locked);
    CHECK(contains(why.message, directory.path().string()));
    running.define<counter>(); // the first is unharmed
    CHECK(value_of(running.get<counter>("x").call<&counter::add>(1)) == 1);
  }
  runtime next(settings());
  next.define<counter>();
  CHECK(value_of(next.get<counter>("x").call<&counter::total>()) == 1);
}

TEST_CASE_FIXTURE(fixture, "R18: a directory that cannot be made or written is refused by name") {
  const auto file = directory.path() / "file";
  std::ofstream(file) << "not a directory";
  for (const auto& path : {file / "below", file, std::filesystem::path("/proc/dormouse")}) {
    CAPTURE(path.string());
    const auto why = error_thrown_by([&path] { runtime running({.directory = path}); });
    CHECK(why.code == errc::directory_unusable);
    CHECK(contains(why.message, path.string()));
  }
}

TEST_CASE_FIXTURE(fixture, "R18: a directory that is there and can only be read is refused by name") {
  if (::geteuid() == 0) return; // whom permissions do not hold back
  const auto closed = directory.path() / "closed";
  std::filesystem::create_directory(closed);
  std::filesystem::permissions(closed,
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  const auto why = error_thrown_by([&closed] { runtime running({.directory = closed}); });
  std::filesystem::permissions(closed, std::filesystem::perms::owner_all);
  CHECK(why.code == errc::directory_unusable);
  CHECK(contains(why.message, closed.string()));
}

TEST_CASE_FIXTURE(
    fixture, "R19: past max_mailbox_messages a call is answered with overloaded, and nothing else is lost") {
  auto chosen = settings();
  chosen.max_mailbox_messages = 5;
  runtime running(chosen);
  running.define<counter>();
  auto object = running.get<counter>("x");
  std::vector<std::future<int>> accepted;
  {
    test::gate::closing held(here->turns);
    accepted.push_back(object.call<&counter::add_behind_gate>(1));
    REQUIRE(eventually([] { return here->turns.waiting() == 1; }));
    for (int i = 0; i < 4; ++i)
      accepted.push_back(object.call<&counter::add>(1));
    for (int i = 0; i < 3; ++i) {
      const auto why = error_of(object.call<&counter::add>(100));
      CHECK(why.code == errc::overloaded);
      CHECK(contains(why.message, "COUNTER/x"));
      CHECK(contains(why.message, "options::max_mailbox_messages"));
      CHECK(why.overloaded());
      CHECK(why.retryable());
      CHECK(why.origin == address{"COUNTER", "x"});
    }
    CHECK(value_of(running.get<counter>("other").call<&counter::add>(1)) == 1);
    CHECK(running.stats().overloaded == 3);
  }
  for (auto& each : accepted)
    value_of(std::move(each));
  CHECK(value_of(object.call<&counter::total>()) == 5);
}

TEST_CASE_FIXTURE(fixture, "R19: past max_pending_messages every call and post is answered with overloaded") {
  auto chosen = settings();
  chosen.max_pending_messages = 4;
  runtime running(chosen);
  running.define<counter>();
  std::vector<std::future<int>> accepted;
  {
    test::gate::closing held(here->turns);
    for (int i = 0; i < 4; ++i) // to one object: others would take all the threads there are
      accepted.push_back(running.get<counter>("x").call<&counter::add_behind_gate>(1));
    for (const auto& why : {error_of(running.get<counter>("other").call<&counter::add>(1)),
                            error_of(running.get<counter>("other").post<&counter::add>(1)),
                            error_of(running.get<counter>("other").call<&counter::total>())}) {
      CHECK(why.code == errc::overloaded);
      CHECK(contains(why.message, "options::max_pending_messages"));
      CHECK(why.overloaded());
      CHECK(why.origin == address{"COUNTER", "other"});
    }
    CHECK(running.stats().pending_messages == 4);
  }
  for (auto& each : accepted)
    value_of(std::move(each));
  CHECK(eventually([&running] { return running.stats().pending_messages == 0; }));
  CHECK(value_of(running.get<counter>("x").call<&counter::total>()) == 4);
  CHECK(value_of(running.get<counter>("other").call<&counter::total>()) == 0);
}

TEST_CASE_FIXTURE(fixture, "R20: stopping lets what was called finish, and refuses what comes later") {
  std::optional<object_ref<counter>> object;
  std::vector<std::future<int>> before;
  {
    runtime running(settings());
    running.define<counter>();
    object = running.get<counter>("x");
    for (int i = 0; i < 100; ++i)
      before.push_back(object->call<&counter::add>(1));
    running.stop();
    for (auto& each : before)
      CHECK(test::is_ready(each));
    CHECK(error_of(object->call<&counter::add>(1)).code == errc::stopped);
    CHECK(error_of(object->post<&counter::add>(1)).code == errc::stopped);
    CHECK(error_thrown_by([&running] { running.define<newborn>(); }).code == errc::stopped);
    CHECK(running.stats().active_objects == 0);
    CHECK(running.stats().commits == 100);
    running.stop(); // again: nothing
  }
  CHECK(error_of(object->call<&counter::total>()).code == errc::stopped); // a handle may outlive its runtime
  runtime next(settings());
  next.define<counter>();
  CHECK(value_of(next.get<counter>("x").call<&counter::total>()) == 100);
}

TEST_CASE_FIXTURE(fixture,
                  "R20: what was acknowledged while the runtime stopped is there, and nothing else is") {
  std::array<std::atomic<int>, 4> acknowledged{};
  {
    runtime running(settings());
    running.define<counter>();
    std::vector<std::thread> threads;
    for (auto& count : acknowledged)
      threads.emplace_back([&running, &count, id = std::to_string(threads.size())] {
        auto object = running.get<counter>(id);
        try {
          for (;;) {
            value_of(object.call<&counter::add>(1));
            ++count;
          }
        } catch (const failure& e) {
          if (e.code() != errc::stopped) count = -1;
        }
      });
    CHECK(eventually([&acknowledged] { return acknowledged[0] > 10 && acknowledged[3] > 10; }));
    running.stop();
    for (auto& thread : threads)
      thread.join();
    CHECK(running.stats().pending_messages == 0);
  }
  runtime next(settings());
  next.define<counter>();
  for (std::size_t i = 0; i < acknowledged.size(); ++i)
    CHECK(value_of(next.get<counter>(std::to_string(i)).call<&counter::total>()) == acknowledged[i]);
}

TEST_CASE_FIXTURE(fixture, "a runtime can be moved") {
  runtime first(settings());
  first.define<counter>();
  auto object = first.get<counter>("x");
  runtime second(std::move(first));
  CHECK(value_of(object.call<&counter::add>(1)) == 1);
  test::scratch_directory elsewhere;
  second = runtime({.directory = elsewhere.path()});
  CHECK(error_of(object.call<&counter::add>(1)).code == errc::stopped);
  second.define<counter>();
  CHECK(value_of(second.get<counter>("x").call<&counter::total>()) == 0);
}

// --- bad input ---------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "bad input: bindings, methods and arguments are refused by name") {
  runtime running(settings());
  auto unknown = error_thrown_by([&running] { (void)running.get<counter>("x"); });
  CHECK(unknown.code == errc::unknown_binding);
  CHECK(contains(unknown.message, "COUNTER"));
  running.define<counter>();
  running.define<counter>(); // the same again: nothing

  auto taken = error_thrown_by([&running] { running.define<impostor>(); });
  CHECK(taken.code == errc::invalid_binding);
  CHECK(contains(taken.message, "COUNTER"));

  auto untyped = running.get(address{"COUNTER", "x"});
  CHECK(value_of(untyped.call<int>("add", 3)) == 3);
  CHECK(value_of(untyped.call<int>("total")) == 3);
  auto no_method = error_thrown_by([&untyped] { (void)untyped.call<int>("subtract", 1); });
  CHECK(no_method.code == errc::unknown_method);
  CHECK(contains(no_method.message, "COUNTER"));
  CHECK(contains(no_method.message, "subtract"));
  CHECK(error_of(untyped.call<int>("add")).code == errc::bad_arguments);
  CHECK(error_of(untyped.call<int>("add", 1, 2)).code == errc::bad_arguments);
  CHECK(error_of(untyped.call<std::string>("echo", ~std::uint64_t{0})).code ==
        errc::bad_arguments); // a length of 2^64-1
  CHECK(value_of(untyped.call<int>("total")) == 3);

  CHECK(error_thrown_by([&running] { (void)running.get({"NOBODY", "x"}); }).code == errc::unknown_binding);
  CHECK(error_thrown_by([&running] {
          (void)running.get({"no-binding", "x"});
        }).code == errc::invalid_binding);
}

TEST_CASE_FIXTURE(fixture, "bad input: an instance id is 1 to 1024 bytes of UTF-8") {
  runtime running(settings());
  running.define<counter>();
  for (const auto& id :
       {std::string(), std::string(1025, 'x'), std::string("\xff\xfe"), std::string("\xc0\x80")}) {
    CAPTURE(id.size());
    const auto why = error_thrown_by([&running, &id] { (void)running.get<counter>(id); });
    CHECK(why.code == errc::invalid_instance_id);
    CHECK(contains(why.message, "COUNTER"));
  }
  CHECK(contains(error_thrown_by([&running] { (void)running.get<counter>(std::string(1025, 'x')); }).message,
                 "1024"));
  for (const auto& id : {std::string(1024, 'x'), std::string("a\0b", 3), std::string("a\0", 2),
                         std::string("\xf0\x9f\x90\xad")})
    CHECK(value_of(running.get<counter>(id).call<&counter::add>(1)) == 1);
}

TEST_CASE_FIXTURE(fixture, "bad input: a post over max_inline_bytes is refused before anything is written") {
  auto chosen = settings();
  chosen.max_inline_bytes = 2048;
  runtime running(chosen);
  running.define<counter>();
  auto object = running.get<counter>("x");
  value_of(object.post<&counter::note>(std::string(2000, 'x')));
  CHECK(eventually([&object] { return value_of(object.call<&counter::total>()) == 2000; }));
  const auto before = running.stats().commits;
  const auto why = error_of(object.post<&counter::note>(std::string(2048, 'x')));
  CHECK(why.code == errc::too_large);
  CHECK(contains(why.message, "options::max_inline_bytes = 2048"));
  CHECK(value_of(object.call<&counter::total>()) == 2000);
  CHECK(running.stats().commits == before);
}

TEST_CASE_FIXTURE(fixture, "bad input: an option out of its range is refused by name") {
  const auto refused = [this](const std::string& name, auto change) {
    CAPTURE(name);
    auto chosen = settings();
    change(chosen);
    const auto why = error_thrown_by([&chosen] { runtime running(chosen); });
    CHECK(why.code == errc::invalid_option);
    CHECK(contains(why.message, "options::" + name));
  };
  refused("directory", [](options& o) { o.directory.clear(); });
  refused("allow", [](options& o) { o.allow = {"http://example.com"}; });
  refused("idle_after", [](options& o) { o.idle_after = -1ms; });
  refused("max_active_objects", [](options& o) { o.max_active_objects = 0; });
  refused("max_active_bytes", [](options& o) { o.max_active_bytes = 0; });
  refused("max_mailbox_messages", [](options& o) { o.max_mailbox_messages = 0; });
  refused("max_pending_messages", [](options& o) { o.max_pending_messages = 0; });
  refused("max_inline_bytes", [](options& o) { o.max_inline_bytes = 10; });
  refused("max_body_bytes", [](options& o) { o.max_body_bytes = std::size_t{2} << 30U; });
  refused("max_header_bytes", [](options& o) { o.max_header_bytes = 1; });
  refused("max_state_bytes", [](options& o) { o.max_state_bytes = std::size_t{2} << 30U; });
  refused("proxy_workers", [](options& o) { o.proxy_workers = 5000; });
  refused("max_in_flight", [](options& o) { o.max_in_flight = 0; });
  refused("max_in_flight_per_origin", [](options& o) { o.max_in_flight_per_origin = 0; });
  refused("max_queued_fetches", [](options& o) { o.max_queued_fetches = 0; });
  refused("max_window", [](options& o) { o.max_window = 1; });
  refused("default_timeout", [](options& o) { o.default_timeout = 0ms; });
  refused("connect_timeout", [](options& o) { o.connect_timeout = 25h; });
  refused("worker_lease", [](options& o) { o.worker_lease = 1ms; });
  refused("store_cache_bytes", [](options& o) { o.store_cache_bytes = 1; });
  refused("store_buffer_bytes", [](options& o) { o.store_buffer_bytes = 1; });
  refused("scheduler_threads", [](options& o) { o.scheduler_threads = 5000; });
  for (const auto& agent : {std::string("a\r\nX-Smuggled: 1"), std::string("a\nb"), std::string("a\rb"),
                            std::string("a\0b", 3), std::string("a\x7f")})
    refused("user_agent", [&agent](options& o) { o.user_agent = agent; });
  runtime running(settings()); // nothing was opened on the way
}

} // namespace dormouse::test::turns_test
