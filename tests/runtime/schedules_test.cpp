// Schedules: never early, woken for, exactly once in effect, over restarts and failures.

#include "disk.hpp"
#include "eventually.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"

#include <dormouse/dormouse.hpp>
#include <dormouse/serialization/codec.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace dormouse::test::schedules_test {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr std::uint64_t tries = 7; // of a tick, before it is given up on

struct ring {
  std::string what;
  std::int64_t at_ms = 0;
  std::int64_t tick_ms = 0;

  template <class Archive> void serialize(Archive& ar) { ar(what, at_ms, tick_ms); }
};

std::int64_t in_ms(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}

class alarm_clock : public durable_object {
public:
  static inline std::atomic<int> refusals{0};
  static inline std::atomic<int> runs{0}; ///< turns of `on_ring`, also those that leave no trace
  static inline gate snooze;              ///< `on_ring` of "slow" passes it

  schedule_id once(std::string what, std::int64_t ms) {
    return schedule<&alarm_clock::on_ring>(milliseconds(ms), what);
  }
  schedule_id named(std::string name, std::string what, std::int64_t ms) {
    return schedule<&alarm_clock::on_ring>({.at = milliseconds(ms), .name = name}, what);
  }
  schedule_id repeat(std::string what, std::int64_t ms, bool all) {
    return schedule<&alarm_clock::on_ring>(
        {.at = every(milliseconds(ms)), .missed = all ? missed_ticks::all : missed_ticks::once}, what);
  }
  schedule_id by_cron(std::string what, std::string expression, std::string zone) {
    return schedule<&alarm_clock::on_ring>(cron(expression, zone), what);
  }
  void many(std::uint32_t count, std::int64_t ms, std::string what) {
    for (std::uint32_t i = 0; i < count; ++i)
      schedule<&alarm_clock::on_ring>(milliseconds(ms), what);
  }
  void once_and_throw(std::string what) {
    schedule<&alarm_clock::on_ring>(1s, what);
    throw std::runtime_error("changed my mind");
  }
  bool once_and_cancel(std::string what) {
    return cancel_schedule(schedule<&alarm_clock::on_ring>(1s, what));
  }
  schedule_id sized(std::uint64_t bytes) {
    return schedule<&alarm_clock::on_ring>(1s, std::string(bytes, 'x'));
  }
  schedule_id self_cancelling(std::int64_t ms) {
    return own_ = schedule<&alarm_clock::on_last>(every(milliseconds(ms)));
  }
  schedule_id self_renewing(std::string name, std::int64_t ms) {
    return schedule<&alarm_clock::on_renew>({.at = milliseconds(ms), .name = name}, name, ms);
  }

  bool cancel(schedule_id which) { return cancel_schedule(which); }
  bool cancel_name(std::string name) { return cancel_schedule(name); }

  void on_ring(std::string what) {
    ++runs;
    rings_.push_back({what, in_ms(now()), in_ms(tick().value())});
    if (what == "slow") snooze.pass();
    if (what.starts_with("refused") && refusals > 0 && refusals-- > 0) throw std::runtime_error("not now");
  }
  void on_last() {
    rings_.push_back({"last", in_ms(now()), in_ms(tick().value())});
    cancelled_itself_ = cancel_schedule(own_);
  }
  void on_renew(std::string name, std::int64_t ms) {
    rings_.push_back({"renew", in_ms(now()), in_ms(tick().value())});
    schedule<&alarm_clock::on_renew>({.at = milliseconds(ms), .name = name}, name, ms);
  }

  bool cancelled_itself() const { return cancelled_itself_; }
  std::vector<ring> rings() const { return rings_; }
  std::vector<std::string> pending() const {
    std::vector<std::string> out;
    for (const auto& each : schedules())
      out.push_back(each.id.name + "|" + each.method + "|" + std::to_string(in_ms(each.due)) +
                    (each.recurs ? "|recurs" : ""));
    return out;
  }
  std::vector<std::string> next(std::uint64_t limit) const {
    std::vector<std::string> out;
    for (const auto& each : schedules(limit))
      out.push_back(each.id.name);
    return out;
  }
  /// Named by their place in the order of their due times, made in another order.
  void shuffled(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto place = i * 37 % count;
      schedule<&alarm_clock::on_ring>({.at = std::chrono::minutes(place + 1), .name = std::to_string(place)},
                                      std::string("one"));
    }
  }
  bool ticks_outside() const { return tick().has_value(); }

  template <class Archive> void serialize(Archive& ar) { ar(rings_, own_, cancelled_itself_); }

  using methods = dormouse::methods<
      "ALARM", method<"once", &alarm_clock::once>, method<"named", &alarm_clock::named>,
      method<"repeat", &alarm_clock::repeat>, method<"by_cron", &alarm_clock::by_cron>,
      method<"many", &alarm_clock::many>, method<"once_and_throw", &alarm_clock::once_and_throw>,
      method<"once_and_cancel", &alarm_clock::once_and_cancel>, method<"sized", &alarm_clock::sized>,
      method<"self_cancelling", &alarm_clock::self_cancelling>,
      method<"self_renewing", &alarm_clock::self_renewing>, method<"cancel", &alarm_clock::cancel>,
      method<"cancel_name", &alarm_clock::cancel_name>, method<"on_ring", &alarm_clock::on_ring>,
      method<"on_last", &alarm_clock::on_last>, method<"on_renew", &alarm_clock::on_renew>,
      method<"cancelled_itself", &alarm_clock::cancelled_itself>, method<"rings", &alarm_clock::rings>,
      method<"pending", &alarm_clock::pending>, method<"next", &alarm_clock::next>,
      method<"shuffled", &alarm_clock::shuffled>, method<"ticks_outside", &alarm_clock::ticks_outside>>;

private:
  std::vector<ring> rings_;
  schedule_id own_;
  bool cancelled_itself_ = false;
};

/// Another class, and one without a state whose schedule is all that its creation does.
class born_early : public durable_object {
public:
  static inline std::atomic<int> rung{0};
  void on_create() override { schedule<&born_early::on_ring>(1min); }
  void on_ring() { ++rung; }
  void touch() {}
  using methods = dormouse::methods<"EARLY", method<"on_ring", &born_early::on_ring>,
                                    method<"touch", &born_early::touch>>;
};

struct fixture {
  scratch_directory directory;
  std::shared_ptr<manual_clock> clock = std::make_shared<manual_clock>();
  std::shared_ptr<storage_valve> valve = std::make_shared<storage_valve>();
  options chosen{.directory = directory.path(), .clock = clock, .idle_after = 0ms, .seed = 5};
  std::optional<runtime> running;

  fixture() {
    alarm_clock::refusals = 0;
    alarm_clock::runs = 0;
    born_early::rung = 0;
    start();
  }
  void start(bool defined = true) {
    running.reset();
    running.emplace(chosen, ports{.wrap_engine = valve->wrap(), .wrap_transport = {}});
    if (defined) running->define<alarm_clock>();
  }
  object_ref<alarm_clock> object(const std::string& id = "a") const { return running->get<alarm_clock>(id); }
  std::vector<ring> rings(const std::string& id = "a") const {
    return value_of(object(id).call<&alarm_clock::rings>());
  }
  std::vector<std::string> pending(const std::string& id = "a") const {
    return value_of(object(id).call<&alarm_clock::pending>());
  }
  bool rang(std::size_t times, const std::string& id = "a") const {
    return eventually([&] { return rings(id).size() >= times; }) && rings(id).size() == times;
  }
  bool asleep() const {
    return eventually([&] { return running->stats().active_objects == 0; });
  }
  /// The scheduler has seen the time as it is: what another object has scheduled for now has come.
  void settle() {
    const auto id = "witness " + std::to_string(witnesses++);
    value_of(object(id).call<&alarm_clock::once>(std::string("now"), std::int64_t{0}));
    REQUIRE(rang(1, id));
  }
  void advance(milliseconds by) {
    clock->advance(by);
    settle();
  }

  int witnesses = 0;
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R6: a schedule wakes its object at its time and not a millisecond before, once") {
  value_of(object().call<&alarm_clock::once>(std::string("hour"), std::int64_t{3'600'000}));
  const auto tick = clock->now_ms() + 3'600'000;
  CHECK(running->stats().schedules == 1);
  REQUIRE(asleep());
  advance(3'599'999ms);
  CHECK(rings().empty());
  advance(1ms);
  REQUIRE(rang(1));
  CHECK(rings()[0].what == "hour");
  CHECK(rings()[0].at_ms == tick);
  CHECK(rings()[0].tick_ms == tick);
  CHECK_FALSE(value_of(object().call<&alarm_clock::ticks_outside>()));
  advance(48h);
  CHECK(rings().size() == 1);
  CHECK(pending().empty());
  const auto stats = running->stats();
  CHECK(stats.schedules == 0);
  CHECK(stats.scheduled == 4); // with those of `settle`
  CHECK(stats.fired == 4);
  CHECK(stats.fired_late == 0);
  CHECK(stats.failed_firings == 0);
  REQUIRE(asleep());
  CHECK(eventually([&] { return running->stats().firing_schedules == 0; }));
}

TEST_CASE_FIXTURE(fixture, "R3: a schedule is part of its turn: of one that throws there is nothing, and "
                           "cancelled in its own turn there is none") {
  CHECK(error_of(object().call<&alarm_clock::once_and_throw>(std::string("never"))).code ==
        errc::handler_failed);
  CHECK(value_of(object().call<&alarm_clock::once_and_cancel>(std::string("never"))));
  CHECK(pending().empty());
  advance(1h);
  CHECK(rings().empty());
  running.reset();
  CHECK(disk(directory.path()).count('W') == 0);
  CHECK(disk(directory.path()).count('H') == 0);
}

TEST_CASE_FIXTURE(
    fixture, "a cancelled schedule does not fire and leaves nothing, and what is over cannot be cancelled") {
  const auto first = value_of(object().call<&alarm_clock::once>(std::string("first"), std::int64_t{60'000}));
  const auto second =
      value_of(object().call<&alarm_clock::once>(std::string("second"), std::int64_t{60'000}));
  value_of(
      object().call<&alarm_clock::named>(std::string("daily"), std::string("third"), std::int64_t{60'000}));
  CHECK(pending().size() == 3);
  CHECK(value_of(object().call<&alarm_clock::cancel>(first)));
  CHECK_FALSE(value_of(object().call<&alarm_clock::cancel>(first)));
  CHECK_FALSE(value_of(object("b").call<&alarm_clock::cancel>(second))); // another object's
  CHECK(value_of(object().call<&alarm_clock::cancel_name>(std::string("daily"))));
  CHECK_FALSE(value_of(object().call<&alarm_clock::cancel_name>(std::string("daily"))));
  CHECK_FALSE(value_of(object().call<&alarm_clock::cancel_name>(std::string())));
  CHECK_FALSE(value_of(object().call<&alarm_clock::cancel>(schedule_id())));
  advance(1min);
  REQUIRE(rang(1));
  CHECK(rings()[0].what == "second");
  CHECK_FALSE(value_of(object().call<&alarm_clock::cancel>(second)));
  running.reset();
  CHECK(disk(directory.path()).count('W') == 0);
  CHECK(disk(directory.path()).count('H') == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "a turn sees the schedules of turns whose commits are in flight, and can cancel and replace them") {
  std::future<schedule_id> made;
  std::future<schedule_id> named;
  std::future<bool> cancelled;
  std::future<schedule_id> renamed;
  value_of(
      object().call<&alarm_clock::named>(std::string("old"), std::string("on disk"), std::int64_t{60'000}));
  {
    gate::closing held(valve->writes);
    made = object().call<&alarm_clock::once>(std::string("first"), std::int64_t{60'000});
    named = object().call<&alarm_clock::named>(std::string("n"), std::string("second"), std::int64_t{60'000});
    REQUIRE(eventually([&] { return valve->writes.waiting() == 1; }));
    cancelled = object().call<&alarm_clock::cancel_name>(std::string("n"));
    renamed =
        object().call<&alarm_clock::named>(std::string("old"), std::string("third"), std::int64_t{70'000});
  }
  CHECK(value_of(std::move(cancelled)));
  const auto first = value_of(std::move(made));
  CHECK(value_of(std::move(named)).name == "n");
  CHECK(value_of(std::move(renamed)).name == "old");
  const auto due = [&](std::int64_t ms) { return std::to_string(clock->now_ms() + ms); };
  CHECK(pending() == std::vector<std::string>{"|on_ring|" + due(60'000), "old|on_ring|" + due(70'000)});
  CHECK(running->stats().schedules == 2);
  CHECK(value_of(object().call<&alarm_clock::cancel>(first)));
  advance(1h);
  REQUIRE(rang(1));
  CHECK(rings()[0].what == "third");
  running.reset();
  CHECK(disk(directory.path()).count('W') == 0);
  CHECK(disk(directory.path()).count('H') == 0);
}

TEST_CASE_FIXTURE(fixture, "a schedule takes the place of that of the same name, and the id of the one that "
                           "was there cancels nothing") {
  const auto old = value_of(
      object().call<&alarm_clock::named>(std::string("daily"), std::string("old"), std::int64_t{60'000}));
  value_of(
      object().call<&alarm_clock::named>(std::string("weekly"), std::string("other"), std::int64_t{60'000}));
  const auto young = value_of(
      object().call<&alarm_clock::named>(std::string("daily"), std::string("young"), std::int64_t{90'000}));
  CHECK(old != young);
  CHECK(running->stats().schedules == 2);
  CHECK_FALSE(value_of(object().call<&alarm_clock::cancel>(old)));
  advance(1min);
  REQUIRE(rang(1));
  CHECK(rings()[0].what == "other");
  advance(30s);
  REQUIRE(rang(2));
  CHECK(rings()[1].what == "young");
}

TEST_CASE_FIXTURE(fixture, "every: without drift, and of missed ticks one, or each if asked") {
  const auto start_ms = clock->now_ms();
  const auto at = [&](std::int64_t seconds) { return start_ms + seconds * 1'000; };
  value_of(object("one").call<&alarm_clock::repeat>(std::string("one"), std::int64_t{10'000}, false));
  value_of(object("all").call<&alarm_clock::repeat>(std::string("all"), std::int64_t{10'000}, true));
  advance(9'999ms);
  CHECK(rings("one").empty());
  advance(3'001ms); // at 13
  REQUIRE(rang(1, "one"));
  REQUIRE(rang(1, "all"));
  advance(7s); // at 20
  REQUIRE(rang(2, "one"));
  REQUIRE(rang(2, "all"));
  CHECK(pending("one") == std::vector<std::string>{"|on_ring|" + std::to_string(at(30)) + "|recurs"});
  clock->advance(35s); // at 55
  REQUIRE(rang(5, "all"));
  REQUIRE(rang(3, "one"));
  CHECK(pending("one") == std::vector<std::string>{"|on_ring|" + std::to_string(at(60)) + "|recurs"});
  advance(5s);
  REQUIRE(rang(4, "one"));
  std::vector<std::int64_t> ticks;
  for (const auto& each : rings("one"))
    ticks.push_back(each.tick_ms);
  CHECK(ticks == std::vector{at(10), at(20), at(30), at(60)});
  REQUIRE(rang(6, "all"));
  ticks.clear();
  for (const auto& each : rings("all"))
    ticks.push_back(each.tick_ms);
  CHECK(ticks == std::vector{at(10), at(20), at(30), at(40), at(50), at(60)});
  CHECK(running->stats().fired_late >= 4);
  CHECK(running->stats().schedules == 2);
}

TEST_CASE_FIXTURE(fixture, "cron: at the times of its zone, over the change of the clocks") {
  using namespace std::chrono;
  const auto utc = [](int month, int day, int hour, int minute) {
    return sys_days(year(2026) / month / day) + hours(hour) + minutes(minute);
  };
  clock->set(utc(3, 28, 12, 0));
  value_of(object().call<&alarm_clock::by_cron>(std::string("night"), std::string("30 2 * * *"),
                                                std::string("Europe/Berlin")));
  std::vector<std::int64_t> ticks;
  for (const auto at : {utc(3, 29, 1, 0), utc(3, 30, 0, 30), utc(3, 31, 0, 30)}) {
    clock->set(at - 1ms);
    settle();
    CHECK(rings().size() == ticks.size());
    clock->set(at);
    ticks.push_back(in_ms(at));
    REQUIRE(rang(ticks.size()));
    CHECK(rings().back().tick_ms == ticks.back());
  }
}

TEST_CASE_FIXTURE(
    fixture, "overdue schedules run after a restart, when their class is defined, and one that recurs once") {
  value_of(object("x").call<&alarm_clock::once>(std::string("once"), std::int64_t{60'000}));
  value_of(object("y").call<&alarm_clock::repeat>(std::string("minutely"), std::int64_t{60'000}, false));
  value_of(object("z").call<&alarm_clock::once>(std::string("far"), std::int64_t{7'200'000}));
  running.reset();
  clock->advance(1h);
  chosen.max_firing_schedules = 1;
  start(false);
  running->define<born_early>(); // two of a class that is not defined are due: they hold up nobody
  value_of(running->get<born_early>("e").call<&born_early::touch>());
  clock->advance(1min);
  CHECK(eventually([&] { return born_early::rung == 1; }));
  CHECK(alarm_clock::runs == 0);
  CHECK(eventually([&] { return running->stats().schedules == 3; }));
  running->define<alarm_clock>();
  REQUIRE(rang(1, "x"));
  REQUIRE(rang(1, "y"));
  CHECK(rings("z").empty());
  CHECK(rings("y")[0].tick_ms == clock->now_ms() - 3'600'000);
  advance(1min);
  CHECK(rang(2, "y"));
}

TEST_CASE_FIXTURE(
    fixture,
    "R5: what on_create schedules is there although the object has no state, and does not keep it awake") {
  running->define<born_early>();
  value_of(running->get<born_early>("e").call<&born_early::touch>());
  REQUIRE(asleep());
  CHECK(running->stats().schedules == 1);
  clock->advance(1min);
  CHECK(eventually([&] { return born_early::rung == 1; }));
  REQUIRE(asleep());
  CHECK(running->stats().schedules == 0);
}

TEST_CASE_FIXTURE(fixture, "a handler that throws is tried again with back-off, over a restart, and then its "
                           "tick is a dead letter") {
  alarm_clock::refusals = 1'000;
  value_of(object().call<&alarm_clock::once>(std::string("refused"), std::int64_t{60'000}));
  const auto tick_ms = clock->now_ms() + 60'000;
  clock->advance(1min);
  std::int64_t base = 2'000;
  for (std::uint64_t failed = 1; failed < tries; ++failed, base *= 2) {
    CAPTURE(failed);
    REQUIRE(eventually([&] { return running->stats().failed_firings == failed; }));
    REQUIRE(asleep()); // nothing of it is in memory
    const auto waiting = pending();
    REQUIRE(waiting.size() == 1);
    const auto delay = std::stoll(waiting[0].substr(waiting[0].rfind('|') + 1)) - clock->now_ms();
    CHECK(delay >= base * 3 / 4);
    CHECK(delay <= base * 5 / 4);
    advance(milliseconds(delay - 1));
    CHECK(running->stats().failed_firings == failed);
    clock->advance(1ms);
  }
  REQUIRE(eventually([&] { return running->stats().dead_letters == 1; }));
  CHECK(running->stats().failed_firings == tries);
  CHECK(running->stats().schedules == 0);
  CHECK(pending().empty());
  CHECK(rings().empty());
  auto letters = running->dead_letters().list();
  REQUIRE(letters.size() == 1);
  CHECK(letters[0].object == address{"ALARM", "a"});
  CHECK(letters[0].method == "on_ring");
  CHECK(letters[0].arguments == encode(std::string("refused")));
  CHECK(contains(letters[0].reason, "not now"));
  REQUIRE(letters[0].history.size() == tries);
  CHECK(contains(letters[0].history[0].what, "not now"));
  CHECK(in_ms(letters[0].history[0].time) == tick_ms);

  alarm_clock::refusals = 0;
  start(false);
  running->dead_letters().retry(letters[0].id); // before its class is defined
  CHECK(running->dead_letters().list().empty());
  running->define<alarm_clock>();
  REQUIRE(rang(1));
  CHECK(rings()[0].tick_ms == tick_ms);
  CHECK(running->stats().schedules == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "how often a tick has failed is remembered over a restart, and a letter can be discarded") {
  alarm_clock::refusals = 1'000;
  value_of(object().call<&alarm_clock::named>(std::string("n"), std::string("refused"), std::int64_t{1'000}));
  for (std::uint64_t failed = 1; failed <= tries; ++failed) {
    CAPTURE(failed);
    clock->advance(100s);
    REQUIRE(eventually([&] { return running->stats().failed_firings == 1; }));
    start();
  }
  const auto letters = running->dead_letters().list();
  REQUIRE(letters.size() == 1);
  CHECK(letters[0].history.size() == tries);
  running->dead_letters().discard(letters[0].id);
  CHECK(running->dead_letters().list().empty());
  CHECK(pending().empty());
}

TEST_CASE_FIXTURE(fixture, "one that recurs goes on with its next tick when one has become a dead letter, "
                           "and the letter's retry is that tick alone") {
  alarm_clock::refusals = tries;
  const auto start_ms = clock->now_ms();
  value_of(
      object().call<&alarm_clock::repeat>(std::string("refused daily"), std::int64_t{86'400'000}, false));
  clock->advance(24h);
  for (std::uint64_t failed = 1; failed <= tries; ++failed) {
    REQUIRE(eventually([&] { return running->stats().failed_firings == failed; }));
    clock->advance(80s);
  }
  REQUIRE(eventually([&] { return running->stats().dead_letters == 1; }));
  CHECK(pending() ==
        std::vector<std::string>{"|on_ring|" + std::to_string(start_ms + 2 * 86'400'000) + "|recurs"});
  clock->set(std::chrono::system_clock::time_point(milliseconds(start_ms + 2 * 86'400'000)));
  REQUIRE(rang(1));
  running->dead_letters().retry(running->dead_letters().list()[0].id);
  REQUIRE(rang(2));
  CHECK(rings()[1].tick_ms == start_ms + 86'400'000);
  CHECK(running->stats().schedules == 1);
  clock->advance(24h);
  CHECK(rang(3));
}

TEST_CASE_FIXTURE(fixture, "R4: a firing whose commit fails is fired again, and has one effect") {
  value_of(object().call<&alarm_clock::repeat>(std::string("hourly"), std::int64_t{3'600'000}, false));
  valve->fail_writes();
  clock->advance(1h);
  REQUIRE(eventually([&] { return valve->failed() >= 2; }));
  CHECK(alarm_clock::runs >= 2);
  valve->heal();
  REQUIRE(rang(1));
  settle();
  CHECK(rings().size() == 1);
  CHECK(running->stats().fired == 2);
  clock->advance(1h);
  CHECK(rang(2));
}

TEST_CASE_FIXTURE(fixture, "a failure whose record cannot be written is tried again when it can") {
  alarm_clock::refusals = 1'000;
  value_of(object().call<&alarm_clock::once>(std::string("refused"), std::int64_t{1'000}));
  valve->fail_writes();
  clock->advance(1s);
  REQUIRE(
      eventually([&] { return alarm_clock::runs >= 2; })); // tried again, as nothing says that it was tried
  CHECK(running->stats().failed_firings == 0);
  valve->heal();
  REQUIRE(eventually([&] { return running->stats().failed_firings == 1; }));
  alarm_clock::refusals = 0;
  clock->advance(3s);
  CHECK(rang(1));
  CHECK(running->stats().failed_firings == 1);
}

TEST_CASE_FIXTURE(fixture, "a firing may cancel or replace its own schedule") {
  value_of(object("last").call<&alarm_clock::self_cancelling>(std::int64_t{60'000}));
  value_of(object("renew").call<&alarm_clock::self_renewing>(std::string("me"), std::int64_t{60'000}));
  clock->advance(1min);
  REQUIRE(rang(1, "last"));
  REQUIRE(rang(1, "renew"));
  CHECK(value_of(object("last").call<&alarm_clock::cancelled_itself>()));
  CHECK(pending("last").empty());
  CHECK(pending("renew").size() == 1);
  advance(1min);
  CHECK(rang(2, "renew"));
  CHECK(rings("last").size() == 1);
  CHECK(running->stats().schedules == 1);
}

TEST_CASE_FIXTURE(fixture, "what was cancelled while its firing waited in the mailbox does not fire") {
  const auto first = value_of(object().call<&alarm_clock::once>(std::string("slow"), std::int64_t{1'000}));
  const auto second = value_of(object().call<&alarm_clock::once>(std::string("second"), std::int64_t{1'002}));
  value_of(object().call<&alarm_clock::named>(std::string("n"), std::string("third"), std::int64_t{1'003}));
  std::future<bool> cancelled;
  {
    gate::closing held(alarm_clock::snooze);
    clock->advance(1'001ms);
    REQUIRE(eventually([&] { return alarm_clock::snooze.waiting() == 1; }));
    cancelled = object().call<&alarm_clock::cancel>(second); // before the firings in the mailbox
    (void)object().call<&alarm_clock::named>(std::string("n"), std::string("later"), std::int64_t{1'000'000});
    clock->advance(2ms);
    REQUIRE(eventually([&] { return running->stats().firing_schedules == 3; }));
  }
  CHECK(value_of(std::move(cancelled)));
  settle();
  CHECK(rang(1));
  CHECK(rings()[0].what == "slow");
  CHECK_FALSE(value_of(object().call<&alarm_clock::cancel>(first)));
  CHECK(running->stats().schedules == 1);
}

TEST_CASE_FIXTURE(fixture, "R19: of many that are due a bounded number is in memory, and all fire once") {
  constexpr std::uint32_t objects = 20;
  constexpr std::uint32_t each = 25;
  chosen.max_firing_schedules = 8;
  start();
  for (std::uint32_t i = 0; i < objects; ++i)
    value_of(
        object(std::to_string(i))
            .call<&alarm_clock::many>(each, std::int64_t{60'000}, std::string(i == 0 ? "slow" : "ring")));
  {
    gate::closing held(alarm_clock::snooze);
    clock->advance(1min);
    REQUIRE(eventually([&] { return running->stats().firing_schedules == 8; }));
    CHECK(running->stats().pending_messages <= 8);
  }
  for (std::uint32_t i = 0; i < objects; ++i)
    CHECK(rang(each, std::to_string(i)));
  CHECK(eventually([&] { return running->stats().firing_schedules == 0; }));
  CHECK(running->stats().schedules == 0);
  CHECK(running->stats().fired == objects * each);
}

TEST_CASE_FIXTURE(fixture, "schedules(limit) has those that are due first, whichever are on disk and "
                           "whichever have just been made") {
  value_of(object().call<&alarm_clock::shuffled>(100U));
  const auto first = [](std::size_t many) {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < many; ++i)
      out.push_back(std::to_string(i));
    return out;
  };
  for (const std::size_t limit :
       {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{99}, std::size_t{100}}) {
    CAPTURE(limit);
    CHECK(value_of(object().call<&alarm_clock::next>(limit)) == first(limit));
  }
  CHECK(value_of(object().call<&alarm_clock::next>(std::uint64_t{1'000})) == first(100));
  value_of(object().call<&alarm_clock::named>(std::string("0"), std::string("later"),
                                              std::int64_t{365LL * 86'400'000}));
  CHECK(value_of(object().call<&alarm_clock::next>(std::uint64_t{2})) == std::vector<std::string>{"1", "2"});
}

TEST_CASE("R12: the limits of schedules are errors at the call that name the option to change") {
  scratch_directory directory;
  runtime running({.directory = directory.path(),
                   .max_inline_bytes = 2'000,
                   .max_schedules = 3,
                   .min_schedule_interval = 500ms});
  running.define<alarm_clock>();
  const auto object = running.get<alarm_clock>("a");
  auto why = error_of(object.call<&alarm_clock::sized>(std::uint64_t{2'000}));
  CHECK(why.code == errc::too_large);
  CHECK(contains(why.message, "options::max_inline_bytes = 2000"));
  why = error_of(object.call<&alarm_clock::repeat>(std::string("fast"), std::int64_t{499}, false));
  CHECK(why.code == errc::invalid_request);
  CHECK(contains(why.message, "every 499 ms; the limit is options::min_schedule_interval = 500 ms"));
  for (const auto& name : {std::string(257, 'n'), std::string("\xff")}) {
    why = error_of(object.call<&alarm_clock::named>(name, std::string("x"), std::int64_t{1'000'000}));
    CHECK(why.code == errc::invalid_request);
    CHECK(contains(why.message, "a name is 1..256 bytes of UTF-8"));
  }
  why = error_of(
      object.call<&alarm_clock::by_cron>(std::string("x"), std::string("61 * * * *"), std::string("UTC")));
  CHECK(why.code == errc::invalid_request);
  CHECK(contains(why.message, "'61' is not a minute"));
  why = error_of(object.call<&alarm_clock::by_cron>(std::string("x"), std::string("@daily"),
                                                    std::string("Mars/Olympus")));
  CHECK(why.code == errc::invalid_request);
  CHECK(contains(why.message, "Mars/Olympus"));
  why = error_of(object.call<&alarm_clock::many>(4U, std::int64_t{1'000'000}, std::string("x")));
  CHECK(why.code == errc::queue_full);
  CHECK(contains(why.message, "the limit is options::max_schedules = 3"));
  value_of(object.call<&alarm_clock::many>(3U, std::int64_t{1'000'000}, std::string("x")));
  CHECK(error_of(object.call<&alarm_clock::once>(std::string("x"), std::int64_t{1'000'000})).code ==
        errc::queue_full);
  CHECK_THROWS_WITH_AS(runtime({.directory = "x", .max_firing_schedules = 0}),
                       doctest::Contains("options::max_firing_schedules is 0"), failure);
}

TEST_CASE_FIXTURE(fixture, "a tick of a method that the class does not have is kept, tried again and in the "
                           "end a dead letter, and rows of the runtime's own are not listed") {
  running.reset();
  const auto put = [&](std::uint64_t number, const std::string& method, std::int64_t due_ms) {
    schedule_message row;
    row.id.number = number;
    row.method = method;
    row.tick_ms = row.due_ms = due_ms;
    const auto key = keys::schedule({"ALARM", "a"}, row.id);
    disk(directory.path())
        .put_all({{key, seal_value(frame_type::schedule, row)}, {keys::due(due_ms, number), key}});
  };
  put(7, "was_renamed", 5);
  put(8, "#own", clock->now_ms() + 1'000'000);
  start();
  for (std::uint64_t failed = 1; failed <= tries; ++failed) {
    REQUIRE(eventually([&] { return running->stats().failed_firings == failed; }));
    clock->advance(80s);
  }
  REQUIRE(eventually([&] { return running->stats().dead_letters == 1; }));
  CHECK(contains(running->dead_letters().list()[0].reason, "class ALARM has no method 'was_renamed'"));
  CHECK(pending().empty());
  CHECK(running->stats().schedules == 1);
}

TEST_CASE_FIXTURE(
    fixture, "R21: damaged rows of schedules become dead letters, or are cleared away, and the others fire") {
  for (const char* each : {"a", "b", "c", "d"})
    value_of(object(each).call<&alarm_clock::once>(std::string("ring"), std::int64_t{60'000}));
  running.reset();
  {
    disk at(directory.path());
    for (auto& [key, value] : at.rows('H')) {
      const auto whose = keys::parse_schedule(key)->where.instance_id;
      if (whose == "a") flip_last_bit(value);
      if (whose == "a")
        at.put(key, value);
      else if (whose == "b")
        at.put_all({{key, std::nullopt}});
    }
    for (auto& [key, value] : at.rows('W'))
      if (keys::parse_schedule(value)->where.instance_id == "c") at.put(key, "nonsense");
  }
  start();
  clock->advance(1min);
  REQUIRE(rang(1, "d"));
  CHECK(eventually([&] { return running->stats().dead_letters == 2; }));
  CHECK(running->stats().corrupt_rows == 2);
  for (const char* each : {"a", "b"})
    CHECK(rings(each).empty());
  for (const auto& letter : running->dead_letters().list()) {
    CHECK(contains(letter.reason, "schedule"));
    CHECK(error_thrown_by([&] { running->dead_letters().retry(letter.id); }).code == errc::corrupt);
    running->dead_letters().discard(letter.id);
  }
  settle();
  running.reset();
  CHECK(disk(directory.path()).count('W') == 0);
  CHECK(disk(directory.path()).count('D') == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R6: behind a clock that was set ten years ahead and back, what recurs comes back to "
                  "the present") {
  const auto began = clock->now();
  value_of(object("a").call<&alarm_clock::repeat>(std::string("hourly"), std::int64_t{3'600'000}, false));
  value_of(object("b").call<&alarm_clock::by_cron>(std::string("daily"), std::string("0 12 * * *"),
                                                   std::string("UTC")));
  advance(24h * 3'653);
  REQUIRE(rang(1, "a"));
  REQUIRE(rang(1, "b"));
  SUBCASE("under a running program") { clock->set(began); }
  SUBCASE("while none runs") {
    running.reset();
    clock->set(began);
    start();
  }
  const auto due = [&](const std::string& id) {
    const auto all = pending(id);
    return all.empty() ? std::int64_t{0} : std::stoll(all[0].substr(std::string("|on_ring|").size()));
  };
  REQUIRE(eventually([&] { return due("a") == in_ms(began + 1h); }));
  REQUIRE(eventually([&] { return due("b") <= in_ms(began + 24h); }));
  CHECK(rings("a").size() == 1); // to come back is no tick
  advance(1h);
  CHECK(rang(2, "a"));
  CHECK(rings("a")[1].tick_ms == in_ms(began + 1h));
  advance(23h);
  CHECK(rang(2, "b"));
  CHECK(running->stats().schedules == 2);
}

TEST_CASE_FIXTURE(fixture,
                  "R3: a schedule that is cancelled before its failure is durable leaves no row, and is "
                  "counted once") {
  running.reset();
  schedule_message row;
  row.id.number = 7;
  row.method = "was_renamed";
  row.tick_ms = row.due_ms = 5;
  const auto key = keys::schedule({"ALARM", "a"}, row.id);
  disk(directory.path())
      .put_all({{key, seal_value(frame_type::schedule, row)}, {keys::due(row.due_ms, row.id.number), key}});
  valve->hold_writes([](const write_op& op) { return op.key.front() == 'H'; });
  std::future<bool> cancelled;
  std::future<std::vector<ring>> read;
  {
    gate::closing held(valve->writes);
    start();
    REQUIRE(eventually([&] { return valve->writes.waiting() == 1; })); // that it failed
    cancelled = object().call<&alarm_clock::cancel>(schedule_id{7, {}});
    read = object().call<&alarm_clock::rings>();
    REQUIRE(eventually([&] { return running->stats().reads == 1; })); // behind the turn that cancels
  }
  CHECK(value_of(std::move(cancelled)));
  CHECK(value_of(std::move(read)).empty());
  CHECK(running->stats().schedules == 0);
  running.reset();
  CHECK(disk(directory.path()).count('H') == 0);
  CHECK(disk(directory.path()).count('W') == 0);
}

} // namespace dormouse::test::schedules_test
