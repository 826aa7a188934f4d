// Durable tasks against a real server and a real disk: what a co_await gives, what is done once, what
// survives (R16, R17).

#include "blob_files.hpp"
#include "disk.hpp"
#include "movable_clock.hpp"
#include "outcome.hpp"
#include "upstream/sample_content.hpp"
#include "upstream_fixture.hpp"

#include <dormouse/actors/replay.hpp>
#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <map>
#include <mutex>
#include <sstream>

namespace dormouse::test::tasks_test {

using namespace std::chrono_literals;

namespace {

std::atomic<int> effects_made{0};
std::atomic<int> unwound{0};
std::atomic<int> runs_begun{0}; ///< of frames: replays too

/// Somebody to call.
class ledger : public durable_object {
public:
  std::int64_t add(std::int64_t amount) {
    if (amount < 0) throw std::runtime_error("no debts");
    return total_ += amount;
  }
  std::int64_t total() const { return total_; }

  /// From outside, to a task that waits.
  void tell(promise_id<std::string> whom, std::string what) { resolve(whom, what); }
  void refuse(promise_id<std::string> whom, std::string why) { reject(whom, why); }
  void stop(task_id which) { cancel(which, "the ledger says so"); }

  template <class Archive> void serialize(Archive& ar) { ar(total_); }
  using methods = dormouse::methods<"LEDGER", method<"add", &ledger::add>, method<"total", &ledger::total>,
                                    method<"tell", &ledger::tell>, method<"refuse", &ledger::refuse>,
                                    method<"stop", &ledger::stop>>;

private:
  std::int64_t total_ = 0;
};

struct counts_unwinding {
  ~counts_unwinding() { ++unwound; }
};

class worker : public durable_object {
public:
  void remember(std::string text) { seen_.push_back(std::move(text)); }
  void refuse(std::string text) {
    seen_.push_back(text); // undone
    send<&ledger::add>(object_id<ledger>("refused"), 1);
    throw std::runtime_error("refused " + text);
  }
  /// Of everything a bit, and then it throws.
  void set_and_refuse() {
    browser().set_cookie("name", "value", {.url = "http://example.com/"});
    storage().put("row", 1);
    schedule<&worker::nap>(1h);
    throw std::runtime_error("refused");
  }
  /// Cookies, rows and schedules.
  std::vector<std::uint64_t> leftovers() const {
    return {cookies().size(), storage().get<int>("row") ? 1U : 0U, schedules().size()};
  }
  std::vector<std::string> seen() const { return seen_; }
  std::string last() const { return seen_.empty() ? std::string() : seen_.back(); }
  later<std::string> look_up(std::string url) { return fetch(url).then<&worker::on_look_up>(); }
  std::string on_look_up(fetch_result page) {
    return page ? "looked up " + std::to_string(page->status()) : page.error().message;
  }
  void nap() { hibernate(); }

  static task<std::string> read(task_context<worker> self, std::string url) {
    ++runs_begun;
    auto page = co_await self.fetch(url);
    co_await self.call<&worker::remember>(page.text());
    co_return page.text();
  }

  /// Holds a page while it waits for a word.
  static task<std::string> hold(task_context<worker> self, std::string url) {
    auto page = co_await self.fetch(url);
    auto word = self.promise<std::string>();
    co_await self.call<&worker::remember>(to_string(word.id()));
    auto said = co_await word;
    co_return said + page.text();
  }
  void end() { destroy(); }

  static task<std::string> read_all(task_context<worker> self, std::vector<std::string> urls) {
    std::vector<operation<response>> pages;
    for (const auto& url : urls)
      pages.push_back(self.fetch(url));
    std::string out;
    for (const auto& page : co_await all(pages))
      out += page.text() + ";";
    co_return out;
  }

  static task<std::string> first_of(task_context<worker> self, std::string one, std::string other) {
    auto winner = co_await race(self.fetch(one), self.fetch(other));
    co_return winner.index() == 0 ? "one" : "other";
  }

  static task<std::string> any_of(task_context<worker> self, std::string bad, std::string good) {
    auto winner = co_await any(self.fetch(bad), self.fetch(good));
    co_return std::to_string(winner.index());
  }

  static task<std::string> try_things(task_context<worker> self, std::string blocked) {
    std::string out;
    try {
      co_await self.fetch(blocked);
    } catch (const failure& e) {
      out += std::string(to_string(e.code())) + ";";
    }
    try {
      co_await self.call<&worker::refuse>("x");
    } catch (const call_failed& e) {
      out += e.why().message + ";";
    }
    try {
      co_await self.call<&ledger::add>(object_id<ledger>("main"), -1);
    } catch (const call_failed& e) {
      out += to_string(e.why().origin) + ";";
    }
    try {
      co_await self.side_effect([]() -> int { throw std::runtime_error("no effect"); });
    } catch (const call_failed& e) {
      out += e.why().message + ";";
    }
    co_return out;
  }

  static task<std::string> catch_refusal(task_context<worker> self) {
    std::string why;
    try {
      co_await self.call<&worker::set_and_refuse>();
    } catch (const call_failed& e) {
      why = e.why().message;
    }
    co_await self.call<&worker::remember>("caught");
    co_return why;
  }

  static task<std::string> two_words(task_context<worker> self) {
    auto first = self.promise<std::string>();
    auto second = self.promise<std::string>();
    co_await self.call<&worker::remember>(to_string(first.id()));
    co_await self.call<&worker::remember>(to_string(second.id()));
    auto last = co_await second;
    auto before = co_await first;
    co_return before + last;
  }

  static task<std::string> refused_fetch(task_context<worker> self, std::string url) {
    auto page = self.fetch(url, {.retry = {.max_retries = 0}});
    try {
      co_await page;
    } catch (const fetch_failed& e) {
      co_return std::string(to_string(e.why().code));
    }
    co_return "a response";
  }

  /// Once with everything on its context.
  static task<std::string> everything(task_context<worker> self, std::string url) {
    ++runs_begun;
    auto began = co_await self.now();
    auto name = co_await self.uuid();
    auto number = co_await self.random();
    auto made = co_await self.side_effect([] { return ++effects_made; });
    auto page = self.fetch(url, {.headers = {{"X-Test", name}}});
    auto sum = self.call<&ledger::add>(object_id<ledger>("main"), 5);
    auto [text, total] = co_await all(page, sum);
    co_await self.call<&worker::remember>(name);
    auto answer = self.promise<std::string>();
    co_await self.call<&worker::remember>(to_string(answer.id()));
    auto told = co_await answer;
    auto looked = co_await self.call<&worker::look_up>(url);
    auto parts = co_await part(self, 3);
    auto ended = co_await self.now();
    co_return name + " " + std::to_string(number) + " " + std::to_string(made) + " " + text.text() + " " +
        std::to_string(total) + " " + told + " " + looked + " " + std::to_string(parts) + " " +
        std::to_string((ended - began).count()) + " " + co_await self.call<&worker::last>();
  }

  static task<int> part(task_context<worker> self, int times) {
    int sum = 0;
    for (int i = 0; i < times; ++i)
      sum += static_cast<int>(co_await self.call<&ledger::add>(object_id<ledger>("part"), i));
    co_return sum;
  }

  static task<std::string> wait_for_word(task_context<worker> self) {
    ++runs_begun;
    const counts_unwinding at_end;
    auto word = self.promise<std::string>();
    co_await self.call<&worker::remember>(to_string(word.id()));
    co_return co_await word;
  }

  static task<std::string> undo_when_cancelled(task_context<worker> self) {
    auto word = self.promise<std::string>();
    co_await self.call<&worker::remember>(to_string(word.id()));
    std::string why;
    try {
      co_await word;
    } catch (const task_cancelled& e) {
      why = e.what();
    }
    if (!self.cancelled()) co_return "not cancelled";
    co_await self.call<&worker::remember>("undone"); // a cancelled task may go on
    co_return why;
  }

  static task<std::uint32_t> count_for_ever(task_context<worker> self, std::uint32_t from,
                                            std::uint32_t until) {
    for (int i = 0; i < 5; ++i)
      co_await self.call<&ledger::add>(object_id<ledger>("loop"), 1);
    if (from + 5 < until) co_await self.continue_as<&worker::count_for_ever>(from + 5, until);
    co_return from + 5;
  }

  static task<std::uint32_t> endless(task_context<worker> self) {
    for (std::uint32_t done = 0;; ++done)
      try {
        co_await self.random();
      } catch (const failure&) {
        co_return done;
      }
  }

  static task<std::string> parent(task_context<worker> self, std::string url) {
    auto text = co_await self.call<&worker::read>(url);
    co_return "child: " + text;
  }

  void start_reading(std::string url) { started_ = start<&worker::read>(url); }
  task_id started() const { return started_; }

  template <class Archive> void serialize(Archive& ar) { ar(seen_, started_); }
  using methods = dormouse::methods<
      "WORKER", method<"remember", &worker::remember>, method<"refuse", &worker::refuse>,
      method<"set_and_refuse", &worker::set_and_refuse>, method<"leftovers", &worker::leftovers>,
      method<"catch_refusal", &worker::catch_refusal>, method<"two_words", &worker::two_words>,
      method<"seen", &worker::seen>, method<"last", &worker::last>, method<"look_up", &worker::look_up>,
      method<"on_look_up", &worker::on_look_up>, method<"nap", &worker::nap>, method<"read", &worker::read>,
      method<"hold", &worker::hold>, method<"end", &worker::end>, method<"read_all", &worker::read_all>,
      method<"first_of", &worker::first_of>, method<"any_of", &worker::any_of>,
      method<"try_things", &worker::try_things>, method<"refused_fetch", &worker::refused_fetch>,
      method<"everything", &worker::everything>, method<"wait_for_word", &worker::wait_for_word>,
      method<"undo_when_cancelled", &worker::undo_when_cancelled>,
      method<"count_for_ever", &worker::count_for_ever>, method<"endless", &worker::endless>,
      method<"parent", &worker::parent>, method<"start_reading", &worker::start_reading>,
      method<"started", &worker::started>>;

private:
  std::vector<std::string> seen_;
  task_id started_;
};

struct warnings : spdlog::sinks::base_sink<std::mutex> {
  std::atomic<int> about_steps{0};

  void sink_it_(const spdlog::details::log_msg& line) override {
    about_steps +=
        contains(std::string(line.payload.data(), line.payload.size()), "options::max_task_steps = 50") ? 1
                                                                                                        : 0;
  }
  void flush_() override {}
};

struct tape : task_observer {
  void ended(const finished_task& task) override {
    std::lock_guard guard(mutex);
    tasks.push_back(task);
  }
  std::vector<finished_task> all() {
    std::lock_guard guard(mutex);
    return tasks;
  }
  std::mutex mutex;
  std::vector<finished_task> tasks;
};

struct working : upstream_fixture {
  working() {
    effects_made = 0;
    unwound = 0;
    runs_begun = 0;
  }

  std::unique_ptr<runtime> open(options with) {
    auto out = std::make_unique<runtime>(std::move(with));
    out->define<ledger>();
    out->define<worker>();
    return out;
  }
  std::unique_ptr<runtime> open() { return open(settings()); }

  /// The text of a promise's id that the task has left in the object's state.
  static promise_id<std::string> promise_of(const object_ref<worker>& object) {
    std::string text;
    REQUIRE(eventually(
        [&] { return parse_promise_id(text = value_of(object.call<&worker::last>())).has_value(); }));
    return promise_id<std::string>(*parse_promise_id(text));
  }

  static bool asleep(runtime& running) {
    return eventually([&] { return running.stats().active_objects == 0; });
  }
};

const std::vector<std::string> nothing;

} // namespace

TEST_CASE_FIXTURE(working, "R16: a task reads like fetch and comes to its result") {
  const auto running = open();
  const auto object = running->get<worker>("a");
  const auto url = at("/k/four?bytes=4");
  CHECK(value_of(object.call<&worker::read>(url)) == samples::body_of("four", 4));
  CHECK(value_of(object.call<&worker::last>()) == samples::body_of("four", 4));
  CHECK(value_of(object.call<&worker::parent>(url)) == "child: " + samples::body_of("four", 4));
  CHECK(running->stats().tasks_completed == 3);
  CHECK(running->tasks().list().empty()); // journals go with the commit that ends their task
}

TEST_CASE_FIXTURE(working, "R16: all, any and race") {
  const auto running = open();
  const auto object = running->get<worker>("a");
  CHECK(value_of(object.call<&worker::read_all>(std::vector<std::string>{
            at("/k/a?delay_ms=30&bytes=2"), at("/k/b?bytes=2"), at("/k/c?delay_ms=10&bytes=2")})) ==
        samples::body_of("a", 2) + ";" + samples::body_of("b", 2) + ";" + samples::body_of("c", 2) + ";");
  CHECK(value_of(object.call<&worker::first_of>(at("/k/slow?delay_ms=5000"), at("/k/fast"))) == "other");
  CHECK(value_of(object.call<&worker::any_of>("http://not.allowed/", at("/k/good?delay_ms=20"))) == "1");
  CHECK(error_of(object.call<&worker::any_of>("http://not.allowed/", "http://nor.this/")).code ==
        errc::blocked);
}

TEST_CASE_FIXTURE(working, "R16: errors are thrown at the co_await, and what failed has left no trace") {
  const auto running = open();
  const auto object = running->get<worker>("a");
  CHECK(value_of(object.call<&worker::try_things>("http://not.allowed/")) ==
        "blocked;WORKER.refuse of object WORKER/a threw: refused x;LEDGER/main;no effect;");
  CHECK(value_of(object.call<&worker::seen>()) == nothing);
  CHECK(value_of(running->get<ledger>("refused").call<&ledger::total>()) == 0);
  CHECK(value_of(object.call<&worker::refused_fetch>(at("/k/x?mode=drop"))) == "NETWORK_ERROR");
}

TEST_CASE_FIXTURE(working, "R16: a call that failed leaves no cookie, row or schedule, though its task goes "
                           "on and commits") {
  const auto running = open();
  const auto object = running->get<worker>("a");
  CHECK(contains(value_of(object.call<&worker::catch_refusal>()), "refused"));
  CHECK(value_of(object.call<&worker::last>()) == "caught");
  CHECK(value_of(object.call<&worker::leftovers>()) == std::vector<std::uint64_t>{0, 0, 0});
  REQUIRE(asleep(*running)); // and so it is on the disk
  CHECK(value_of(object.call<&worker::leftovers>()) == std::vector<std::uint64_t>{0, 0, 0});
}

TEST_CASE_FIXTURE(working,
                  "R16: what was done is not done again, whether the task is live, replayed or restarted") {
  const auto url = at("/k/everything?bytes=9");
  std::string expected;
  for (const bool restarts : {false, true}) {
    CAPTURE(restarts);
    effects_made = 0;
    runs_begun = 0;
    auto running = open();
    const std::string id = restarts ? "restarted" : "asleep";
    auto object = running->get<worker>(id);
    const auto task = value_of(object.start<&worker::everything>(url));
    const auto promise = promise_of(object);
    REQUIRE(asleep(*running));
    CHECK(running->tasks().find(task)->state == task_state::running);
    if (restarts) {
      running.reset();
      running = open();
      object = running->get<worker>(id);
    }
    CHECK(value_of(running->get<ledger>("teller").call<&ledger::total>()) == 0);
    value_of(running->get<ledger>("teller").call<&ledger::tell>(promise, "told"));
    const auto result = value_of(running->tasks().result<std::string>(task));
    CAPTURE(result);
    CHECK(contains(result, " " + samples::body_of("everything", 9) + " "));
    CHECK(contains(result, " told looked up 200 "));
    CHECK(effects_made == 1);
    CHECK(runs_begun >= 2); // once live, and replayed as often as the object was asleep
    CHECK(value_of(object.call<&worker::seen>()).size() == 2);
    CHECK_FALSE(value_of(running->tasks().resolve(promise, "again"))); // it has ended
    const int tasks = restarts ? 2 : 1;
    CHECK(value_of(running->get<ledger>("main").call<&ledger::total>()) == 5 * tasks);
    CHECK(value_of(running->get<ledger>("part").call<&ledger::total>()) == 3 * tasks); // 0 + 1 + 2
  }
  CHECK(upstream.hits("everything") == 4); // its own and that of look_up, twice
}

TEST_CASE_FIXTURE(working, "R12 R16: a large body in a journal is a file that stays while the task sleeps "
                           "and in the next process, and goes with the task, however that ends") {
  auto with = settings();
  with.idle_after = 0ms;
  const auto url = at("/k/large?bytes=300000");
  const std::vector<std::string> names{"ends", "is cancelled", "is destroyed"};
  std::map<std::string, task_id> tasks;
  {
    const auto running = open(with);
    for (const auto& name : names) {
      const auto object = running->get<worker>(name);
      tasks[name] = value_of(object.start<&worker::hold>(url));
      (void)promise_of(object);
    }
    REQUIRE(asleep(*running));
    CHECK(blob_files(directory.path()).size() == names.size());
  }
  const auto running = open(with);
  CHECK(value_of(running->tasks().resolve(promise_of(running->get<worker>("ends")), "word")));
  CHECK(value_of(running->tasks().result<std::string>(tasks["ends"])) ==
        "word" + samples::body_of("large", 300'000));
  CHECK(eventually([&] { return blob_files(directory.path()).size() == 2; }));
  CHECK(value_of(running->tasks().cancel(tasks["is cancelled"], "enough")));
  CHECK(eventually([&] { return blob_files(directory.path()).size() == 1; }));
  value_of(running->get<worker>("is destroyed").call<&worker::end>());
  CHECK(no_blob_files(directory.path()));
  CHECK(upstream.hits("large") == names.size());
}

TEST_CASE_FIXTURE(working, "R16: the replay kit cuts a journal off behind each outcome") {
  auto with = settings();
  auto recorded = std::make_shared<tape>();
  with.tasks = recorded;
  const auto running = open(with);
  const auto object = running->get<worker>("a");
  const auto task = value_of(object.start<&worker::everything>(at("/k/kit?bytes=9")));
  value_of(running->tasks().resolve(promise_of(object), "told"));
  (void)value_of(running->tasks().result<std::string>(task));
  (void)value_of(object.call<&worker::try_things>("http://not.allowed/"));
  (void)value_of(object.call<&worker::count_for_ever>(0U, 12U));
  (void)value_of(object.call<&worker::read>(at("/k/large?bytes=300000"))); // a body that is a file
  const auto tapes = recorded->all();
  REQUIRE(tapes.size() == 6); // count_for_ever in three runs
  for (const auto& each : tapes) {
    CAPTURE(each.record.method);
    CHECK(each.journal.size() > 1);
    CHECK(replay_every_prefix<worker>(each) == nothing);
  }
  auto changed = tapes.front();
  changed.journal.at(5).target = "something else";
  CHECK(contains(replay_every_prefix<worker>(changed).at(0), "something else"));
}

TEST_CASE_FIXTURE(working, "R16: a promise is settled once, from an object or from outside") {
  const auto running = open();
  const auto object = running->get<worker>("a");
  auto result = object.call<&worker::wait_for_word>();
  const auto promise = promise_of(object);
  CHECK(value_of(running->tasks().resolve(promise, "yes")));
  CHECK(value_of(std::move(result)) == "yes");
  CHECK_FALSE(value_of(running->tasks().reject(promise, "too late")));
  value_of(object.call<&worker::remember>(""));
  auto refused = object.call<&worker::wait_for_word>();
  value_of(running->get<ledger>("x").call<&ledger::refuse>(promise_of(object), "not today"));
  CHECK(error_of(std::move(refused)).message == "not today");
  CHECK(error_of(running->tasks().reject(any_promise_id{{{"NOBODY", "x"}, 1}, 1}, "why")).code ==
        errc::unknown_binding);
}

TEST_CASE_FIXTURE(working,
                  "R16: a promise that has its word takes no other while its task waits for something else") {
  const auto running = open();
  const auto object = running->get<worker>("a");
  auto result = object.call<&worker::two_words>();
  REQUIRE(eventually([&] { return value_of(object.call<&worker::seen>()).size() == 2; }));
  const auto texts = value_of(object.call<&worker::seen>());
  const promise_id<std::string> first(value_or_throw(parse_promise_id(texts[0])));
  const promise_id<std::string> second(value_or_throw(parse_promise_id(texts[1])));
  CHECK(value_of(running->tasks().resolve(first, "one")));
  CHECK_FALSE(value_of(running->tasks().resolve(first, "two")));
  CHECK(value_of(running->tasks().resolve(second, "!")));
  CHECK(value_of(std::move(result)) == "one!");
}

TEST_CASE_FIXTURE(working, "R16: a cancelled task unwinds, or undoes what it did, live or asleep") {
  const auto running = open();
  const auto object = running->get<worker>("a");
  for (const bool asleep_first : {false, true}) {
    CAPTURE(asleep_first);
    unwound = 0;
    value_of(object.call<&worker::remember>(""));
    const auto task = value_of(object.start<&worker::wait_for_word>());
    (void)promise_of(object);
    if (asleep_first) REQUIRE(asleep(*running));
    const auto before = unwound.load();
    CHECK(value_of(running->tasks().cancel(task, "enough")));
    CHECK(unwound == before + 1);
    CHECK(error_of(running->tasks().result<std::string>(task)).code == errc::cancelled);
    CHECK(running->tasks().find(task)->state == task_state::cancelled);
    CHECK_FALSE(value_of(running->tasks().cancel(task)));
  }
  value_of(object.call<&worker::remember>(""));
  const auto careful = value_of(object.start<&worker::undo_when_cancelled>());
  (void)promise_of(object);
  REQUIRE(asleep(*running));
  value_of(running->get<ledger>("x").call<&ledger::stop>(careful));
  CHECK(value_of(running->tasks().result<std::string>(careful)) ==
        "the task was cancelled: the ledger says so");
  CHECK(value_of(object.call<&worker::last>()) == "undone");
  CHECK(running->stats().tasks_cancelled == 2);
}

TEST_CASE_FIXTURE(working, "R16: continue_as begins a fresh journal, and callers wait on") {
  const auto running = open();
  const auto object = running->get<worker>("a");
  CHECK(value_of(object.call<&worker::count_for_ever>(0U, 200U)) == 200);
  CHECK(value_of(running->get<ledger>("loop").call<&ledger::total>()) == 200);
}

TEST_CASE_FIXTURE(working, "R12: a journal has a limit") {
  auto with = settings();
  with.max_task_steps = 50;
  const auto lines = std::make_shared<warnings>();
  spdlog::register_logger(
      std::make_shared<spdlog::logger>("dormouse", lines)); // the runtime takes the program's own
  {
    const auto running = open(with);
    CHECK(value_of(running->get<worker>("a").call<&worker::endless>()) == 50);
  }
  spdlog::drop("dormouse");
  CHECK(lines->about_steps == 1);
}

TEST_CASE_FIXTURE(working, "R3: a task that a handler starts is part of its turn") {
  const auto running = open();
  const auto object = running->get<worker>("a");
  value_of(object.call<&worker::start_reading>(at("/k/x?bytes=8")));
  const auto task = value_of(object.call<&worker::started>());
  CHECK(value_of(running->tasks().result<std::string>(task)) == samples::body_of("x", 8));
  CHECK(to_string(parse_task_id(to_string(task)).value()) == to_string(task));
  CHECK(error_of(running->tasks().result<std::string>({{"WORKER", "a"}, 7})).code == errc::not_found);
}

TEST_CASE_FIXTURE(working, "R5: a thousand tasks that wait cost nothing but disk") {
  const auto running = open();
  std::vector<std::future<task_id>> started;
  for (int i = 0; i < 1000; ++i)
    started.push_back(running->get<worker>("w" + std::to_string(i)).start<&worker::wait_for_word>());
  for (auto& each : started)
    (void)value_of(std::move(each));
  REQUIRE(asleep(*running));
  CHECK(unwound == 1000); // frames are gone
  CHECK(running->tasks().list({.binding = "WORKER", .limit = 1000}).size() == 1000);
  const auto object = running->get<worker>("w500");
  CHECK(value_of(running->tasks().resolve(promise_of(object), "word")));
}

// --- R17: three programs, one after the other, that have the same task in their own ways -------------------

namespace {

template <int Version> class changing : public durable_object {
public:
  void note(std::string text) { notes_.push_back(std::move(text)); }
  std::vector<std::string> notes() const { return notes_; }

  static task<std::string> work(task_context<changing> self, std::string name) {
    const std::string word_for_it = Version == 4 ? "started " : "began "; // what the others did not say
    co_await self.template call<&changing::note>(word_for_it + name);
    if constexpr (Version == 5) co_return "too soon";   // before its journal ends
    if constexpr (Version == 2) co_await self.random(); // what the first program did not do
    auto word = self.template promise<std::string>();
    co_await self.template call<&changing::note>(to_string(word.id()));
    auto said = co_await word;
    co_await self.template call<&changing::note>("ended " + said);
    if constexpr (Version == 1)
      co_return said;
    else
      co_return "mended " + said;
  }

  template <class Archive> void serialize(Archive& ar) { ar(notes_); }
  using methods = dormouse::methods<"CHANGING", method<"note", &changing::note>,
                                    method<"notes", &changing::notes>, method<"work", &changing::work>>;

private:
  std::vector<std::string> notes_;
};

/// The next program, which has no such task any more.
class without_task : public durable_object {
public:
  void note(std::string text) { notes_.push_back(std::move(text)); }
  std::vector<std::string> notes() const { return notes_; }
  template <class Archive> void serialize(Archive& ar) { ar(notes_); }
  using methods = dormouse::methods<"CHANGING", method<"note", &without_task::note>,
                                    method<"notes", &without_task::notes>>;

private:
  std::vector<std::string> notes_;
};

} // namespace

TEST_CASE_FIXTURE(
    working, "R17: a task whose code has changed is stuck, loses nothing, and goes on with mended code") {
  task_id task;
  promise_id<std::string> promise;
  {
    runtime first(settings());
    first.define<changing<1>>();
    const auto object = first.get<changing<1>>("x");
    task = value_of(object.start<&changing<1>::work>("job"));
    promise = promise_id<std::string>(
        value_or_throw(parse_promise_id(value_of(object.call<&changing<1>::notes>()).back())));
  }
  {
    runtime second(settings());
    second.define<changing<2>>();
    CHECK(value_of(second.tasks().resolve(promise, "word"))); // is told although it cannot go on
    const auto entry = second.tasks().find(task);
    REQUIRE(entry);
    CHECK(entry->state == task_state::stuck);
    CHECK(contains(entry->error->message, "'promise'"));
    CHECK(contains(entry->error->message, "'random'"));
    CHECK(second.stats().stuck_tasks == 1);
    CHECK(second.tasks().list({.state = task_state::stuck}).size() == 1);
    CHECK(value_of(second.get<changing<2>>("x").call<&changing<2>::notes>()).size() == 2);
  }
  {
    runtime again(settings()); // still the wrong one: looked at once more, still stuck
    again.define<changing<2>>();
    CHECK(again.stats().stuck_tasks == 1);
  }
  {
    runtime third(settings());
    third.define<changing<3>>();
    CHECK(value_of(third.tasks().result<std::string>(task)) == "mended word");
    CHECK(third.stats().stuck_tasks == 0);
    CHECK(value_of(third.get<changing<3>>("x").call<&changing<3>::notes>()).back() == "ended word");
  }
}

TEST_CASE_FIXTURE(working, "R17: a task whose code asks the same with other arguments, or ends before its "
                           "journal does, is stuck and loses nothing") {
  std::vector<task_id> tasks;
  {
    runtime first(settings());
    first.define<changing<1>>();
    for (const auto* name : {"x", "y"})
      tasks.push_back(value_of(first.get<changing<1>>(name).start<&changing<1>::work>("job")));
    for (const auto* name : {"x", "y"})
      REQUIRE(eventually(
          [&] { return value_of(first.get<changing<1>>(name).call<&changing<1>::notes>()).size() == 2; }));
  }
  const auto is_stuck = [](runtime& running, const task_id& task, const std::string& why) {
    CHECK(value_of(running.tasks().resolve(promise_id<std::string>({task, 1}), "word")));
    const auto entry = running.tasks().find(task);
    REQUIRE(entry);
    CHECK(entry->state == task_state::stuck);
    REQUIRE(entry->error);
    CHECK_MESSAGE(contains(entry->error->message, why), entry->error->message);
    CHECK(running.tasks().journal(task).size() == 3);
  };
  {
    runtime second(settings());
    second.define<changing<4>>();
    is_stuck(second, tasks[0], "with other arguments");
    CHECK(value_of(second.get<changing<4>>("x").call<&changing<4>::notes>()).size() == 2);
  }
  {
    runtime third(settings());
    third.define<changing<5>>();
    is_stuck(third, tasks[1], "journal");
  }
  runtime mended(settings());
  mended.define<changing<3>>();
  for (const auto& task : tasks)
    CHECK(value_of(mended.tasks().result<std::string>(task)) == "mended word");
}

namespace {

/// Asks for a page, and waits. Its next program asks for another one.
template <int Version> class asking : public durable_object {
public:
  static task<std::string> work(task_context<asking> self, std::string page) {
    const auto got = co_await self.fetch(page + "&version=" + std::to_string(Version));
    auto word = self.template promise<std::string>();
    co_return got.text() + co_await word;
  }

  using methods = dormouse::methods<"ASKING", method<"work", &asking::work>>;
};

} // namespace

TEST_CASE_FIXTURE(working,
                  "R29: a stuck task is logged without the secrets of its URLs, and its journal has them") {
  std::ostringstream written;
  spdlog::register_logger(std::make_shared<spdlog::logger>(
      "dormouse", std::make_shared<spdlog::sinks::ostream_sink_mt>(written)));
  task_id task;
  const auto page = at("/k/page?bytes=4&token=sesame");
  {
    runtime first(settings());
    first.define<asking<1>>();
    task = value_of(first.get<asking<1>>("x").start<&asking<1>::work>(page));
    REQUIRE(eventually([&] { return first.tasks().journal(task).size() == 2; }));
  }
  {
    runtime second(settings());
    second.define<asking<2>>();
    CHECK(value_of(second.tasks().resolve(promise_id<std::string>({task, 1}), "word"))); // it is woken
    const auto entry = second.tasks().find(task);
    REQUIRE(entry);
    REQUIRE(entry->error);
    CHECK(contains(entry->error->message, "'fetch GET " + at("/k/page?...") + "'"));
    CHECK(contains(entry->error->message, "with other arguments"));
    CHECK_FALSE(contains(entry->error->message, "sesame"));
    CHECK(second.tasks().journal(task).front().target == "GET " + page + "&version=1");
  }
  spdlog::drop("dormouse");
  CHECK(contains(written.str(), "task is stuck"));
  CHECK_FALSE(contains(written.str(), "sesame"));
}

TEST_CASE_FIXTURE(working,
                  "R17: a task that is stuck can be cancelled, and so can one whose method is gone") {
  std::vector<task_id> tasks;
  {
    runtime first(settings());
    first.define<changing<1>>();
    for (const auto* name : {"x", "y"})
      tasks.push_back(value_of(first.get<changing<1>>(name).start<&changing<1>::work>("job")));
  }
  const auto can_be_cancelled = [](runtime& running, const task_id& task) {
    CHECK(value_of(running.tasks().cancel(task, "hopeless")));
    CHECK(running.tasks().find(task)->state == task_state::cancelled);
    CHECK(running.stats().stuck_tasks == 0);
    CHECK(contains(error_of(running.tasks().result<std::string>(task)).message, "hopeless"));
  };
  {
    runtime second(settings());
    second.define<changing<2>>();
    can_be_cancelled(second, tasks[0]);
  }
  runtime third(settings());
  third.define<without_task>();
  const auto word =
      parse_promise_id(value_of(third.get<without_task>("y").call<&without_task::notes>()).back());
  REQUIRE(word);
  (void)third.tasks().resolve(promise_id<std::string>(*word), std::string("word"));
  REQUIRE(eventually([&] { return third.tasks().find(tasks[1])->state == task_state::stuck; }));
  CHECK(contains(third.tasks().find(tasks[1])->error->message, "work"));
  can_be_cancelled(third, tasks[1]);
}

namespace {

std::string told_promise; ///< by a task of `old_tour`

class old_stop : public durable_object {
public:
  std::string leave(std::string how) { return "left " + how; }
  using methods = dormouse::methods<"STOP", method<"leave", &old_stop::leave>>;
};

class new_stop : public durable_object {
public:
  std::string depart(std::string how) { return "departed " + how; }
  using methods = dormouse::methods<"HALT", renamed_from<"STOP">,
                                    method<"depart", &new_stop::depart, renamed_from<"go", "leave">>>;
};

/// The task of a tour, with the names of its object and of the stops.
template <class Tour, class Stop, auto Note, auto Leave, auto Part>
task<std::string> travel(task_context<Tour> self) {
  co_await self.template call<Note>(std::string("began"));
  auto left =
      co_await self.template call<Leave>(object_id<Stop>(std::string(300, 's')), std::string("early"));
  left += co_await self.template call<Leave>(object_id<Stop>("a of B/c"), std::string(" and late"));
  auto part = co_await self.template call<Part>(std::string("part"));
  auto word = self.template promise<std::string>();
  auto tell = self.side_effect([&word] { told_promise = to_string(word.id()); });
  co_await tell;
  co_await self.template call<Note>(std::string("waits"));
  auto said = co_await word;
  co_await self.template call<Note>(said);
  co_return left + ' ' + part + ' ' + said;
}

class old_tour : public durable_object {
public:
  void note(std::string what) { notes_.push_back(std::move(what)); }
  std::vector<std::string> notes() const { return notes_; }
  static task<std::string> part(task_context<old_tour>, std::string what) { co_return what; }
  static task<std::string> run(task_context<old_tour> self) {
    co_return co_await travel<old_tour, old_stop, &old_tour::note, &old_stop::leave, &old_tour::part>(self);
  }
  template <class Archive> void serialize(Archive& ar) { ar(notes_); }
  using methods =
      dormouse::methods<"TOUR", method<"note", &old_tour::note>, method<"notes", &old_tour::notes>,
                        method<"part", &old_tour::part>, method<"run", &old_tour::run>>;

private:
  std::vector<std::string> notes_;
};

class new_tour : public durable_object {
public:
  void write(std::string what) { notes_.push_back(std::move(what)); }
  std::vector<std::string> notes() const { return notes_; }
  static task<std::string> piece(task_context<new_tour>, std::string what) { co_return what; }
  static task<std::string> journey(task_context<new_tour> self) {
    co_return co_await travel<new_tour, new_stop, &new_tour::write, &new_stop::depart, &new_tour::piece>(
        self);
  }
  template <class Archive> void serialize(Archive& ar) { ar(notes_); }
  using methods = dormouse::methods<
      "JOURNEY", renamed_from<"TOUR">, method<"write", &new_tour::write, renamed_from<"note">>,
      method<"notes", &new_tour::notes>, method<"piece", &new_tour::piece, renamed_from<"part">>,
      method<"journey", &new_tour::journey, renamed_from<"run">>>;

private:
  std::vector<std::string> notes_;
};

} // namespace

TEST_CASE_FIXTURE(working, "R17: a task goes on when methods and bindings that its journal names have other "
                           "names, and is found by its old id") {
  task_id id;
  {
    runtime before(settings());
    before.define<old_stop>();
    before.define<old_tour>();
    const auto tour = before.get<old_tour>("x");
    id = value_of(tour.start<&old_tour::run>());
    REQUIRE(eventually([&] { return value_of(tour.call<&old_tour::notes>()).size() == 2; }));
  }
  const auto promise = promise_id<std::string>(value_or_throw(parse_promise_id(told_promise)));
  CHECK(promise.task == id);
  runtime after(settings());
  after.define<new_tour>();
  after.define<new_stop>();
  const auto found = after.tasks().find(id);
  REQUIRE(found);
  CHECK(found->id.object == address{"JOURNEY", "x"});
  CHECK(after.tasks().journal(id).size() == found->steps);
  CHECK(after.tasks().list({.binding = "TOUR"}).size() == 1);
  CHECK(after.tasks().list({.binding = "TOUR", .instance_id = "x"}).size() == 1);
  CHECK(after.tasks().list({.after = id}).empty());
  CHECK(value_of(after.tasks().resolve(promise, "home")));
  CHECK(value_of(after.tasks().result<std::string>(id)) == "left earlyleft  and late part home");
  CHECK(value_of(after.get<new_tour>("x").call<&new_tour::notes>()) ==
        std::vector<std::string>{"began", "waits", "home"});
  CHECK_FALSE(value_of(after.tasks().cancel(id)));
  CHECK(after.stats().stuck_tasks == 0);
}

TEST_CASE_FIXTURE(working, "R21: a damaged record or step of a task is seen as such, keeps no other task "
                           "from being seen, and a task with one can be cancelled") {
  std::vector<task_id> ids;
  {
    runtime first(settings());
    first.define<changing<1>>();
    for (const auto* name : {"a", "b", "c"}) {
      const auto object = first.get<changing<1>>(name);
      ids.push_back(value_of(object.start<&changing<1>::work>("job")));
      REQUIRE(eventually([&] { return value_of(object.call<&changing<1>::notes>()).size() == 2; }));
    }
  }
  {
    disk rows(directory.path());
    auto record = rows.rows('T').at(keys::task(ids[0]));
    flip_last_bit(record);
    rows.put(keys::task(ids[0]), record);
    const auto steps = keys::steps_of(ids[1]);
    auto step = rows.rows('J').lower_bound(steps.first)->second;
    auto key = rows.rows('J').lower_bound(steps.first)->first;
    flip_last_bit(step);
    rows.put(key, step);
  }
  runtime running(settings());
  running.define<changing<1>>();
  const auto all = running.tasks().list();
  REQUIRE(all.size() == 3);
  CHECK(all[0].id == ids[0]);
  CHECK(all[0].state == task_state::stuck);
  REQUIRE(all[0].error);
  CHECK(all[0].error->code == errc::corrupt);
  CHECK(all[1].state == task_state::running);
  CHECK(all[2].state == task_state::running);
  CHECK(running.tasks().list({.limit = 1, .after = ids[0]}).at(0).id == ids[1]);
  CHECK(running.tasks().list({.state = task_state::running}).size() == 2);
  CHECK(error_thrown_by([&] { (void)running.tasks().find(ids[0]); }).code == errc::corrupt);
  CHECK(error_thrown_by([&] { (void)running.tasks().journal(ids[1]); }).code == errc::corrupt);
  CHECK(error_of(running.tasks().cancel(ids[0])).code == errc::corrupt);
  CHECK(value_of(running.tasks().cancel(ids[1], "unreadable")));
  CHECK(running.tasks().find(ids[1])->state == task_state::cancelled);
  running.stop();
  const auto steps = keys::steps_of(ids[1]);
  for (const auto& [key, row] : disk(directory.path()).rows('J'))
    CHECK_FALSE((key >= steps.first && key < steps.second));
}

TEST_CASE_FIXTURE(working, "R21: a journal that lacks a step in its middle is corrupt, and says which") {
  task_id task;
  {
    runtime first(settings());
    first.define<changing<1>>();
    const auto object = first.get<changing<1>>("a");
    task = value_of(object.start<&changing<1>::work>("job"));
    REQUIRE(eventually([&] { return value_of(object.call<&changing<1>::notes>()).size() == 2; }));
  }
  {
    disk rows(directory.path());
    const auto all = rows.rows('J');
    REQUIRE(all.size() == 3);
    rows.put_all({{std::next(all.begin())->first, std::nullopt}});
  }
  runtime running(settings());
  running.define<changing<1>>();
  const auto why = error_thrown_by([&] { (void)running.tasks().journal(task); });
  CHECK(why.code == errc::corrupt);
  CHECK_MESSAGE(contains(why.message, "is missing"), why.message);
  CHECK_MESSAGE(contains(why.message, "step "), why.message);
  CHECK(value_of(running.tasks().cancel(task, "unreadable")));
}

TEST_CASE("R21: the text of a task's or a promise's id is refused if it is not one") {
  const std::string too_long(1025, 'i');
  for (const std::string text : {"",          "/",        "//",
                                 "A",         "A/1",      "A//x",
                                 "/1/x",      "A/1/",     "A/x/x",
                                 "A/-1/x",    "A/+1/x",   "A/ 1/x",
                                 "A/1 /x",    "A/0x1/x",  "A/18446744073709551616/x",
                                 "A b/1/x",   "1A/1/x",   "A/1/\xff",
                                 "A/1./x",    "A/.1/x",   "A/./x",
                                 "A/1.2.3/x", "A/1.-2/x", "A/1.18446744073709551616/x",
                                 "A/1.2/",    "A/1.2"}) {
    CHECK_MESSAGE(parse_task_id(text).error().code == errc::bad_arguments, text);
    CHECK_MESSAGE(parse_promise_id(text).error().code == errc::bad_arguments, text);
  }
  CHECK(parse_task_id("A/1/" + too_long).error().code == errc::bad_arguments);
  CHECK(parse_promise_id("A/1.2/" + too_long).error().code == errc::bad_arguments);
  CHECK_FALSE(parse_task_id("A/1.2/x"));
  CHECK_FALSE(parse_promise_id("A/1/x"));
  CHECK_FALSE(parse_task_id(std::string("A/1\0/x", 6)));
  CHECK(parse_task_id("A/18446744073709551615/x/y").value() == task_id{{"A", "x/y"}, 18446744073709551615U});
  CHECK(parse_promise_id("A/1.2/x/3.4/y").value() == any_promise_id{{{"A", "x/3.4/y"}, 1}, 2});
}

// --- with what else there is -------------------------------------------------------------------------------

namespace {

class visitor : public durable_object {
public:
  static task<std::string> visit(task_context<visitor> self, std::string site) {
    co_await self.browser().fetch(site + "/set_cookie?c=a%3D1");
    auto again = self.browser().fetch(site + "/cookies");
    auto apart = self.browser("other").fetch(site + "/cookies");
    auto [with, without] = co_await all(again, apart);
    co_return with.text() + without.text();
  }
  std::optional<std::string> kept() { return browser().get_cookie("a"); }

  static task<void> count(task_context<visitor> self) { co_await self.call<&visitor::one_more>(); }
  void one_more() { ++counted_; }
  int counted() const { return counted_; }
  void plan() { schedule<&visitor::count>(1s); }

  template <class Archive> void serialize(Archive& ar) { ar(counted_); }
  using methods =
      dormouse::methods<"VISITOR", method<"visit", &visitor::visit>, method<"kept", &visitor::kept>,
                        method<"count", &visitor::count>, method<"one_more", &visitor::one_more>,
                        method<"counted", &visitor::counted>, method<"plan", &visitor::plan>>;

private:
  int counted_ = 0;
};

class asker : public durable_object {
public:
  later<std::string> ask(object_id<worker> whom, std::string url) {
    return call<&worker::read>(whom, url).then<&asker::on_text>();
  }
  std::string on_text(call_result<std::string> text) {
    return text ? "asked: " + *text : "failed at " + to_string(text.error().origin);
  }
  using methods = dormouse::methods<"ASKER", method<"ask", &asker::ask>, method<"on_text", &asker::on_text>>;
};

} // namespace

TEST_CASE_FIXTURE(working, "R16: a task's browser has the jars of its object") {
  runtime running(settings());
  running.define<visitor>();
  const auto object = running.get<visitor>("v");
  CHECK(value_of(object.call<&visitor::visit>(upstream.url())) == R"([["a","1"]][])");
  CHECK(value_of(object.call<&visitor::kept>()) == "1");
}

TEST_CASE_FIXTURE(working, "R16: a schedule calls a task, and its tick is handled when the task is on disk") {
  const auto clock = std::make_shared<movable_clock>();
  runtime running(with_clock(settings(), clock));
  running.define<visitor>();
  const auto object = running.get<visitor>("v");
  value_of(object.call<&visitor::plan>());
  clock->advance(2s);
  CHECK(eventually([&] { return value_of(object.call<&visitor::counted>()) == 1; }));
  CHECK(eventually([&] { return running.stats().schedules == 0 && running.tasks().list().empty(); }));
}

TEST_CASE_FIXTURE(working, "R15: another object calls a task, and hears when it has ended") {
  const auto running = open();
  running->define<asker>();
  const auto object = running->get<asker>("x");
  CHECK(value_of(object.call<&asker::ask>(object_id<worker>("w"), at("/k/asked?bytes=5"))) ==
        "asked: " + samples::body_of("asked", 5));
  CHECK(value_of(object.call<&asker::ask>(object_id<worker>("w"), "http://not.allowed/")) ==
        "failed at WORKER/w");
}

// --- sleeping ----------------------------------------------------------------------------------------------

namespace {

class sleeper : public durable_object {
public:
  static task<std::int64_t> nap(task_context<sleeper> self, std::int64_t seconds) {
    auto before = co_await self.now();
    co_await self.sleep_for(std::chrono::seconds(seconds));
    co_return std::chrono::duration_cast<std::chrono::seconds>(co_await self.now() - before).count();
  }
  static task<std::string> give_up(task_context<sleeper> self, std::string url) {
    auto which = co_await race(self.fetch(url), self.sleep_for(1h));
    co_return which.index() == 1 ? "too slow" : "came";
  }
  static task<void> too_long(task_context<sleeper> self) {
    co_await self.sleep_for(std::chrono::hours(24 * 400));
  }
  void end() { destroy(); }
  void begin() { (void)start<&sleeper::nap>(3600); }
  std::size_t scheduled() const { return schedules().size(); }

  using methods =
      dormouse::methods<"SLEEPER", method<"nap", &sleeper::nap>, method<"give_up", &sleeper::give_up>,
                        method<"too_long", &sleeper::too_long>, method<"end", &sleeper::end>,
                        method<"begin", &sleeper::begin>, method<"scheduled", &sleeper::scheduled>>;
};

} // namespace

TEST_CASE_FIXTURE(working, "R5: a task sleeps on disk until its time, and not a moment less") {
  const auto clock = std::make_shared<movable_clock>();
  auto running = std::make_unique<runtime>(with_clock(settings(), clock));
  running->define<sleeper>();
  const auto task = value_of(running->get<sleeper>("a").start<&sleeper::nap>(24 * 3600));
  REQUIRE(asleep(*running));
  clock->advance(12h);
  running = nullptr;
  running = std::make_unique<runtime>(with_clock(settings(), clock));
  running->define<sleeper>();
  auto result = running->tasks().result<std::int64_t>(task);
  CHECK(running->stats().fired == 0);
  clock->advance(11h + 59min);
  CHECK_FALSE(is_ready(result));
  clock->advance(1min);
  CHECK(value_of(std::move(result)) >= 24 * 3600);
  CHECK(error_of(running->get<sleeper>("a").call<&sleeper::too_long>()).code == errc::invalid_request);
}

TEST_CASE_FIXTURE(working,
                  "R16: a race that a fetch loses against the time, and a sleep that is called off") {
  const auto clock = std::make_shared<movable_clock>();
  runtime running(with_clock(settings(), clock));
  running.define<sleeper>();
  const auto object = running.get<sleeper>("a");
  auto slow = object.call<&sleeper::give_up>(at("/k/hang?mode=hang"));
  REQUIRE(eventually([&] { return upstream.hits("hang") == 1; }));
  clock->advance(2h);
  CHECK(value_of(std::move(slow)) == "too slow");
  CHECK(value_of(object.call<&sleeper::give_up>(at("/k/quick"))) == "came");
  CHECK(running.stats().schedules == 0); // called off with the task
}

TEST_CASE_FIXTURE(working, "R3: destroy takes an object's tasks with it, and nothing of them comes back") {
  const auto clock = std::make_shared<movable_clock>();
  runtime running(with_clock(settings(), clock));
  running.define<sleeper>();
  const auto object = running.get<sleeper>("a");
  value_of(object.call<&sleeper::begin>());
  const auto task = running.tasks().list().at(0).id;
  REQUIRE(asleep(running));
  auto waits = object.call<&sleeper::nap>(3600);
  auto waits_too = running.tasks().result<std::int64_t>(task);
  REQUIRE(eventually([&] { return running.stats().waiting_callers == 2; }));
  value_of(object.call<&sleeper::end>());
  CHECK(error_of(std::move(waits)).code == errc::not_found);
  CHECK(contains(error_of(std::move(waits_too)).message, "destroyed"));
  CHECK(running.tasks().list().empty());
  CHECK(running.stats().schedules == 0);
  CHECK(error_of(running.tasks().result<std::int64_t>(task)).code == errc::not_found);
  clock->advance(2h);
  CHECK(value_of(object.call<&sleeper::scheduled>()) == 0);
}

} // namespace dormouse::test::tasks_test
