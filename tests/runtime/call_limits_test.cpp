// Calls between objects that are waited for no longer than a certain time, and those that are given up.

#include "disk.hpp"
#include "eventually.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

namespace dormouse::test::call_limits_test {

using namespace std::chrono_literals;

namespace {

/// Answers when it is told to.
class oracle : public durable_object {
public:
  static task<std::string> consult(task_context<oracle> self, std::string question) {
    auto word = self.promise<std::string>();
    co_await self.call<&oracle::ask>(to_string(word.id()));
    co_return question + " " + co_await word;
  }
  void ask(std::string promise) { promise_ = std::move(promise); }
  std::string open() const { return promise_; }
  std::string at_once() { return "at once"; }

  template <class Archive> void serialize(Archive& ar) { ar(promise_); }
  using methods =
      dormouse::methods<"ORACLE", method<"consult", &oracle::consult>, method<"ask", &oracle::ask>,
                        method<"open", &oracle::open>, method<"at_once", &oracle::at_once>>;

private:
  std::string promise_;
};

class pilgrim : public durable_object {
public:
  static inline std::atomic<int> grumbles{0};

  later<std::string> visit(std::string id, std::chrono::milliseconds patience) {
    auto answer =
        call<&oracle::consult>(object_id<oracle>(id), "why").within(patience).then<&pilgrim::on_answer>(id);
    open_ = answer.id();
    return answer;
  }
  void set_out(std::string id, std::chrono::milliseconds patience) { visit(id, patience); }
  void hurry(std::string id) {
    call<&oracle::at_once>(object_id<oracle>(id)).within(1h).then<&pilgrim::on_answer>(id);
  }
  later<std::string> turn_back_at_once(std::string id) {
    auto answer = visit(id, 1h);
    cancel_call(answer.id());
    return answer;
  }
  void go_patiently(std::string id) {
    call<&oracle::consult>(object_id<oracle>(id), "why").then<&pilgrim::on_answer>(id);
  }
  bool turn_back() { return cancel_call(open_); }
  void turn_back_and_throw() {
    cancel_call(open_);
    throw std::runtime_error("changed my mind");
  }
  std::string on_answer(call_result<std::string> answer, std::string whose) {
    if (grumbles > 0 && grumbles-- > 0) throw std::runtime_error("my feet hurt");
    heard_.push_back(answer ? *answer
                            : std::string(to_string(answer.error().code)) + " at " +
                                  to_string(answer.error().origin) + ": " + answer.error().message);
    return whose + ": " + heard_.back();
  }
  /// By another pilgrim, who waits without a limit.
  later<std::string> send_out(std::string other, std::string id, std::chrono::milliseconds patience) {
    return call<&pilgrim::visit>(object_id<pilgrim>(other), id, patience).then<&pilgrim::on_answer>(other);
  }
  /// Through so many pilgrims in a row, each with a limit of its own.
  later<std::string> relay(std::uint32_t hops) {
    if (hops == 0) return "the end";
    const auto next = instance_id() + "'";
    return call<&pilgrim::relay>(object_id<pilgrim>(next), hops - 1)
        .within(1h)
        .then<&pilgrim::on_answer>("<");
  }
  void leave() { destroy(); }
  std::vector<std::string> heard() const { return heard_; }

  template <class Archive> void serialize(Archive& ar) { ar(heard_, open_); }
  using methods = dormouse::methods<
      "PILGRIM", method<"visit", &pilgrim::visit>, method<"set_out", &pilgrim::set_out>,
      method<"hurry", &pilgrim::hurry>, method<"turn_back_at_once", &pilgrim::turn_back_at_once>,
      method<"go_patiently", &pilgrim::go_patiently>, method<"turn_back", &pilgrim::turn_back>,
      method<"turn_back_and_throw", &pilgrim::turn_back_and_throw>, method<"on_answer", &pilgrim::on_answer>,
      method<"send_out", &pilgrim::send_out>, method<"relay", &pilgrim::relay>,
      method<"leave", &pilgrim::leave>, method<"heard", &pilgrim::heard>>;

private:
  std::vector<std::string> heard_;
  call_id open_;
};

/// Is ready when the oracle has spoken, or has not for too long.
class temple : public durable_object {
public:
  void on_wake() override {
    block_until_ready(1h);
    call<&oracle::consult>(object_id<oracle>("o"), "may I").within(5s).then<&temple::on_answer>();
  }
  void on_answer(call_result<std::string> answer) {
    said_ = answer ? *answer : std::string(to_string(answer.error().code));
    ready();
  }
  std::string said() const { return said_; }

  template <class Archive> void serialize(Archive& ar) { ar(said_); }
  using methods =
      dormouse::methods<"TEMPLE", method<"on_answer", &temple::on_answer>, method<"said", &temple::said>>;

private:
  std::string said_;
};

/// A pilgrim of a later program, which has no continuation.
class lost_pilgrim : public durable_object {
public:
  bool turn_back() { return cancel_call(open_); }
  std::vector<std::string> heard() const { return heard_; }

  template <class Archive> void serialize(Archive& ar) { ar(heard_, open_); }
  using methods = dormouse::methods<"PILGRIM", method<"turn_back", &lost_pilgrim::turn_back>,
                                    method<"heard", &lost_pilgrim::heard>>;

private:
  std::vector<std::string> heard_;
  call_id open_;
};

struct fixture {
  scratch_directory directory;
  std::shared_ptr<manual_clock> clock = std::make_shared<manual_clock>();
  options chosen{.directory = directory.path(), .clock = clock, .idle_after = 0ms};
  std::optional<runtime> running;

  fixture() {
    pilgrim::grumbles = 0;
    start();
  }
  void start() {
    running.reset();
    running.emplace(chosen);
    running->define<oracle>();
    running->define<pilgrim>();
    running->define<temple>();
  }
  object_ref<pilgrim> a_pilgrim(const std::string& id = "p") const { return running->get<pilgrim>(id); }
  std::vector<std::string> heard(const std::string& id = "p") const {
    return value_of(a_pilgrim(id).call<&pilgrim::heard>());
  }
  bool hears(std::size_t many) const {
    return eventually([&] { return heard().size() >= many; });
  }
  std::string asked(const std::string& id = "o") const {
    std::string text;
    CHECK(eventually(
        [&] { return !(text = value_of(running->get<oracle>(id).call<&oracle::open>())).empty(); }));
    return text;
  }
  void speak(const std::string& id = "o") {
    CHECK(value_of(running->tasks().resolve(
        promise_id<std::string>(value_or_throw(parse_promise_id(asked(id)))), "because")));
  }
  bool late(std::uint64_t many) const {
    return eventually([&] { return running->stats().late_dropped == many; });
  }
  std::size_t rows(char kind) {
    running.reset();
    const auto count = disk(directory.path()).count(kind);
    start();
    return count;
  }
};

const std::string timed_out_text = "timeout at ORACLE/o: the call of ORACLE.consult of object ORACLE/o had "
                                   "no answer within the 30000 ms of its within()";

} // namespace

TEST_CASE_FIXTURE(fixture, "a call with a time limit has its answer, and leaves no schedule behind") {
  value_of(a_pilgrim().call<&pilgrim::hurry>("o"));
  REQUIRE(hears(1));
  auto visit = a_pilgrim().call<&pilgrim::visit>("o", 30s);
  (void)asked();
  CHECK(running->stats().schedules == 1);
  speak();
  CHECK(value_of(std::move(visit)) == "o: why because");
  CHECK(heard() == std::vector<std::string>{"at once", "why because"});
  CHECK(running->stats().schedules == 0);
  clock->advance(1h);
  CHECK(rows('H') + rows('W') + rows('I') == 0);
  CHECK(heard().size() == 2);
}

TEST_CASE_FIXTURE(fixture, "R7: a call whose time has passed gets one error naming object and method, and "
                           "the late answer is dropped and counted") {
  auto visit = a_pilgrim().call<&pilgrim::visit>("o", 30s);
  (void)asked();
  clock->advance(30s - 1ms);
  CHECK(heard().empty());
  clock->advance(1ms);
  CHECK(value_of(std::move(visit)) == "o: " + timed_out_text);
  speak();
  CHECK(late(1));
  CHECK(heard() == std::vector<std::string>{timed_out_text});
  CHECK(rows('H') + rows('W') + rows('I') == 0);
}

TEST_CASE_FIXTURE(fixture, "R7: time limits are kept across restarts, and so is what has become of a call") {
  value_of(a_pilgrim().call<&pilgrim::set_out>("o", 30s));
  (void)asked();
  SUBCASE("its time passes while nobody runs") {
    running.reset();
    clock->advance(1h);
    start();
    REQUIRE(hears(1));
    start();
    speak();
    CHECK(late(1));
    CHECK(heard() == std::vector<std::string>{timed_out_text});
  }
  SUBCASE("the answer comes first") {
    start();
    speak();
    REQUIRE(hears(1));
    start();
    clock->advance(1h);
    CHECK(heard() == std::vector<std::string>{"why because"});
    CHECK(running->stats().schedules == 0);
  }
}

TEST_CASE_FIXTURE(fixture, "R15: an object that waits behind a call whose time has passed is answered once, "
                           "by what the continuation says") {
  auto reply = a_pilgrim().call<&pilgrim::send_out>("q", "o", 30s);
  (void)asked();
  SUBCASE("on time") { speak(); }
  SUBCASE("late") {
    clock->advance(30s);
    REQUIRE(eventually([&] { return heard("q").size() == 1; }));
    speak();
    CHECK(late(1));
  }
  CHECK(value_of(std::move(reply)) == "q: " + ("o: " + heard("q")[0]));
  CHECK(heard().size() == 1);
}

TEST_CASE_FIXTURE(fixture, "R15: a path through calls with time limits is as long as any, and one that is "
                           "too long is an error for the caller") {
  const auto said = value_of(a_pilgrim().call<&pilgrim::relay>(20U));
  CHECK(said.find("<: <: <: ") == 0);
  CHECK(said.find("the end") != std::string::npos);
  CHECK(value_of(a_pilgrim("q").call<&pilgrim::relay>(80U)).find("path_too_long") != std::string::npos);
  CHECK(eventually([&] { return running->stats().schedules == 0; }));
}

TEST_CASE_FIXTURE(
    fixture,
    "a call that is given up gets one error in the same commit, and the late answer is dropped and counted") {
  auto visit = a_pilgrim().call<&pilgrim::visit>("o", 30s);
  (void)asked();
  CHECK(error_of(a_pilgrim().call<&pilgrim::turn_back_and_throw>()).code ==
        errc::handler_failed); // R3: it is still open
  CHECK(value_of(a_pilgrim().call<&pilgrim::turn_back>()));
  CHECK(value_of(std::move(visit)) ==
        "o: cancelled at ORACLE/o: the call of ORACLE.consult of object ORACLE/o was given up");
  CHECK_FALSE(value_of(a_pilgrim().call<&pilgrim::turn_back>()));
  clock->advance(1h);
  start();
  speak();
  CHECK(late(1));
  CHECK(heard().size() == 1);
  CHECK_FALSE(value_of(a_pilgrim("never called").call<&pilgrim::turn_back>()));
}

TEST_CASE_FIXTURE(fixture,
                  "a call can be given up in the turn that made it, and who waits behind it hears of it") {
  CHECK(value_of(a_pilgrim().call<&pilgrim::turn_back_at_once>("o")).find("o: cancelled at ORACLE/o") == 0);
  speak(); // the call itself goes out all the same
  CHECK(late(1));
  CHECK(running->stats().schedules == 0);
}

TEST_CASE_FIXTURE(fixture, "a continuation that throws is tried again with the same outcome, and in the end "
                           "a dead letter, after which the time limit does nothing") {
  value_of(a_pilgrim().call<&pilgrim::set_out>("o", 30s));
  (void)asked();
  SUBCASE("the answer, tried again") {
    pilgrim::grumbles = 2;
    speak();
    REQUIRE(hears(1));
    CHECK(heard()[0] == "why because");
  }
  SUBCASE("the time-out, tried again") {
    pilgrim::grumbles = 2;
    clock->advance(30s);
    REQUIRE(hears(1));
    CHECK(heard()[0] == timed_out_text);
  }
  SUBCASE("the answer, given up on and tried by hand") {
    pilgrim::grumbles = 5;
    speak();
    REQUIRE(eventually([&] { return running->stats().dead_letters == 1; }));
    const auto letters = running->dead_letters().list();
    REQUIRE(letters.size() == 1);
    CHECK(letters[0].method == "on_answer");
    CHECK(running->stats().schedules == 0);
    clock->advance(1h);
    start();
    CHECK(heard().empty());
    running->dead_letters().retry(letters[0].id);
    REQUIRE(hears(1));
    CHECK(heard()[0] == "why because");
  }
  CHECK(rows('H') + rows('W') + rows('I') == 0);
  CHECK(heard().size() == 1);
}

TEST_CASE_FIXTURE(fixture, "a destroyed object is not asked again when the time of its call passes") {
  value_of(a_pilgrim().call<&pilgrim::set_out>("o", 30s));
  (void)asked();
  value_of(a_pilgrim().call<&pilgrim::leave>());
  CHECK(rows('H') == 0);
  clock->advance(1h);
  speak();
  CHECK(late(1));
  CHECK(heard().empty());
}

TEST_CASE_FIXTURE(fixture,
                  "an object that is not ready before its call is answered gets the time-out of that call") {
  auto said = running->get<temple>("t").call<&temple::said>();
  (void)asked();
  CHECK_FALSE(is_ready(said));
  clock->advance(5s);
  CHECK(value_of(std::move(said)) == "timeout");
}

TEST_CASE_FIXTURE(fixture,
                  "a time limit out of range and one too many are errors at the call, naming the limit") {
  for (const auto limit : {0ms, std::chrono::milliseconds(24h * 366) + 1ms, std::chrono::milliseconds(-1)}) {
    const auto why = error_of(a_pilgrim().call<&pilgrim::visit>("o", limit));
    CHECK(why.code == errc::invalid_request);
    CHECK(contains(why.message, "ORACLE.consult"));
    CHECK(contains(why.message, "1..31622400000"));
  }
  chosen.max_schedules = 1;
  start();
  value_of(a_pilgrim().call<&pilgrim::set_out>("o", 30s));
  const auto why = error_of(a_pilgrim().call<&pilgrim::visit>("o", 30s));
  CHECK(why.code == errc::queue_full);
  CHECK(contains(why.message, "max_schedules"));
}

TEST_CASE_FIXTURE(fixture, "a call without a time limit has the rows that it always had") {
  value_of(a_pilgrim().call<&pilgrim::go_patiently>("o"));
  (void)asked();
  CHECK(rows('H') + rows('W') == 0);
  speak();
  REQUIRE(hears(1));
  CHECK(heard()[0] == "why because");
}

TEST_CASE_FIXTURE(fixture, "R15: a call whose answer is on its way to the dead letters cannot be given up") {
  value_of(a_pilgrim().call<&pilgrim::set_out>("o", 30s));
  (void)asked();
  running.reset();
  auto valve = std::make_shared<storage_valve>();
  running.emplace(chosen, ports{.wrap_engine = valve->wrap(), .wrap_transport = {}});
  running->define<oracle>();
  running->define<lost_pilgrim>();
  valve->hold_writes([](const write_op& op) { return op.key.front() == 'D'; });
  std::future<bool> turned;
  std::future<std::vector<std::string>> read;
  {
    gate::closing held(valve->writes);
    speak();
    REQUIRE(eventually([&] { return valve->writes.waiting() == 1; }));
    const auto reads = running->stats().reads;
    turned = running->get<lost_pilgrim>("p").call<&lost_pilgrim::turn_back>();
    read = running->get<lost_pilgrim>("p").call<&lost_pilgrim::heard>();
    REQUIRE(eventually([&] { return running->stats().reads > reads; })); // behind the turn
  }
  CHECK_FALSE(value_of(std::move(turned)));
  CHECK(value_of(std::move(read)).empty());
  CHECK(running->stats().dead_letters == 1);
  CHECK(running->stats().schedules == 0);
  running.reset();
  CHECK(disk(directory.path()).count('H') == 0);
  CHECK(disk(directory.path()).count('W') == 0);
  start();
}

} // namespace dormouse::test::call_limits_test
