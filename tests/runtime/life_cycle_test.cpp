// destroy(): an object ends as a whole, with one commit, and what it had asked for does not reach the next
// one under its address.

#include "disk.hpp"
#include "eventually.hpp"
#include "gate.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"
#include "transports.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace dormouse::test::life_cycle_test {

using namespace std::chrono_literals;

namespace {

constexpr auto closed_port = "http://127.0.0.1:1/";

/// Answers when the test lets it.
class oracle : public durable_object {
public:
  static inline gate turns;
  static inline std::atomic<int> asked{0};

  std::string ask(std::string what) {
    ++asked;
    turns.pass();
    return what + "!";
  }
  void note(std::string what) { notes_.push_back(std::move(what)); }
  std::vector<std::string> notes() const { return notes_; }

  template <class Archive> void serialize(Archive& ar) { ar(notes_); }
  using methods = dormouse::methods<"ORACLE", method<"ask", &oracle::ask>, method<"note", &oracle::note>,
                                    method<"notes", &oracle::notes>>;

private:
  std::vector<std::string> notes_;
};

class resident : public durable_object {
public:
  static inline std::atomic<int> created{0};
  static inline std::atomic<bool> ends_in_on_wake{false};
  static inline std::atomic<int> answers{0};
  static inline gate turns;

  void on_create() override {
    ++created;
    storage().put("born", std::string("yes"));
  }
  void on_wake() override {
    if (ends_in_on_wake) destroy();
  }

  void add(int amount) {
    turns.pass();
    total_ += amount;
  }
  int total() const { return total_; }
  void furnish(std::uint64_t rows) {
    total_ += 1;
    for (std::uint64_t i = 0; i < rows; ++i)
      storage().put(std::to_string(i), i);
    browser().set_cookie("name", "value", {.url = "http://example.com/"});
    browser("other").set_cookie("name", "value", {.url = "http://example.com/"});
  }
  std::uint64_t rows() const {
    return storage().list<std::string>({.prefix = "born"}).size() +
           storage().list<std::uint64_t>({.end = "a", .limit = 10'000}).size();
  }
  std::uint64_t cookie_count() const { return cookies().size() + cookies("other").size(); }

  std::string end() {
    total_ = 1'000;
    storage().put("last", 1);
    destroy();
    return "farewell";
  }
  void end_and_throw() {
    destroy();
    throw std::runtime_error("changed my mind");
  }
  void end_and_tell(std::string whom) {
    send<&oracle::note>(object_id<oracle>(whom), std::string("gone"));
    call<&oracle::ask>(object_id<oracle>(whom), std::string("and")).then<&resident::on_answer>();
    destroy();
  }

  later<std::string> ask(std::string whom) {
    return call<&oracle::ask>(object_id<oracle>(whom), std::string("why")).then<&resident::on_answer>();
  }
  std::string on_answer(call_result<std::string> answer) {
    ++answers;
    return answer ? *answer : answer.error().message;
  }
  later<std::string> look(std::string url) {
    return fetch(url, {.retry = {.max_retries = 0}}).then<&resident::on_page>();
  }
  std::string on_page(fetch_result page) {
    ++answers;
    return page ? "page" : std::string(to_string(page.error().code));
  }
  void look_and_end(std::string url) {
    fetch(url, {.retry = {.max_retries = 0}}).then<&resident::on_page>();
    destroy();
  }

  template <class Archive> void serialize(Archive& ar) { ar(total_); }
  using methods =
      dormouse::methods<"RESIDENT", method<"add", &resident::add>, method<"total", &resident::total>,
                        method<"furnish", &resident::furnish>, method<"rows", &resident::rows>,
                        method<"cookie_count", &resident::cookie_count>, method<"end", &resident::end>,
                        method<"end_and_throw", &resident::end_and_throw>,
                        method<"end_and_tell", &resident::end_and_tell>, method<"ask", &resident::ask>,
                        method<"on_answer", &resident::on_answer>, method<"look", &resident::look>,
                        method<"on_page", &resident::on_page>,
                        method<"look_and_end", &resident::look_and_end>>;

private:
  int total_ = 0;
};

struct fixture {
  scratch_directory directory;
  std::shared_ptr<storage_valve> valve = std::make_shared<storage_valve>();
  std::shared_ptr<transport_script> network = std::make_shared<transport_script>();
  std::unique_ptr<runtime> running;

  fixture() {
    resident::created = 0;
    resident::answers = 0;
    resident::ends_in_on_wake = false;
    oracle::asked = 0;
    network->misbehaving = 1'000;
    start();
  }
  void start() {
    running.reset();
    running = std::make_unique<runtime>(
        options{
            .directory = directory.path(), .allow = {"127.0.0.1:1"}, .proxy_workers = 1, .worker_lease = 60s},
        ports{.wrap_engine = valve->wrap(), .wrap_transport = hangs(network)});
    running->define<resident>();
    running->define<oracle>();
  }
  object_ref<resident> it(const std::string& id = "it") const { return running->get<resident>(id); }
  object_ref<oracle> the_oracle() const { return running->get<oracle>("o"); }
  bool late(std::uint64_t count) const {
    return eventually([&] { return running->stats().late_dropped == count; });
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "destroy erases state, rows and jars of the object, and nothing of others") {
  for (const std::uint64_t rows : {3, 150}) { // one by one, and as a range
    CAPTURE(rows);
    for (const auto* id : {"i", "it", "it\x01", "ito"})
      value_of(it(id).call<&resident::furnish>(rows));
    running.reset();
    std::size_t stored = 0;
    {
      disk before(directory.path());
      stored = before.count('K');
      CHECK(before.count('O') == 4);
      CHECK(before.count('C') == 8);
    }
    start();
    CHECK(value_of(it().call<&resident::end>()) == "farewell");
    CHECK(value_of(it("i").call<&resident::rows>()) == rows + 1);
    CHECK(value_of(it("ito").call<&resident::cookie_count>()) == 2);
    running.reset();
    {
      disk after(directory.path());
      CHECK(after.count('O') == 3);
      CHECK(after.count('C') == 6);
      CHECK(after.count('K') == stored - rows - 1);
      for (const char kind : {'O', 'C', 'K'})
        for (const auto& [key, value] : after.rows(kind))
          CHECK_FALSE(key.starts_with(keys::rows_of(kind, {"RESIDENT", "it"}).first));
    }
    start();
  }
}

TEST_CASE_FIXTURE(
    fixture,
    "R2: behind destroy there is a new object, also for messages that came before the commit was durable") {
  value_of(it().call<&resident::furnish>(2U));
  CHECK(resident::created == 1);
  std::vector<std::future<void>> calls;
  std::future<std::string> end;
  std::future<int> total;
  std::future<std::uint64_t> rows;
  {
    gate::closing held(valve->writes);
    calls.push_back(
        it().call<&resident::furnish>(4U)); // in flight: its rows cannot be seen when the object ends
    REQUIRE(eventually([&] { return valve->writes.waiting() == 1; }));
    end = it().call<&resident::end>();
    calls.push_back(it().call<&resident::add>(5));
    total = it().call<&resident::total>();
    rows = it().call<&resident::rows>();
  }
  CHECK(value_of(std::move(end)) == "farewell");
  CHECK(value_of(std::move(total)) == 5);
  CHECK(value_of(std::move(rows)) == 1);
  for (auto& each : calls)
    value_of(std::move(each));
  CHECK(resident::created == 2);
  CHECK(value_of(it().call<&resident::cookie_count>()) == 0);
  start();
  CHECK(value_of(it().call<&resident::total>()) == 5);
  CHECK(value_of(it().call<&resident::rows>()) == 1);
  CHECK(resident::created == 2);
}

TEST_CASE_FIXTURE(fixture, "R3: a turn that throws, or whose commit fails, destroys nothing") {
  value_of(it().call<&resident::furnish>(2U));
  CHECK(error_of(it().call<&resident::end_and_throw>()).code == errc::handler_failed);
  CHECK(value_of(it().call<&resident::total>()) == 1);
  valve->fail_writes();
  CHECK(error_of(it().call<&resident::end>()).code == errc::storage_error);
  valve->heal();
  CHECK(value_of(it().call<&resident::total>()) == 1);
  CHECK(value_of(it().call<&resident::rows>()) == 3);
  CHECK(value_of(it().call<&resident::cookie_count>()) == 2);
  CHECK(resident::created == 1);
}

TEST_CASE_FIXTURE(fixture, "destroy in on_wake or on_create is refused by name") {
  value_of(it().call<&resident::add>(1));
  start();
  resident::ends_in_on_wake = true;
  const auto why = error_of(it().call<&resident::total>());
  CHECK(why.code == errc::invalid_request);
  CHECK_MESSAGE(contains(why.message, "on_wake of object RESIDENT/it called destroy()"), why.message);
  resident::ends_in_on_wake = false;
  CHECK(value_of(it().call<&resident::total>()) == 1);
}

TEST_CASE_FIXTURE(fixture, "what the last turn sends still goes, and its answer is dropped") {
  value_of(it().call<&resident::end_and_tell>("o"));
  CHECK(eventually(
      [&] { return value_of(the_oracle().call<&oracle::notes>()) == std::vector<std::string>{"gone"}; }));
  CHECK(late(1));
  CHECK(resident::answers == 0);
  CHECK(running->stats().failed_turns == 0);
  running.reset();
  disk after(directory.path());
  CHECK(after.count('I') == 0);
  CHECK(after.count('O') == 1); // the oracle's: a late answer creates no object
}

TEST_CASE_FIXTURE(fixture, "a post that came before destroy was durable finds the new object") {
  value_of(it().call<&resident::add>(1));
  std::future<std::string> end;
  {
    gate::closing held(resident::turns);
    auto slow = it().call<&resident::add>(1);
    end = it().call<&resident::end>();
    value_of(it().post<&resident::add>(7)); // in the inbox
  }
  value_of(std::move(end));
  CHECK(eventually([&] { return value_of(it().call<&resident::total>()) == 7; }));
  CHECK(resident::created == 2);
  CHECK(running->stats().late_dropped == 0);
}

TEST_CASE_FIXTURE(fixture, "a late answer is dropped and counted, also when there is a new object, and who "
                           "waits behind it hears why") {
  for (const bool is_made_anew : {false, true}) {
    CAPTURE(is_made_anew);
    start();
    std::future<std::string> asked;
    {
      gate::closing held(oracle::turns);
      asked = it().call<&resident::ask>("o");
      REQUIRE(eventually([&] { return oracle::turns.waiting() == 1; }));
      value_of(it().call<&resident::end>());
      if (is_made_anew) value_of(it().call<&resident::add>(3));
    }
    const auto why = error_of(std::move(asked));
    CHECK(why.code == errc::not_found);
    CHECK_MESSAGE(contains(why.message,
                           "object RESIDENT/it was destroyed before the answer that it had asked for came"),
                  why.message);
    CHECK(late(1));
    CHECK(resident::answers == 0);
    CHECK(running->objects<resident>().ids.size() == (is_made_anew ? 1 : 0));
  }
  CHECK(value_of(it().call<&resident::total>()) == 3);
  CHECK(value_of(it().call<&resident::ask>("o")) == "why!"); // the new one is answered
  CHECK(running->stats().late_dropped == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "R7: a late response is dropped and counted, also after a restart, and a new object gets its own") {
  std::future<std::string> gone;
  {
    gate::closing held(network->starts);
    gone = it().call<&resident::look>(closed_port);
    REQUIRE(eventually([&] { return network->misbehaved == 1; }));
    value_of(it().call<&resident::end>());
    value_of(it().call<&resident::add>(3));
    value_of(it().call<&resident::look_and_end>(closed_port));
    running.reset(); // both fetches stay queued
  }
  CHECK(error_of(std::move(gone)).code == errc::stopped);
  start();
  CHECK(late(2));
  CHECK(resident::answers == 0);
  CHECK(running->objects<resident>().ids.empty());
  CHECK(value_of(it().call<&resident::look>(closed_port)) == "NETWORK_ERROR");
  CHECK(resident::answers == 1);
  CHECK(running->stats().late_dropped == 2);
}

TEST_CASE_FIXTURE(
    fixture,
    "what is asked from outside is for the object that there is, and if there is none for the next one") {
  const auto ask = [&] {
    create_proxy_fetch(running->queue(), {.return_address = it().where()})(closed_port,
                                                                           {.retry = {.max_retries = 0}})
        .then<&resident::on_page>();
  };
  value_of(it().call<&resident::add>(1));
  {
    gate::closing held(network->starts);
    ask();
    REQUIRE(eventually([&] { return network->misbehaved == 1; }));
    value_of(it().call<&resident::end>());
  }
  CHECK(late(1));
  CHECK(resident::answers == 0);
  ask();
  CHECK(eventually([] { return resident::answers == 1; }));
  CHECK(running->stats().late_dropped == 1);
}

TEST_CASE_FIXTURE(fixture, "R18: an object that an earlier version stored is read as it is") {
  running.reset();
  disk(directory.path()).put(keys::object({"RESIDENT", "it"}), seal(frame_type::object, encode(41)));
  start();
  CHECK(value_of(it().call<&resident::total>()) == 41);
  value_of(it().call<&resident::add>(1));
  CHECK(value_of(it().call<&resident::ask>("o")) == "why!");
  CHECK(resident::created == 0);
  start();
  CHECK(value_of(it().call<&resident::total>()) == 42);
  CHECK(value_of(it().call<&resident::end>()) == "farewell");
  CHECK(value_of(it().call<&resident::total>()) == 0);
  CHECK(resident::created == 1);
}

} // namespace dormouse::test::life_cycle_test
