// Calls from outside with an idempotency key: the first one runs, and all get what it came to.

#include "disk.hpp"
#include "eventually.hpp"
#include "gate.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dormouse::test::remembered_calls_test {

using namespace std::chrono_literals;

namespace {

std::atomic<int> turns_run{0};
std::atomic<int> grumbles{0};
std::atomic<int> wakes{0};

class shop : public durable_object {
public:
  void on_wake() override { ++wakes; }

  std::string order(std::string what, int count) {
    ++turns_run;
    if (grumbles > 0 && grumbles-- > 0) throw std::runtime_error("not now");
    orders_ += count;
    return what + " " + std::to_string(orders_);
  }
  std::string reserve(std::string what, int count) { return order(std::move(what), count); }
  void close() { ++turns_run; }
  void burn_down() {
    ++turns_run;
    destroy();
  }
  call_result<int> haggle(int price) {
    ++turns_run;
    if (price < 10)
      return tl::unexpected<call_error>(
          call_error{errc::handler_failed, "too cheap " + std::to_string(++orders_), self_address()});
    return price;
  }
  /// Replies when somebody has said so to its task.
  static task<std::string> deliver(task_context<shop> self, std::string what) {
    auto word = self.promise<std::string>();
    co_await self.call<&shop::expect>(to_string(word.id()));
    co_return what + " " + co_await word;
  }
  void expect(std::string promise) {
    ++turns_run;
    promise_ = std::move(promise);
  }
  later<std::string> deliver_later(std::string what) {
    ++turns_run;
    return call<&shop::deliver>(object_id<shop>("store"), what).then<&shop::on_delivered>();
  }
  std::string on_delivered(call_result<std::string> what) {
    return what ? "delivered " + *what : throw std::runtime_error(what.error().message);
  }
  std::string promise() const { return promise_; }
  int orders() const { return orders_; }

  template <class Archive> void serialize(Archive& ar) { ar(orders_, promise_); }
  using methods =
      dormouse::methods<"SHOP", method<"order", &shop::order>, method<"reserve", &shop::reserve>,
                        method<"close", &shop::close>, method<"burn_down", &shop::burn_down>,
                        method<"haggle", &shop::haggle>, method<"deliver", &shop::deliver>,
                        method<"expect", &shop::expect>, method<"deliver_later", &shop::deliver_later>,
                        method<"on_delivered", &shop::on_delivered>, method<"promise", &shop::promise>,
                        method<"orders", &shop::orders>>;

private:
  int orders_ = 0;
  std::string promise_;
};

struct fixture {
  scratch_directory directory;
  std::shared_ptr<manual_clock> clock = std::make_shared<manual_clock>();
  std::shared_ptr<storage_valve> valve = std::make_shared<storage_valve>();
  options chosen{.directory = directory.path(), .clock = clock, .idle_after = 0ms};
  std::optional<runtime> running;

  fixture() {
    turns_run = 0;
    grumbles = 0;
    start();
  }
  void start() {
    running.reset();
    running.emplace(chosen, ports{.wrap_engine = valve->wrap(), .wrap_transport = {}});
    running->define<shop>();
  }
  object_ref<shop> mine(const std::string& id = "mine") const { return running->get<shop>(id); }
  object_ref_with<shop> with(std::string key) const {
    return mine().with({.idempotency_key = std::move(key)});
  }
  void speak(const std::string& id) {
    std::string text;
    REQUIRE(eventually([&] { return !(text = value_of(mine(id).call<&shop::promise>())).empty(); }));
    CHECK(value_of(
        running->tasks().resolve(promise_id<std::string>(value_or_throw(parse_promise_id(text))), "now")));
  }
  std::size_t rows(char kind) {
    running.reset();
    const auto count = disk(directory.path()).count(kind);
    start();
    return count;
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R3: a call with a key that was used gets what the first one came to, also after "
                           "a restart, and nothing is run") {
  CHECK(value_of(with("order-17").call<&shop::order>("tea", 2)) == "tea 2");
  CHECK(value_of(with("order-17").call<&shop::order>("tea", 2)) == "tea 2");
  CHECK(value_of(with("order-18").call<&shop::order>("tea", 2)) == "tea 4");
  value_of(with("close").call<&shop::close>());
  start();
  CHECK(value_of(with("order-17").call<&shop::order>("tea", 2)) == "tea 2");
  value_of(with("close").call<&shop::close>());
  CHECK(turns_run == 3);
  std::promise<expected<std::string>> told;
  with("order-17")
      .async_call<&shop::order>([&](expected<std::string> what) { told.set_value(std::move(what)); }, "tea",
                                2);
  CHECK(value_of(told.get_future()) == expected<std::string>("tea 2"));
  // Without one, and for another object, it runs.
  CHECK(value_of(mine().with({}).call<&shop::order>("tea", 2)) == "tea 6");
  CHECK(value_of(mine("other").with({.idempotency_key = "order-17"}).call<&shop::order>("tea", 2)) ==
        "tea 2");
}

TEST_CASE_FIXTURE(fixture, "R3: a turn that throws is not remembered, an error that it commits is") {
  grumbles = 1;
  CHECK(error_of(with("k").call<&shop::order>("tea", 1)).code == errc::handler_failed);
  CHECK(value_of(with("k").call<&shop::order>("tea", 1)) == "tea 1");
  for (int i = 0; i < 2; ++i) {
    const auto why = error_of(with("h").call<&shop::haggle>(5));
    CHECK(why.code == errc::handler_failed);
    CHECK(why.message == "too cheap 2");
  }
}

TEST_CASE_FIXTURE(fixture, "a key that was used with other arguments or another method is an error that "
                           "names it, and changes nothing") {
  CHECK(value_of(with("order-17").call<&shop::order>("tea", 2)) == "tea 2");
  auto why = error_of(with("order-17").call<&shop::order>("tea", 3));
  CHECK(why.code == errc::invalid_request);
  CHECK(why.message == "idempotency key \"order-17\" of a call of 'order' of object SHOP/mine was used for "
                       "one with other arguments");
  why = error_of(with("order-17").call<&shop::reserve>("tea", 2));
  CHECK(why.code == errc::invalid_request);
  CHECK(why.message == "idempotency key \"order-17\" of a call of 'reserve' of object SHOP/mine was used for "
                       "a call of 'order'");
  CHECK(turns_run == 1);
  CHECK(value_of(with("order-17").call<&shop::order>("tea", 2)) == "tea 2");
}

TEST_CASE_FIXTURE(fixture, "a key has 1 to 255 bytes") {
  for (const auto& key : {std::string(), std::string(256, 'k')}) {
    const auto why = error_of(with(key).call<&shop::order>("tea", 1));
    CHECK(why.code == errc::invalid_request);
    CHECK(contains(why.message, "1..255"));
  }
  std::string odd(255, '\xff');
  odd[7] = '\0';
  CHECK(value_of(with(odd).call<&shop::order>("tea", 1)) == "tea 1");
  start();
  CHECK(value_of(with(odd).call<&shop::order>("tea", 1)) == "tea 1");
}

TEST_CASE_FIXTURE(
    fixture,
    "R4: a repetition that comes while the first is under way waits for its commit, and fails with it") {
  value_of(mine().call<&shop::close>()); // exists
  turns_run = 0;
  std::vector<std::future<std::string>> replies;
  bool fails = false;
  {
    gate::closing held(valve->writes);
    for (int i = 0; i < 10; ++i)
      replies.push_back(with("k").call<&shop::order>("tea", 1));
    auto read = mine().call<&shop::orders>();
    REQUIRE(eventually([&] { return running->stats().reads == 1; })); // behind them all
    CHECK(turns_run == 1);
    for (const auto& each : replies)
      CHECK_FALSE(is_ready(each));
    SUBCASE("it does") {}
    SUBCASE("it fails") {
      valve->fail_writes();
      fails = true;
    }
  }
  if (!fails) {
    for (auto& each : replies)
      CHECK(value_of(std::move(each)) == "tea 1");
    CHECK(turns_run == 1);
    return;
  }
  for (auto& each : replies)
    CHECK(error_of(std::move(each)).code == errc::storage_error);
  valve->heal();
  CHECK(value_of(with("k").call<&shop::order>("tea", 1)) == "tea 1");
  CHECK(turns_run == 2);
}

TEST_CASE_FIXTURE(fixture, "R3: what is remembered of a call is in one commit with its turn") {
  value_of(mine().call<&shop::close>()); // exists
  int remembered = 0;
  valve->watch_sets([&remembered](const write_set& set) {
    const auto has = [&set](char kind) {
      return std::any_of(set.begin(), set.end(),
                         [kind](const write_op& op) { return op.key.front() == kind; });
    };
    if (!has('Y')) return;
    CHECK(has('O'));
    ++remembered;
  });
  CHECK(value_of(with("k").call<&shop::order>("tea", 1)) == "tea 1");
  running.reset();
  valve->watch_sets(nullptr);
  CHECK(remembered == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "R4: a repetition of a call whose reply comes later hears of it when the commit of that call fails") {
  value_of(mine().call<&shop::close>()); // exists
  turns_run = 0;
  std::vector<std::future<std::string>> replies;
  {
    gate::closing held(valve->writes);
    for (int i = 0; i < 3; ++i)
      replies.push_back(with("k").call<&shop::deliver_later>("tea"));
    auto read = mine().call<&shop::orders>();
    REQUIRE(eventually([&] { return running->stats().reads == 1; })); // behind them all
    CHECK(turns_run == 1);
    valve->fail_writes();
  }
  for (auto& each : replies)
    CHECK(error_of(std::move(each)).code == errc::storage_error);
  valve->heal();
  auto reply = with("k").call<&shop::deliver_later>("tea");
  speak("store");
  CHECK(value_of(std::move(reply)) == "delivered tea now");
}

TEST_CASE_FIXTURE(
    fixture,
    "R15: repetitions of a call whose reply comes later wait for the same reply, also after a restart") {
  std::vector<std::future<std::string>> replies;
  const bool is_task = [] {
    bool task = false;
    SUBCASE("a method that replies later") {}
    SUBCASE("a task") { task = true; }
    return task;
  }();
  const auto ask = [&] {
    return is_task ? with("k").call<&shop::deliver>("tea") : with("k").call<&shop::deliver_later>("tea");
  };
  const std::string from = is_task ? "mine" : "store";
  const std::string delivered = is_task ? "tea now" : "delivered tea now";
  const auto first_turns = is_task ? 1 : 2;
  replies.push_back(ask());
  REQUIRE(eventually([&] { return turns_run == first_turns; }));
  replies.push_back(ask());
  replies.push_back(ask());
  REQUIRE(eventually([&] { return running->stats().waiting_callers == 3; }));
  CHECK(error_of(with("k").call<&shop::order>("tea", 1)).code == errc::invalid_request);
  start();
  for (auto& each : replies)
    CHECK(error_of(std::move(each)).code == errc::stopped);
  replies.clear();
  replies.push_back(ask());
  replies.push_back(ask());
  REQUIRE(eventually([&] { return running->stats().waiting_callers == 2; }));
  speak(from);
  for (auto& each : replies)
    CHECK(value_of(std::move(each)) == delivered);
  CHECK(value_of(ask()) == delivered);
  start();
  CHECK(value_of(ask()) == delivered);
  CHECK(turns_run == first_turns);
  CHECK(running->stats().strangers_dropped == 0);
}

TEST_CASE_FIXTURE(fixture, "a task is started once with a key") {
  const auto id = value_of(with("k").start<&shop::deliver>("tea"));
  CHECK(value_of(with("k").start<&shop::deliver>("tea")) == id);
  CHECK(error_of(with("k").start<&shop::deliver>("coffee")).code == errc::invalid_request);
  speak("mine");
  CHECK(value_of(running->tasks().result<std::string>(id)) == "tea now");
  CHECK(running->stats().tasks_started == 1);
}

TEST_CASE_FIXTURE(
    fixture, "a call is forgotten when it has been remembered long enough, and no object is woken for that") {
  CHECK(value_of(with("k").call<&shop::order>("tea", 1)) == "tea 1");
  CHECK(rows('Y') == 1);
  clock->advance(24h - 1ms);
  CHECK(value_of(with("k").call<&shop::order>("tea", 1)) == "tea 1");
  REQUIRE(eventually([&] { return running->stats().active_objects == 0; }));
  const auto woken = wakes.load();
  clock->advance(1ms);
  REQUIRE(eventually([&] { return running->stats().schedules == 0; }));
  CHECK(wakes == woken);
  CHECK(value_of(with("k").call<&shop::order>("tea", 1)) == "tea 2");
  clock->advance(24h);
  REQUIRE(eventually([&] { return running->stats().schedules == 0; }));
  CHECK(rows('Y') + rows('H') + rows('W') == 0);
}

TEST_CASE_FIXTURE(fixture, "a call whose reply takes longer than it would be remembered is remembered until "
                           "then, and as long again") {
  auto reply = with("k").call<&shop::deliver_later>("tea");
  REQUIRE(eventually([&] { return turns_run == 2; }));
  clock->advance(30h);
  REQUIRE(eventually([&] { return running->stats().firing_schedules == 0; }));
  CHECK(rows('Y') == 1);
  CHECK(error_of(std::move(reply)).code == errc::stopped);
  reply = with("k").call<&shop::deliver_later>("tea");
  speak("store");
  CHECK(value_of(std::move(reply)) == "delivered tea now");
  clock->advance(24h - 1ms); // since the reply
  CHECK(value_of(with("k").call<&shop::deliver_later>("tea")) == "delivered tea now");
  CHECK(turns_run == 2);
  clock->advance(1ms);
  REQUIRE(eventually([&] { return running->stats().schedules == 0; }));
  CHECK(rows('Y') == 0);
}

TEST_CASE_FIXTURE(fixture, "destroy() forgets calls, and tells who waits for one") {
  CHECK(value_of(with("k").call<&shop::order>("tea", 1)) == "tea 1");
  auto reply = with("later").call<&shop::deliver_later>("tea");
  REQUIRE(eventually([&] { return turns_run == 3; }));
  value_of(with("end").call<&shop::burn_down>());
  CHECK(value_of(with("k").call<&shop::order>("tea", 1)) == "tea 1"); // of a new object
  CHECK(turns_run == 5);
  speak("store");
  CHECK(error_of(std::move(reply)).code == errc::not_found);
  value_of(with("end").call<&shop::burn_down>()); // was not remembered: it went with the rest
  CHECK(turns_run == 6);
  CHECK(rows('Y') + rows('H') + rows('W') == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "R21: a damaged row of a remembered call is an error that names object and key, and runs nothing") {
  CHECK(value_of(with("order-17").call<&shop::order>("tea", 1)) == "tea 1");
  running.reset();
  CHECK(disk(directory.path()).change('Y', flip_last_bit) == 1);
  start();
  const auto why = error_of(with("order-17").call<&shop::order>("tea", 1));
  CHECK(why.code == errc::corrupt);
  CHECK(contains(why.message, "SHOP/mine"));
  CHECK(contains(why.message, "order-17"));
  CHECK(turns_run == 1);
  REQUIRE(eventually(
      [&] { return running->stats().schedules == 1; })); // they are counted while the runtime starts
  clock->advance(24h);
  REQUIRE(eventually([&] { return running->stats().schedules == 0; }));
  CHECK(value_of(with("order-17").call<&shop::order>("tea", 1)) == "tea 2");
}

TEST_CASE_FIXTURE(fixture, "a key costs a schedule, and one too many is an error that undoes the turn") {
  chosen.max_schedules = 1;
  start();
  CHECK(value_of(with("a").call<&shop::order>("tea", 1)) == "tea 1");
  const auto why = error_of(with("b").call<&shop::order>("tea", 1));
  CHECK(why.code == errc::queue_full);
  CHECK(contains(why.message, "max_schedules"));
  CHECK(value_of(mine().call<&shop::orders>()) == 1);
}

} // namespace dormouse::test::remembered_calls_test
