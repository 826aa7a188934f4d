// Tasks, hooks and the ready gate where something fails, ends or comes at a bad moment: nothing runs twice,
// nobody is told twice or never, nothing that was destroyed comes back.

#include "disk.hpp"
#include "eventually.hpp"
#include "gate.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace dormouse::test::task_faults_test {

using namespace std::chrono_literals;

namespace {

using texts = std::vector<std::string>;

class hand : public durable_object {
public:
  static inline std::atomic<int> created{0};
  static inline std::atomic<int> bad_wakes{0};
  static inline std::atomic<int> turns{0};
  static inline std::atomic<int> begun{0};

  void on_create() override { ++created; }
  void on_wake() override {
    if (bad_wakes > 0 && bad_wakes-- > 0) throw std::runtime_error("not yet");
  }

  void keep(std::string text) { kept_.push_back(std::move(text)); }
  texts kept() const { return kept_; }
  void end() { destroy(); }
  void turn() { ++turns; }
  void won() {
    kept_.emplace_back("won");
    start<&hand::child>();
  }
  int touch() { return 1; }

  static task<int> echo(task_context<hand> self, std::string text) {
    co_return static_cast<int>(text.size() + co_await self.random() % 1);
  }
  static task<int> child(task_context<hand> self) { co_return static_cast<int>(co_await self.random() % 2); }

  static task<std::string> first_of_two(task_context<hand> self) {
    auto one = self.promise<std::string>();
    auto other = self.promise<std::string>();
    co_await self.call<&hand::keep>(to_string(one.id()));
    co_await self.call<&hand::keep>(to_string(other.id()));
    co_await race(one, other);
    co_await self.call<&hand::won>();
    co_return "done";
  }

  static task<int> end_at_last(task_context<hand> self) {
    auto go = self.promise<std::string>();
    co_await self.call<&hand::keep>(to_string(go.id()));
    co_await go;
    co_await self.call<&hand::end>();
    co_return 1;
  }

  static task<void> spin(task_context<hand> self) {
    co_await self.call<&hand::turn>();
    co_await self.continue_as<&hand::spin>();
  }

  std::string much(std::uint64_t bytes) {
    kept_.emplace_back("much");
    return std::string(bytes, 'm');
  }
  static task<std::string> give_much(task_context<hand> self, std::uint64_t bytes) {
    co_return std::string(bytes + co_await self.random() % 1, 'm');
  }
  static task<std::string> carry(task_context<hand> self, std::uint64_t bytes, std::uint32_t times) {
    const auto make = [bytes] { return std::string(bytes, 'm'); };
    std::string said;
    for (std::uint32_t i = 0; i < times; ++i) {
      try {
        co_await self.side_effect(make);
        co_await self.call<&hand::much>(bytes);
      } catch (const call_failed& e) {
        said += std::string(to_string(e.why().code)) + " " + e.why().message + ";";
      }
    }
    try {
      co_await self.call<&hand::much>(bytes);
    } catch (const call_failed& e) {
      said += std::string(to_string(e.why().code)) + " " + e.why().message;
    }
    auto word = self.promise<std::string>();
    co_await self.call<&hand::keep>(to_string(word.id()));
    co_await word;
    co_return said;
  }

  static task<std::string> wait(task_context<hand> self) {
    ++begun;
    auto word = self.promise<std::string>();
    co_await self.call<&hand::keep>(to_string(word.id()));
    try {
      co_return co_await word;
    } catch (const call_failed& e) {
      co_return "failed: " + std::string(to_string(e.why().code));
    }
  }

  template <class Archive> void serialize(Archive& ar) { ar(kept_); }
  using methods = dormouse::methods<
      "HAND", method<"keep", &hand::keep>, method<"kept", &hand::kept>, method<"end", &hand::end>,
      method<"turn", &hand::turn>, method<"won", &hand::won>, method<"touch", &hand::touch>,
      method<"child", &hand::child>, method<"first_of_two", &hand::first_of_two>,
      method<"end_at_last", &hand::end_at_last>, method<"spin", &hand::spin>, method<"wait", &hand::wait>,
      method<"much", &hand::much>, method<"give_much", &hand::give_much>, method<"carry", &hand::carry>,
      method<"echo", &hand::echo>>;

private:
  texts kept_;
};

/// Asks a hand, and counts what it hears.
class asker : public durable_object {
public:
  void ask_task(std::string whom) {
    call<&hand::end_at_last>(object_id<hand>(whom)).then<&asker::on_answer>();
  }
  void ask(std::string whom) { call<&hand::touch>(object_id<hand>(whom)).then<&asker::on_answer>(); }
  void on_answer(call_result<int> answer) {
    heard_.push_back(answer ? std::to_string(*answer) : std::string(to_string(answer.error().code)));
  }
  texts heard() const { return heard_; }
  void tell(std::string whom, std::string what) { send<&hand::keep>(object_id<hand>(whom), what); }
  template <class Archive> void serialize(Archive& ar) { ar(heard_); }
  using methods = dormouse::methods<"ASKER", method<"ask_task", &asker::ask_task>, method<"ask", &asker::ask>,
                                    method<"on_answer", &asker::on_answer>, method<"heard", &asker::heard>,
                                    method<"tell", &asker::tell>>;

private:
  texts heard_;
};

/// Made ready by a task that sleeps between its tries.
class boiler : public durable_object {
public:
  static inline std::atomic<int> timeout_ms{60'000};

  void on_create() override {
    block_until_ready(std::chrono::milliseconds(timeout_ms));
    start<&boiler::heat>();
  }
  void warm(int degrees) {
    ready();
    if (degrees < 0) throw std::runtime_error("too cold");
    degrees_ = degrees;
  }
  int degrees() const { return degrees_; }

  static task<int> fuel(task_context<boiler> self) {
    co_return static_cast<int>(co_await self.random() % 10) + 20;
  }
  static task<void> heat(task_context<boiler> self) {
    try {
      co_await self.call<&boiler::warm>(-1);
    } catch (const call_failed&) {
    }
    co_await self.sleep_for(1h);
    auto degrees = co_await self.call<&boiler::fuel>();
    co_await self.call<&boiler::warm>(degrees);
  }

  template <class Archive> void serialize(Archive& ar) { ar(degrees_); }
  using methods =
      dormouse::methods<"BOILER", method<"warm", &boiler::warm>, method<"degrees", &boiler::degrees>,
                        method<"fuel", &boiler::fuel>, method<"heat", &boiler::heat>>;

private:
  int degrees_ = 0;
};

/// Waits to be ready when it wakes for a schedule, and meanwhile hears from a promise's task.
class napper : public durable_object {
public:
  static inline std::atomic<bool> blocks{false};
  static inline std::atomic<int> woken{0};

  void on_wake() override {
    ++woken;
    if (blocks) block_until_ready(300ms);
  }
  void plan() { schedule<&napper::on_time>({.at = 1min, .name = "nap"}, std::string("planned")); }
  void begin() { start<&napper::forget_about_it>(); }
  void call_off() { called_off_ = cancel_schedule("nap"); }
  bool called_off() const { return called_off_; }
  void keep(std::string text) { kept_.push_back(std::move(text)); }
  void on_time(std::string what) { kept_.push_back(std::move(what)); }
  texts kept() const { return kept_; }

  static task<void> forget_about_it(task_context<napper> self) {
    auto word = self.promise<std::string>();
    co_await self.call<&napper::keep>(to_string(word.id()));
    co_await word;
    co_await self.call<&napper::call_off>();
  }

  template <class Archive> void serialize(Archive& ar) { ar(kept_, called_off_); }
  using methods =
      dormouse::methods<"NAPPER", method<"plan", &napper::plan>, method<"begin", &napper::begin>,
                        method<"call_off", &napper::call_off>, method<"called_off", &napper::called_off>,
                        method<"keep", &napper::keep>, method<"on_time", &napper::on_time>,
                        method<"kept", &napper::kept>, method<"forget_about_it", &napper::forget_about_it>>;

private:
  texts kept_;
  bool called_off_ = false;
};

struct fixture {
  scratch_directory directory;
  std::shared_ptr<manual_clock> clock = std::make_shared<manual_clock>();
  std::shared_ptr<storage_valve> valve = std::make_shared<storage_valve>();
  options chosen{.directory = directory.path(), .clock = clock, .idle_after = 10s};
  std::optional<runtime> running;

  fixture() {
    hand::created = hand::bad_wakes = hand::turns = hand::begun = 0;
    boiler::timeout_ms = 60'000;
    napper::blocks = false;
    napper::woken = 0;
    start();
  }
  ~fixture() { running.reset(); }
  void start() {
    running.reset();
    running.emplace(chosen, ports{.wrap_engine = valve->wrap(), .wrap_transport = {}});
    running->define<hand>();
    running->define<asker>();
    running->define<boiler>();
    running->define<napper>();
  }
  object_ref<hand> it() const { return running->get<hand>("h"); }
  object_ref<asker> who() const { return running->get<asker>("a"); }
  bool heard(const texts& expected) const {
    return eventually([&] { return value_of(who().call<&asker::heard>()) == expected; });
  }
  static promise_id<std::string> promise(const std::string& text) {
    return promise_id<std::string>(value_or_throw(parse_promise_id(text)));
  }
  /// When the task under way has left so many ids of promises.
  promise_id<std::string> promise_of(std::size_t which) const {
    REQUIRE(eventually([&] { return value_of(it().call<&hand::kept>()).size() > which; }));
    return promise(value_of(it().call<&hand::kept>()).at(which));
  }
  bool asleep() const {
    return eventually([&] { return running->stats().active_objects == 0; });
  }
  static bool is_task_row(const write_op& op) { return op.key.front() == 'T'; }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R15: a task whose last step destroys its object answers once") {
  value_of(who().call<&asker::ask_task>("h"));
  const auto go = promise_of(0);
  REQUIRE(eventually([&] { return running->stats().pending_messages == 0; }));
  CHECK(value_of(running->tasks().resolve(go, std::string("go"))));
  CHECK(heard({"1"}));
  REQUIRE(eventually([&] { return running->stats().pending_messages == 0; }));
  CHECK(value_of(who().call<&asker::heard>()) == texts{"1"});
}

TEST_CASE_FIXTURE(
    fixture, "R16: a task that has ended is not taken up again while its end is on the way to the disk") {
  const auto task = value_of(it().start<&hand::first_of_two>());
  const auto one = promise_of(0);
  const auto other = promise_of(1);
  REQUIRE(eventually([&] { return running->stats().pending_messages == 0; }));
  std::future<bool> first;
  std::future<bool> second;
  std::future<std::string> result;
  {
    valve->hold_writes(is_task_row);
    gate::closing held(valve->writes);
    first = running->tasks().resolve(one, std::string("x"));
    REQUIRE(eventually([&] { return valve->writes.waiting() == 1; }));
    auto bytes = running->stats().unwritten_bytes;
    second = running->tasks().resolve(other, std::string("y"));
    REQUIRE(eventually([&] { return running->stats().unwritten_bytes > bytes; }));
    bytes = running->stats().unwritten_bytes;
    result = running->tasks().result<std::string>(task);
    REQUIRE(eventually([&] { return running->stats().unwritten_bytes > bytes; }));
  }
  CHECK(value_of(std::move(first)));
  CHECK_FALSE(value_of(std::move(second)));
  CHECK(value_of(std::move(result)) == "done");
  const auto kept = value_of(it().call<&hand::kept>());
  CHECK(kept.size() == 3);
  CHECK(kept.back() == "won");
  CHECK(eventually([&] { return running->stats().tasks_completed == 2; }));
}

TEST_CASE_FIXTURE(fixture, "R2: a hook that throws once costs no message: who called hears why, and what "
                           "nobody waits for is tried again") {
  value_of(it().call<&hand::touch>());
  chosen.idle_after = 0ms;
  start();
  hand::bad_wakes = 1;
  value_of(who().call<&asker::ask>("h"));
  CHECK(heard({"handler_failed"}));
  REQUIRE(asleep());
  hand::bad_wakes = 1;
  value_of(it().post<&hand::keep>("posted"));
  CHECK(eventually([&] { return value_of(it().call<&hand::kept>()) == texts{"posted"}; }));
  CHECK(running->stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R3: a task that begins anew for ever ends with its object, and does not make another") {
  value_of(it().start<&hand::spin>());
  REQUIRE(eventually([] { return hand::turns > 5; }));
  value_of(it().call<&hand::end>());
  REQUIRE(asleep());
  CHECK(running->objects<hand>().ids.empty());
  CHECK(hand::created == 1);
  CHECK(running->tasks().list().empty());
  CHECK(running->stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture, "R3: an object is not destroyed while its tasks cannot be read, for those who "
                           "wait for one of them would never hear") {
  const auto task = value_of(it().start<&hand::wait>());
  (void)promise_of(0);
  auto result = running->tasks().result<std::string>(task);
  REQUIRE(eventually([&] { return running->stats().waiting_callers == 1; }));
  clock->advance(1min);
  REQUIRE(asleep());
  valve->fail_scans("T", 1);
  CHECK(error_of(it().call<&hand::end>()).code == errc::storage_error);
  CHECK(value_of(it().call<&hand::kept>()).size() == 1);
  value_of(it().call<&hand::end>());
  CHECK(error_of(std::move(result)).code == errc::not_found);
}

TEST_CASE_FIXTURE(fixture, "R16: to ask for a task of an object that is not there makes no object") {
  const auto task = value_of(it().start<&hand::wait>());
  const auto word = promise_of(0);
  value_of(it().call<&hand::end>());
  REQUIRE(asleep());
  CHECK(error_of(running->tasks().result<std::string>(task)).code == errc::not_found);
  CHECK_FALSE(value_of(running->tasks().cancel(task)));
  CHECK_FALSE(value_of(running->tasks().resolve(word, std::string("late"))));
  CHECK(hand::created == 1);
  CHECK(running->objects<hand>().ids.empty());
}

TEST_CASE_FIXTURE(fixture, "R19: the end of a task needs no room among the schedules") {
  chosen.max_schedules = 1;
  start();
  const auto task = value_of(it().start<&hand::wait>());
  const auto word = promise_of(0);
  value_of(running->get<napper>("n").call<&napper::plan>());
  CHECK(error_of(running->get<napper>("m").call<&napper::plan>()).code == errc::queue_full);
  CHECK(value_of(running->tasks().resolve(word, std::string("word"))));
  CHECK(value_of(running->tasks().result<std::string>(task)) == "word");
  CHECK(running->stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R12: who resolves a promise with another type is told, and the task goes on waiting") {
  const auto task = value_of(it().start<&hand::wait>());
  const auto word = promise_of(0);
  SUBCASE("awake") {}
  SUBCASE("asleep, and begun by an earlier process") { start(); }
  const auto why = error_of(running->tasks().resolve(
      promise_id<std::uint8_t>(static_cast<const any_promise_id&>(word)), std::uint8_t{200}));
  CHECK(why.code == errc::bad_arguments);
  CHECK_MESSAGE(contains(why.message, "task " + to_string(task)), why.message);
  CHECK_MESSAGE(contains(why.message, "basic_string"), why.message);
  CHECK(running->tasks().find(task)->state == task_state::running);
  CHECK(value_of(running->tasks().resolve(word, std::string("word"))));
  CHECK(value_of(running->tasks().result<std::string>(task)) == "word");
  CHECK(running->stats().stuck_tasks == 0);
}

TEST_CASE_FIXTURE(fixture, "R12: a result that is asked for as another type names the task and both types") {
  const auto task = value_of(it().start<&hand::echo>(std::string("four")));
  const auto why = error_of(running->tasks().result<std::string>(task));
  CHECK_MESSAGE(contains(why.message, "task " + to_string(task)), why.message);
  CHECK_MESSAGE(contains(why.message, "HAND.echo, which returns int"), why.message);
  CHECK_MESSAGE(contains(why.message, "basic_string"), why.message);
  CHECK(value_of(running->tasks().result<int>(task)) == 4);
}

TEST_CASE_FIXTURE(fixture, "R12: the arguments of a task have a limit, also from outside") {
  CHECK(error_of(it().call<&hand::echo>(std::string(200'000, 'x'))).code == errc::too_large);
  CHECK(error_of(it().start<&hand::echo>(std::string(200'000, 'x'))).code == errc::too_large);
  CHECK(value_of(it().call<&hand::echo>(std::string(100, 'x'))) == 100);
}

TEST_CASE_FIXTURE(
    fixture,
    "R12: what a step, an own call and a task come to has a limit, and what is over it leaves no trace") {
  chosen.max_state_bytes = 100'000;
  start();
  const auto over = std::uint64_t{100'001};
  const auto task = value_of(it().start<&hand::carry>(over, 1U));
  CHECK(value_of(running->tasks().resolve(promise_of(0), std::string("go"))));
  const auto said = value_of(running->tasks().result<std::string>(task));
  for (const auto* part : {"too_large", "side effect", "HAND.much", "options::max_state_bytes = 100000"})
    CHECK_MESSAGE(contains(said, part), said);
  CHECK(value_of(it().call<&hand::kept>()).size() == 1); // the promise's id: no call was carried out
  for (const auto& why :
       {error_of(it().call<&hand::give_much>(over)), error_of(it().call<&hand::much>(over))}) {
    CHECK(why.code == errc::too_large);
    CHECK_MESSAGE(contains(why.message, "options::max_state_bytes = 100000"), why.message);
  }
  CHECK(value_of(it().call<&hand::kept>()).size() == 1);
}

TEST_CASE_FIXTURE(fixture, "R5: the journals of an object's tasks count for max_active_bytes") {
  const auto task = value_of(it().start<&hand::carry>(std::uint64_t{100'000}, 5U));
  const auto word = promise_of(6); // behind what the calls kept
  CHECK(running->stats().active_bytes > 11 * 100'000);
  CHECK(running->stats().active_bytes < 13 * 100'000);
  CHECK(value_of(running->tasks().resolve(word, std::string("go"))));
  CHECK(value_of(running->tasks().result<std::string>(task)).empty());
  value_of(it().call<&hand::keep>("more"));
  CHECK(running->stats().active_bytes < 100'000);
}

TEST_CASE_FIXTURE(fixture, "R16: a live frame is resumed, and replayed only when the object slept") {
  const auto task = value_of(it().start<&hand::wait>());
  const auto word = promise_of(0);
  CHECK(value_of(running->tasks().resolve(word, std::string("word"))));
  CHECK(value_of(running->tasks().result<std::string>(task)) == "word");
  CHECK(hand::begun == 1);
}

TEST_CASE_FIXTURE(fixture, "R3 R4: a task whose step cannot be written goes back to what is on the disk, and "
                           "its caller hears when it is durable") {
  const auto task = value_of(it().start<&hand::first_of_two>());
  const auto one = promise_of(0);
  REQUIRE(eventually([&] { return running->stats().pending_messages == 0; }));
  const auto written = valve->written();
  auto result = running->tasks().result<std::string>(task);
  REQUIRE(eventually([&] { return valve->written() > written; })); // it is among those who wait
  valve->fail_writes(is_task_row);
  CHECK(error_of(running->tasks().resolve(one, std::string("x"))).code == errc::storage_error);
  CHECK_FALSE(is_ready(result));
  valve->heal();
  CHECK(value_of(it().call<&hand::kept>()).size() == 2); // not won
  CHECK(value_of(running->tasks().resolve(one, std::string("x"))));
  CHECK(value_of(std::move(result)) == "done");
  CHECK(value_of(it().call<&hand::kept>()).size() == 3);
}

TEST_CASE_FIXTURE(
    fixture, "R1 R4: what one object sends to another keeps its order when a commit of the receiver fails") {
  value_of(it().call<&hand::touch>());
  valve->fail_writes([](const write_op& op) { return op.key.front() == 'O' && contains(op.key, "HAND"); });
  const auto failed = valve->failed();
  value_of(who().call<&asker::tell>("h", "first"));
  REQUIRE(eventually([&] { return valve->failed() > failed; }));
  valve->heal();
  for (const auto* each : {"second", "third", "fourth"})
    value_of(who().call<&asker::tell>("h", each));
  CHECK(eventually([&] { return value_of(it().call<&hand::kept>()).size() == 4; }));
  CHECK(value_of(it().call<&hand::kept>()) == texts{"first", "second", "third", "fourth"});
}

TEST_CASE_FIXTURE(fixture, "block_until_ready: a task makes its object ready, though it sleeps, has a task "
                           "of its own, and failed before") {
  auto degrees = running->get<boiler>("b").call<&boiler::degrees>();
  REQUIRE(eventually([&] { return running->stats().schedules == 1; }));
  CHECK_FALSE(is_ready(degrees)); // the `ready()` of the call that threw does not count
  clock->advance(1h);
  CHECK(value_of(std::move(degrees)) >= 20);
}

TEST_CASE_FIXTURE(fixture, "block_until_ready: what was called off while its firing waited does not come "
                           "back when the time is over") {
  const auto object = running->get<napper>("n");
  value_of(object.call<&napper::plan>());
  value_of(object.call<&napper::begin>());
  REQUIRE(eventually([&] { return value_of(object.call<&napper::kept>()).size() == 1; }));
  const auto word = promise(value_of(object.call<&napper::kept>()).at(0));
  running.reset();
  napper::blocks = true;
  napper::woken = 0;
  start();
  clock->advance(1min); // wakes it, and waits
  REQUIRE(eventually([] { return napper::woken == 1; }));
  CHECK(value_of(running->tasks().resolve(word, std::string("never mind"))));
  REQUIRE(asleep()); // it was not ready in time
  napper::blocks = false;
  CHECK(value_of(running->get<napper>("n").call<&napper::called_off>()));
  CHECK(running->stats().schedules == 1); // that forgets the task
  clock->advance(1h);
  CHECK(value_of(running->get<napper>("n").call<&napper::kept>()).size() == 1);
  CHECK(running->stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture, "R4: what a turn called off whose commit fails is still due") {
  const auto object = running->get<napper>("n");
  value_of(object.call<&napper::plan>());
  valve->hold_writes([](const write_op& op) { return op.key.front() == 'H' && !op.value; });
  std::future<void> called_off;
  {
    gate::closing held(valve->writes);
    called_off = object.call<&napper::call_off>();
    REQUIRE(eventually([&] { return valve->writes.waiting() == 1; }));
    const auto bytes = running->stats().unwritten_bytes;
    clock->advance(1min);
    REQUIRE(eventually([&] { return running->stats().firing_schedules == 1; }));
    REQUIRE(eventually([&] { return running->stats().unwritten_bytes > bytes; })); // it has been handled
    valve->fail_writes();
  }
  CHECK(error_of(std::move(called_off)).code == errc::storage_error);
  valve->heal();
  CHECK(eventually([&] { return value_of(object.call<&napper::kept>()) == texts{"planned"}; }));
}

} // namespace dormouse::test::task_faults_test
