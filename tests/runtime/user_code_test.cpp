// User code that throws anything, anywhere, and that waits where it must not.

#include "eventually.hpp"
#include "gate.hpp"
#include "outcome.hpp"

#include <dormouse/actors/replay.hpp>
#include <dormouse/dormouse.hpp>
#include <dormouse/runtime/fetch_observer.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace dormouse::test::user_code_test {

using namespace std::chrono_literals;

namespace {

/// What is thrown, and by whom.
enum class thrown { nothing, number, text, exception, corrupt, storage };

void throw_one(thrown kind) {
  switch (kind) {
  case thrown::nothing:
    return;
  case thrown::number:
    throw 42;
  case thrown::text:
    throw "a text";
  case thrown::exception:
    throw std::runtime_error("an exception");
  case thrown::corrupt:
    throw failure({errc::corrupt, "a failure of the program's"});
  case thrown::storage:
    throw failure({errc::storage_error, "a failure of the program's"});
  }
}

struct faults {
  std::atomic<thrown> constructor{thrown::nothing};
  std::atomic<thrown> saving{thrown::nothing};
  std::atomic<thrown> loading{thrown::nothing};
  std::atomic<int> constructed{0};
};
faults& now_thrown() {
  static faults all;
  return all;
}

/// A value whose decoding throws a number.
struct prickly {
  int value = 0;

  void save(output_archive& ar) const { ar(value); }
  void load(input_archive& ar) {
    ar(value);
    if (value == 42) throw 42;
  }
};

class moody : public durable_object {
public:
  moody() {
    ++now_thrown().constructed;
    throw_one(now_thrown().constructor);
  }

  void say(const std::string& text) { said_.push_back(text); }
  std::vector<std::string> said() const { return said_; }
  void take(const prickly& what) { said_.push_back(std::to_string(what.value)); }
  prickly give(int value) { return {value}; }
  void throw_now() { throw 42; }
  void say_in(int ms, const std::string& text) { schedule<&moody::say>(std::chrono::milliseconds(ms), text); }
  void say_and_throw(const std::string& text) {
    said_.push_back(text);
    now_thrown().constructor = thrown::number;
    throw std::runtime_error("half way");
  }

  static task<int> ask(task_context<moody> self, prickly) {
    (void)self;
    co_return 1;
  }
  static task<int> read(task_context<moody> self, int value) {
    auto asked = self.call<&moody::give>(value);
    auto got = co_await asked;
    co_return got.value;
  }
  static task<std::string> try_to_say(task_context<moody> self) {
    auto saying = self.call<&moody::say_and_throw>("never");
    try {
      co_await saying;
    } catch (const call_failed&) {
    }
    co_return "tried";
  }
  static task<int> throws(task_context<moody> self) {
    (void)self;
    throw 42;
    co_return 1;
  }

  template <class Archive> void serialize(Archive& ar) {
    throw_one(Archive::is_loading::value ? now_thrown().loading.load() : now_thrown().saving.load());
    ar(said_);
  }

  using methods =
      dormouse::methods<"MOODY", method<"say", &moody::say>, method<"said", &moody::said>,
                        method<"take", &moody::take>, method<"give", &moody::give>,
                        method<"throw_now", &moody::throw_now>, method<"say_in", &moody::say_in>,
                        method<"say_and_throw", &moody::say_and_throw>, method<"ask", &moody::ask>,
                        method<"read", &moody::read>, method<"try_to_say", &moody::try_to_say>,
                        method<"throws", &moody::throws>>;

private:
  std::vector<std::string> said_;
};

using texts = std::vector<std::string>;

struct fixture {
  test::scratch_directory directory;
  std::shared_ptr<manual_clock> clock = std::make_shared<manual_clock>();
  std::unique_ptr<runtime> running;

  fixture() {
    now_thrown().constructor = now_thrown().saving = now_thrown().loading = thrown::nothing;
    start();
  }

  void start(options more = {}) {
    running.reset();
    more.directory = directory.path();
    more.clock = clock;
    more.idle_after = 0ms; // every message constructs
    running = std::make_unique<runtime>(std::move(more));
    running->define<moody>();
  }

  /// Makes the constructor throw from the next message on: nobody is awake any more.
  void throw_in_constructor(thrown kind) const {
    REQUIRE(eventually([&] { return running->stats().active_objects == 0; }, 10s));
    now_thrown().constructor = kind;
  }

  object_ref<moody> it() const { return running->get<moody>("m"); }
  bool has_said(const texts& all) const {
    return eventually([&] { return value_of(it().call<&moody::said>()) == all; }, 10s);
  }
};

const std::vector<thrown> all_kinds{thrown::number, thrown::text, thrown::exception, thrown::corrupt};

} // namespace

TEST_CASE_FIXTURE(fixture, "R32: a constructor may throw anything, and its object is none the worse") {
  value_of(it().call<&moody::say>("a"));
  for (auto kind : all_kinds) {
    CAPTURE(static_cast<int>(kind));
    throw_in_constructor(kind);
    const auto why = error_of(it().call<&moody::say>("b"));
    CHECK(why.code == (kind == thrown::corrupt ? errc::corrupt : errc::handler_failed));
    if (kind != thrown::corrupt) CHECK(contains(why.message, "the constructor of object MOODY/m threw"));
    if (kind == thrown::number) CHECK(why.type == "int");
    if (kind == thrown::text) CHECK(contains(why.message, "a text"));
    CHECK(why.origin == address{"MOODY", "m"});
    CHECK(error_of(it().call<&moody::said>()).code == why.code);
    now_thrown().constructor = thrown::nothing;
    CHECK(value_of(it().call<&moody::said>()) == texts{"a"});
  }
  CHECK(running->stats().corrupt_objects.empty());
  throw_in_constructor(thrown::number);
  CHECK(error_of(it().call<&moody::say>("c")).code == errc::handler_failed);
  running->stop(); // which nothing hinders
}

TEST_CASE_FIXTURE(fixture, "R32: posts wait in their order for an object whose constructor throws") {
  for (auto kind : all_kinds) {
    CAPTURE(static_cast<int>(kind));
    auto object = running->get<moody>("waits" + std::to_string(static_cast<int>(kind)));
    now_thrown().constructor = kind;
    const auto before = now_thrown().constructed.load();
    value_of(object.post<&moody::say>("1"));
    value_of(object.post<&moody::say>("2"));
    value_of(object.post<&moody::say>("3"));
    REQUIRE(eventually([&] { return now_thrown().constructed > before; }, 10s));
    now_thrown().constructor = thrown::nothing;
    value_of(object.post<&moody::say>("4")); // does not pass them
    value_of(object.post<&moody::say>("5"));
    CHECK(eventually(
        [&] {
          return value_of(object.call<&moody::said>()) == texts{"1", "2", "3", "4", "5"};
        },
        10s));
  }
  CHECK(running->stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R32: posts that wait for an object whose constructor throws make it once a round, "
                  "and that is a try of each") {
  auto object = running->get<moody>("never");
  now_thrown().constructor = thrown::number;
  const auto before = now_thrown().constructed.load();
  for (const auto* each : {"1", "2", "3"})
    value_of(object.post<&moody::say>(each));
  REQUIRE(eventually([&] { return running->stats().dead_letters == 3; }));
  // Five tries each; what is made is made for those of a round together, and anew when one is given up.
  CHECK(now_thrown().constructed - before < 12);
}

TEST_CASE_FIXTURE(fixture, "R32: a tick comes again when the constructor has thrown") {
  value_of(it().call<&moody::say_in>(1'000, "tick"));
  throw_in_constructor(thrown::number);
  clock->advance(1s);
  REQUIRE(eventually([&] { return running->stats().failed_firings == 1; }, 10s));
  now_thrown().constructor = thrown::nothing;
  clock->advance(10s);
  CHECK(has_said({"tick"}));
}

TEST_CASE_FIXTURE(fixture, "R32: serialize() may throw anything") {
  value_of(it().call<&moody::say>("a"));
  for (auto kind : {thrown::number, thrown::text, thrown::exception}) {
    CAPTURE(static_cast<int>(kind));
    now_thrown().saving = kind;
    auto why = error_of(it().call<&moody::say>("b"));
    CHECK(why.code == errc::handler_failed);
    CHECK(contains(why.message, "serialize() of object MOODY/m threw"));
    now_thrown().saving = thrown::nothing;
    now_thrown().loading = kind;
    why = error_of(it().call<&moody::said>());
    CHECK(why.code == errc::handler_failed); // the bytes are sound
    CHECK(contains(why.message, "serialize() of object MOODY/m threw"));
    now_thrown().loading = thrown::nothing;
    CHECK(value_of(it().call<&moody::said>()) == texts{"a"});
  }
  now_thrown().saving = thrown::storage; // which is nobody's but the program's
  CHECK(error_of(it().call<&moody::say>("b")).code == errc::handler_failed);
  now_thrown().saving = thrown::nothing;
  CHECK(value_of(it().call<&moody::said>()) == texts{"a"});
  CHECK(running->stats().corrupt_objects.empty());
}

TEST_CASE_FIXTURE(fixture, "R32: decoding arguments and results may throw anything") {
  CHECK(error_of(it().call<&moody::take>(prickly{42})).code == errc::handler_failed);
  auto why = error_of(it().call<&moody::give>(42));
  CHECK(why.code == errc::handler_failed);
  CHECK(why.type == "int");
  CHECK(value_of(it().call<&moody::give>(1)).value == 1);
  CHECK(error_of(it().call<&moody::ask>(prickly{42})).code == errc::handler_failed);
  CHECK(error_of(it().call<&moody::throws>()).code == errc::handler_failed);
  const auto thrown = error_of(it().call<&moody::throw_now>());
  CHECK(thrown.type == "int");
  CHECK(contains(thrown.message, "42"));
}

TEST_CASE_FIXTURE(fixture, "R32: a task whose step does not decode is stuck, and its object goes on") {
  auto stuck = it().start<&moody::read>(42);
  const auto id = value_of(std::move(stuck));
  CHECK(eventually([&] { return running->stats().stuck_tasks == 1; }, 10s));
  value_of(it().call<&moody::say>("a"));
  CHECK(value_of(running->tasks().cancel(id)));
  CHECK(has_said({"a"}));
}

TEST_CASE_FIXTURE(fixture, "R32: an object that cannot be put back after a call of its task fails the turn") {
  value_of(it().call<&moody::say>("a"));
  CHECK(error_of(it().call<&moody::try_to_say>()).code == errc::handler_failed);
  now_thrown().constructor = thrown::nothing;
  CHECK(has_said({"a"}));
}

TEST_CASE_FIXTURE(fixture, "R32: what the handler of an asynchronous call throws harms nobody") {
  for (int i = 0; i < 3; ++i)
    it().async_call<&moody::say>([](const expected<void>&) { throw 42; }, "x");
  it().async_call<&moody::said>([](const expected<texts>&) { throw std::runtime_error("no"); });
  CHECK(eventually([&] { return running->stats().thrown_by_handlers == 4; }, 10s));
  CHECK(has_said({"x", "x", "x"}));
}

namespace {

/// Throws, or does what the test says, at each event.
class unruly final : public fetch_observer, public task_observer {
public:
  std::function<void()> act = [] { throw 42; };
  std::atomic<int> told{0};

  void queued(const fetch_event&) override { run(); }
  void started(const fetch_event&) override { run(); }
  void retried(const fetch_event&) override { run(); }
  void stored(const fetch_event&) override { run(); }
  void delivered(const fetch_event&) override { run(); }
  void ended(const finished_task&) override { run(); }

private:
  void run() {
    ++told;
    act();
  }
};

class throwing_clock final : public wall_clock {
public:
  std::atomic<bool> throws{false};
  std::chrono::system_clock::time_point now() const override {
    if (throws) throw 42;
    return wall_clock::now();
  }
};

class asker : public durable_object {
public:
  void ask(const std::string& url) { fetch(url, {.retry = {.max_retries = 0}}).then<&asker::answered>(); }
  void answered(fetch_result) { ++answers_; }
  int answers() const { return answers_; }
  static task<int> quick(task_context<asker> self) {
    (void)self;
    co_return 1;
  }

  template <class Archive> void serialize(Archive& ar) { ar(answers_); }

  using methods = dormouse::methods<"ASKER", method<"ask", &asker::ask>, method<"answered", &asker::answered>,
                                    method<"answers", &asker::answers>, method<"quick", &asker::quick>>;

private:
  int answers_ = 0;
};

/// Waits in its turns for others.
class waiter : public durable_object {
public:
  static inline std::function<std::string()> wait_for; // set before the turn

  std::string wait() { return wait_for(); }
  std::string look() const { return wait_for(); }
  int idle() const { return 0; }

  template <class Archive> void serialize(Archive&) {}

  using methods = dormouse::methods<"WAITER", method<"wait", &waiter::wait>, method<"look", &waiter::look>,
                                    method<"idle", &waiter::idle>>;
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R32: what observers throw is counted, and stops nothing") {
  auto watching = std::make_shared<unruly>();
  auto ticking = std::make_shared<throwing_clock>();
  running.reset();
  running = std::make_unique<runtime>(options{.directory = directory.path(),
                                              .clock = ticking,
                                              .allow = {"127.0.0.1"},
                                              .tasks = watching,
                                              .observer = watching});
  running->define<asker, moody>();
  auto mine = running->get<asker>("a");
  value_of(mine.call<&asker::ask>("http://127.0.0.1:1/"));
  CHECK(eventually([&] { return value_of(mine.call<&asker::answers>()) == 1; }, 10s));
  CHECK(value_of(mine.call<&asker::quick>()) == 1);
  CHECK(eventually([&] { return watching->told >= 5; }, 10s)); // queued, started, stored, delivered, ended
  CHECK(eventually(
      [&] { return running->stats().thrown_by_observers == static_cast<std::uint64_t>(watching->told); },
      10s));
  const auto before = running->stats().thrown_by_observers;
  ticking->throws = true;
  value_of(mine.call<&asker::ask>("http://127.0.0.1:1/"));
  CHECK(eventually([&] { return running->stats().thrown_by_observers > before + 4; }, 10s));
  ticking->throws = false;
  CHECK(eventually([&] { return value_of(mine.call<&asker::answers>()) == 2; }, 10s));
  running->stop();
}

TEST_CASE_FIXTURE(fixture, "R23: who waits for one of our futures in a turn is told so at once") {
  running->define<waiter>();
  auto waits = running->get<waiter>("w");
  const std::vector<std::pair<std::string, std::function<std::string()>>> ways{
      {"get", [this] { return it().call<&moody::said>().get().front(); }},
      {"wait", [this] { return it().call<&moody::say>("x").wait(), std::string(); }},
      {"post", [this] { return it().post<&moody::say>("x").get(), std::string(); }},
      {"start", [this] { return to_string(it().start<&moody::read>(1).get()); }},
      {"own", [&waits] { return std::to_string(waits.call<&waiter::idle>().get()); }},
      {"tasks",
       [this] {
         return running->tasks().result<std::string>({{"MOODY", "m"}, 7}).get();
       }},
      {"stop", [this] { return running->stop(), std::string(); }},
      {"queued fetch",
       [this] {
         auto fetch = create_proxy_fetch(running->queue(), {.return_address = {"ASKER", "a"}});
         fetch("http://127.0.0.1/").then<&asker::answered>();
         return std::string();
       }},
      {"abort",
       [this] { return value_or_throw(running->queue().abort(abort_controller().id(), "")), std::string(); }},
      {"dead letter again", [this] { return running->dead_letters().retry(7), std::string(); }},
      {"release",
       [this] {
         return running->release({"MOODY", "m"}), std::string();
       }},
      {"define", [this] { return running->define<asker>(), std::string(); }},
      {"dead letter", [this] { return running->dead_letters().discard(7), std::string(); }},
  };
  for (const auto& [name, way] : ways) {
    const auto& this_name = name; // clang 14 captures no structured binding
    CAPTURE(this_name);
    waiter::wait_for = way;
    const auto why = error_of(waits.call<&waiter::wait>());
    CHECK(why.code == errc::would_block);
    CHECK(contains(why.message, "WAITER.wait of object WAITER/w"));
  }
  waiter::wait_for = [this] { return it().call<&moody::said>().get().front(); };
  CHECK(contains(error_of(waits.call<&waiter::look>()).message, "WAITER.look"));
  waiter::wait_for = [this] { // to ask is allowed; to take what has come is not, for it comes by chance
    auto reply = it().call<&moody::give>(1);
    const bool has_come = eventually([&] { return test::is_ready(reply); }, 10s);
    const auto refused = test::error_thrown_by([&] { (void)reply.get(); }).code == errc::would_block;
    return std::string(has_come && refused ? "asked" : "");
  };
  CHECK(value_of(waits.call<&waiter::wait>()) == "asked");
}

TEST_CASE_FIXTURE(fixture, "R23: who waits in a handler or an observer is told so at once") {
  auto watching = std::make_shared<unruly>();
  start({.tasks = watching});
  running->define<asker>();
  std::mutex mutex;
  std::vector<std::string> told;
  const auto wait = [&] {
    try {
      it().call<&moody::say>("x").get();
    } catch (const failure& e) {
      std::lock_guard guard(mutex);
      told.push_back(e.what());
    }
  };
  const auto is_told = [&](const std::string& part) {
    return eventually(
        [&] {
          std::lock_guard guard(mutex);
          return !told.empty() && contains(told.back(), "would_block") && contains(told.back(), part);
        },
        10s);
  };
  it().async_call<&moody::said>([&](const expected<texts>&) { wait(); });
  CHECK(is_told("the handler of an async_call of MOODY.said"));
  watching->act = wait;
  CHECK(value_of(running->get<asker>("a").call<&asker::quick>()) == 1);
  CHECK(is_told("task_observer::ended"));
  running->stop();
}

} // namespace dormouse::test::user_code_test
