#include "gate.hpp"
#include "storage_valve.hpp"
#include "upstream_fixture.hpp"

#include <dormouse/runtime/caf.hpp>

#include <caf/actor_system_config.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dormouse::test::caf_test {

using namespace std::chrono_literals;

namespace {

gate turns;

class calculator : public durable_object {
public:
  int add(int amount) { return total_ += amount; }
  int add_behind_gate(int amount) {
    turns.pass();
    return add(amount);
  }
  int total() const { return total_; }
  void reset() { total_ = 0; }
  int refuse() { throw std::runtime_error("no sums today"); }
  int refuse_reading() const { throw std::runtime_error("cannot read"); }

  template <class Archive> void serialize(Archive& ar) { ar(total_); }

  using methods = dormouse::methods<
      "CALCULATOR", method<"add", &calculator::add>, method<"add_behind_gate", &calculator::add_behind_gate>,
      method<"total", &calculator::total>, method<"reset", &calculator::reset>,
      method<"refuse", &calculator::refuse>, method<"refuse_reading", &calculator::refuse_reading>>;

private:
  int total_ = 0;
};

/// The outcome of a request, told by an actor to a test.
template <class R> class told {
public:
  void value(R value) { outcome_.set_value(std::move(value)); }
  void failed(const error& why) { outcome_.set_exception(std::make_exception_ptr(failure(why))); }
  std::future<R> future() { return outcome_.get_future(); }

private:
  std::promise<R> outcome_;
};

struct fixture : upstream_fixture {
  caf::actor_system_config config;
  std::unique_ptr<caf::actor_system> system = std::make_unique<caf::actor_system>(config);
};

/// Asks from an event-based actor.
template <auto Method, class... Args>
auto ask(caf::actor_system& system, const object_ref<calculator>& to, std::chrono::milliseconds timeout,
         Args... args) {
  using result = object_ref<calculator>::result_of<Method>;
  auto out = std::make_shared<told<result>>();
  system.spawn([out, to, timeout, args...](caf::event_based_actor* self) {
    request_object<Method>(self, to, timeout, args...)
        .then([out](result value) { out->value(std::move(value)); },
              [out](const error& why) { out->failed(why); });
  });
  return out->future();
}

} // namespace

TEST_CASE_FIXTURE(
    fixture,
    "embedded: a runtime works inside an actor system that is there already, and leaves it running") {
  {
    runtime running(*system, settings());
    auto mine = object(running);
    CHECK(answered(fetched(mine, key("a"))).ok());
    running.stop();
    running.stop();
  }
  {
    runtime again(*system, settings()); // the same directory in the same system
    CHECK(value_of(object(again).call<&fetcher::count>()) == 1);
  }
  caf::scoped_actor self{*system};
  auto echo = system->spawn(
      [](caf::event_based_actor*) -> caf::behavior { return {[](int number) { return number; }}; });
  int got = 0;
  self->request(echo, 30s, 7).receive([&got](int number) { got = number; }, [](const caf::error&) {});
  CHECK(got == 7);
}

TEST_CASE_FIXTURE(fixture, "embedded: two runtimes share an actor system") {
  scratch_directory elsewhere;
  runtime one(*system, settings());
  runtime other(*system, {.directory = elsewhere.path()});
  one.define<calculator>();
  other.define<calculator>();
  CHECK(value_of(one.get<calculator>("x").call<&calculator::add>(1)) == 1);
  CHECK(value_of(other.get<calculator>("x").call<&calculator::add>(10)) == 10);
  one.stop();
  CHECK(value_of(other.get<calculator>("x").call<&calculator::add>(10)) == 20);
}

TEST_CASE_FIXTURE(fixture, "request_object: an event-based actor gets the value or the error") {
  runtime running(*system, settings());
  running.define<calculator>();
  auto sums = running.get<calculator>("x");
  CHECK(value_of(ask<&calculator::add>(*system, sums, 30s, 3)) == 3);
  CHECK(value_of(ask<&calculator::total>(*system, sums, 30s)) == 3);
  for (const auto& why : {error_of(ask<&calculator::refuse>(*system, sums, 30s)),
                          error_of(ask<&calculator::refuse_reading>(*system, sums, 30s))}) {
    CHECK(why.code == errc::handler_failed);
    CHECK(contains(why.message, "CALCULATOR/x"));
    CHECK(why.origin == address{"CALCULATOR", "x"});
    CHECK(why.type == "std::runtime_error");
  }
  CHECK(value_of(ask<&calculator::total>(*system, sums, 30s)) == 3);
}

TEST_CASE_FIXTURE(fixture, "request_object: a scoped actor gets the value or the error") {
  runtime running(*system, settings());
  running.define<calculator>();
  auto sums = running.get<calculator>("x");
  caf::scoped_actor self{*system};
  std::optional<int> got;
  std::optional<error> why;
  const auto failed_with = [&why](const error& what) { why = what; };
  request_object<&calculator::add>(self, sums, 30s, 5)
      .receive([&got](int value) { got = value; }, failed_with);
  CHECK(got == 5);
  request_object<&calculator::total>(self, sums, 30s)
      .receive([&got](int value) { got = value + 1; }, failed_with);
  CHECK(got == 6);
  bool was_reset = false;
  request_object<&calculator::reset>(self, sums, 30s)
      .receive([&was_reset] { was_reset = true; }, failed_with);
  CHECK(was_reset);
  CHECK_FALSE(why);
  request_object<&calculator::refuse>(self, sums, 30s).receive([](int) {}, failed_with);
  REQUIRE(why);
  CHECK(why->code == errc::handler_failed);
  CHECK(contains(why->message, "no sums today"));
}

TEST_CASE_FIXTURE(
    fixture, "request_object: past its timeout the request fails, and the turn takes place all the same") {
  runtime running(*system, settings());
  running.define<calculator>();
  auto sums = running.get<calculator>("x");
  {
    gate::closing held(turns);
    auto late = ask<&calculator::add_behind_gate>(*system, sums, 100ms, 4);
    REQUIRE(eventually([] { return turns.waiting() == 1; }));
    CHECK(error_of(std::move(late)).code == errc::timeout);
    CHECK(error_of(ask<&calculator::total>(*system, sums, 100ms)).code == errc::timeout);
  }
  CHECK(value_of(ask<&calculator::total>(*system, sums, 30s)) == 4);
}

TEST_CASE_FIXTURE(
    fixture, "R4: request_object: a read that could have seen what is not durable waits, and fails with it") {
  auto valve = std::make_shared<storage_valve>();
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  running.define<calculator>();
  auto sums = running.get<calculator>("x");
  CHECK(value_of(sums.call<&calculator::add>(1)) == 1);
  // From a thread outside of the runtime's actor system: a scoped actor of another one.
  const auto read = [this, &sums] {
    return std::async(std::launch::async, [this, &sums] {
      caf::scoped_actor self{*system};
      int total = 0;
      request_object<&calculator::total>(self, sums, caf::infinite)
          .receive([&total](int value) { total = value; }, [](const error& why) { throw failure(why); });
      return total;
    });
  };
  for (const bool fails : {false, true}) {
    std::future<int> write;
    std::future<int> waits;
    {
      gate::closing held(valve->writes);
      write = sums.call<&calculator::add>(10);
      REQUIRE(eventually([&valve] { return valve->writes.waiting() == 1; }));
      const auto before = running.stats().reads;
      waits = read();
      REQUIRE(eventually([&running, before] { return running.stats().reads == before + 1; }));
      CHECK_FALSE(is_ready(waits));
      if (fails) valve->fail_writes();
    }
    if (fails) {
      CHECK(error_of(std::move(waits)).code == errc::storage_error);
      CHECK(error_of(std::move(write)).code == errc::storage_error);
      valve->heal();
    } else {
      CHECK(value_of(std::move(waits)) == 11);
      CHECK(value_of(std::move(write)) == 11);
    }
    CHECK(value_of(read()) == 11);
  }
}

TEST_CASE_FIXTURE(fixture, "R19: request_object: an object that is overloaded answers so") {
  auto chosen = settings();
  chosen.max_mailbox_messages = 2;
  runtime running(*system, chosen);
  running.define<calculator>();
  auto sums = running.get<calculator>("x");
  std::future<int> accepted;
  {
    gate::closing held(turns);
    accepted = ask<&calculator::add_behind_gate>(*system, sums, 30s, 1);
    REQUIRE(eventually([] { return turns.waiting() == 1; }));
    auto second = sums.call<&calculator::add>(1);
    const auto why = error_of(ask<&calculator::add>(*system, sums, 30s, 100));
    CHECK(why.code == errc::overloaded);
    CHECK(contains(why.message, "options::max_mailbox_messages"));
  }
  CHECK(value_of(std::move(accepted)) == 1);
  CHECK(value_of(ask<&calculator::total>(*system, sums, 30s)) == 2);
}

TEST_CASE_FIXTURE(fixture, "R20: request_object: a runtime that has stopped answers so") {
  runtime running(*system, settings());
  running.define<calculator>();
  auto sums = running.get<calculator>("x");
  running.stop();
  CHECK(error_of(ask<&calculator::add>(*system, sums, 30s, 1)).code == errc::stopped);
}

TEST_CASE_FIXTURE(fixture,
                  "R6: request_object: no request is lost while the object hibernates after every message") {
  constexpr int requests = 2000;
  auto chosen = settings();
  chosen.idle_after = 0ms;
  runtime running(*system, chosen);
  running.define<calculator>();
  auto sums = running.get<calculator>("x");
  auto values = std::make_shared<std::atomic<int>>(0);
  auto errors = std::make_shared<std::atomic<int>>(0);
  system->spawn([sums, values, errors](caf::event_based_actor* self) {
    const auto failed_with = [errors](const error&) { ++*errors; };
    for (int i = 0; i < requests; ++i) {
      if (i % 10 == 0)
        request_object<&calculator::add>(self, sums, 60s, 1).then([values](int) { ++*values; }, failed_with);
      else
        request_object<&calculator::total>(self, sums, 60s).then([values](int) { ++*values; }, failed_with);
    }
  });
  CHECK(eventually([&] { return *values + *errors == requests; }, 60s));
  CHECK(*errors == 0);
  CHECK(value_of(sums.call<&calculator::total>()) == requests / 10);
}

} // namespace dormouse::test::caf_test
