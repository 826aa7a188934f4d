// block_until_ready: messages wait until an object has what it needs.

#include "eventually.hpp"
#include "gate.hpp"
#include "movable_clock.hpp"
#include "outcome.hpp"
#include "transports.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace dormouse::test::ready_gate_test {

using namespace std::chrono_literals;

namespace {

constexpr auto closed_port = "http://127.0.0.1:1/";

/// What the objects of a test are told to do.
struct script {
  gate answers;
  std::atomic<int> asked{0};
  std::atomic<int> woken{0};
  std::atomic<int> created{0};
  std::atomic<int> still_to_refuse{0};
  std::atomic<int> timeout_ms{60'000};
  std::atomic<bool> blocks{false};
  std::atomic<int> rings{0};
};
std::unique_ptr<script> told;

class source : public durable_object {
public:
  std::string settings() {
    ++told->asked;
    told->answers.pass();
    return "settings";
  }
  using methods = dormouse::methods<"SOURCE", method<"settings", &source::settings>>;
};

/// Asks another object each time it wakes without settings.
class worker : public durable_object {
public:
  void on_wake() override {
    ++told->woken;
    if (!settings_.empty()) return;
    block_until_ready(std::chrono::milliseconds(told->timeout_ms));
    call<&source::settings>(object_id<source>("s")).then<&worker::on_settings>();
  }
  void on_settings(call_result<std::string> settings) {
    seen_.push_back("settings");
    if (told->still_to_refuse > 0 && told->still_to_refuse-- > 0) throw std::runtime_error("not yet");
    settings_ = settings.value();
    ready();
  }
  void work(std::string what) {
    if (settings_.empty()) throw std::logic_error("no settings");
    seen_.push_back(std::move(what));
  }
  std::vector<std::string> seen() const { return seen_; }
  void block() { block_until_ready(1s); }

  template <class Archive> void serialize(Archive& ar) { ar(settings_, seen_); }
  using methods =
      dormouse::methods<"WORKER", method<"on_settings", &worker::on_settings>, method<"work", &worker::work>,
                        method<"seen", &worker::seen>, method<"block", &worker::block>>;

private:
  std::string settings_;
  std::vector<std::string> seen_;
};

/// Asks the outside world once in its life.
class settler : public durable_object {
public:
  void on_create() override {
    ++told->created;
    block_until_ready(std::chrono::milliseconds(told->timeout_ms));
    fetch(closed_port, {.retry = {.max_retries = 0}}).then<&settler::on_page>();
  }
  void on_page(fetch_result page) {
    page_ = page ? "page" : std::string(to_string(page.error().code));
    ready();
  }
  std::string page() const { return page_; }

  template <class Archive> void serialize(Archive& ar) { ar(page_); }
  using methods =
      dormouse::methods<"SETTLER", method<"on_page", &settler::on_page>, method<"page", &settler::page>>;

private:
  std::string page_;
};

/// Rings by schedule. The one called "blocked" is not ready when it is to block.
class ringer : public durable_object {
public:
  void on_wake() override {
    if (told->blocks && instance_id() == "blocked") block_until_ready(1h);
  }
  void ring_in(std::uint32_t times, std::int64_t ms) {
    for (std::uint32_t i = 0; i < times; ++i)
      schedule<&ringer::ring>(std::chrono::milliseconds(ms));
  }
  void ring() { ++told->rings; }
  using methods =
      dormouse::methods<"RINGER", method<"ring_in", &ringer::ring_in>, method<"ring", &ringer::ring>>;
};

class caller : public durable_object {
public:
  later<std::string> ask() {
    return call<&worker::work>(object_id<worker>("w"), std::string("called")).then<&caller::on_done>();
  }
  std::string on_done(call_result<void> done) {
    return done ? "done" : to_string(error{done.error().code, done.error().message});
  }
  using methods =
      dormouse::methods<"CALLER", method<"ask", &caller::ask>, method<"on_done", &caller::on_done>>;
};

using texts = std::vector<std::string>;

struct fixture {
  scratch_directory directory;
  std::shared_ptr<transport_script> network = std::make_shared<transport_script>();
  std::shared_ptr<movable_clock> clock = std::make_shared<movable_clock>();
  std::unique_ptr<runtime> running;

  fixture() {
    told = std::make_unique<script>();
    network->misbehaving = 1'000;
    start();
  }
  ~fixture() { running.reset(); }
  void start(std::chrono::milliseconds idle_after = 10s) {
    running.reset();
    options chosen{.directory = directory.path(),
                   .allow = {"127.0.0.1:1"},
                   .idle_after = idle_after,
                   .proxy_workers = 1,
                   .worker_lease = 60s};
    chosen.max_firing_schedules = 4;
    running = std::make_unique<runtime>(with_clock(std::move(chosen), clock),
                                        ports{.wrap_engine = {}, .wrap_transport = hangs(network)});
    running->define<source>();
    running->define<worker>();
    running->define<settler>();
    running->define<caller>();
    running->define<ringer>();
  }
  object_ref<worker> it() const { return running->get<worker>("w"); }
  bool saw(const std::string& what) const {
    const auto seen = value_of(it().call<&worker::seen>());
    return std::find(seen.begin(), seen.end(), what) != seen.end();
  }
  static bool asked(int times) {
    return eventually([times] { return told->asked == times; });
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "block_until_ready: messages wait in the order in which they came, and what the "
                           "object has asked for does not") {
  std::vector<std::future<void>> works;
  std::future<texts> read;
  {
    gate::closing held(told->answers);
    works.push_back(it().call<&worker::work>("first"));
    REQUIRE(asked(1));
    value_of(it().post<&worker::work>("posted"));
    read = it().call<&worker::seen>();
    works.push_back(it().call<&worker::work>("second"));
    CHECK_FALSE(is_ready(read));
    CHECK(running->stats().pending_messages >= 4);
  }
  for (auto& each : works)
    value_of(std::move(each));
  CHECK(value_of(std::move(read)) == texts{"settings", "first", "posted"});
  CHECK(value_of(it().call<&worker::seen>()) == texts{"settings", "first", "posted", "second"});
  CHECK(told->woken == 1);
  start();
  CHECK(value_of(it().call<&worker::seen>()).size() == 4); // it has what it needs
  CHECK(told->asked == 1);
}

TEST_CASE_FIXTURE(fixture, "block_until_ready: a blocked object stays awake, and leaves when it is ready") {
  start(0ms);
  std::future<void> work;
  {
    gate::closing held(told->answers);
    work = it().call<&worker::work>("work");
    REQUIRE(asked(1));
    CHECK(running->stats().active_objects == 2);
  }
  value_of(std::move(work));
  CHECK(eventually([&] { return running->stats().active_objects == 0; }));
  CHECK(told->woken == 1);
}

TEST_CASE_FIXTURE(fixture, "block_until_ready: past the time those who wait are told, the object leaves "
                           "memory, and the next use tries again") {
  told->timeout_ms = 50;
  {
    gate::closing held(told->answers);
    auto work = it().call<&worker::work>("work");
    auto read = it().call<&worker::seen>();
    auto through = running->get<caller>("c").call<&caller::ask>();
    for (const auto& why : {error_of(std::move(work)), error_of(std::move(read))}) {
      CHECK(why.code == errc::timeout);
      CHECK_MESSAGE(
          why.message ==
              "object WORKER/w was not ready within the 50 ms that it had asked for with block_until_ready()",
          why.message);
    }
    CHECK(
        value_of(std::move(through)).starts_with("timeout: object WORKER/w was not ready within the 50 ms"));
    CHECK(eventually(
        [&] { return running->stats().active_objects <= 2; })); // the source is held, the caller idle
  }
  told->timeout_ms = 60'000;
  value_of(it().call<&worker::work>("again"));
  CHECK(told->woken >= 1);
  CHECK(saw("again"));
  CHECK(running->stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(
    fixture, "block_until_ready: a post that waited too long is handled when the object is ready in time") {
  told->timeout_ms = 20;
  {
    gate::closing held(told->answers);
    value_of(it().post<&worker::work>("posted"));
    REQUIRE(eventually([] { return told->woken >= 2; })); // it was tried again
    told->timeout_ms = 60'000;
  }
  CHECK(eventually([&] { return saw("posted"); }));
  CHECK(running->stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(
    fixture, "block_until_ready: a turn that throws does not make the object ready, and its next try does") {
  told->still_to_refuse = 2;
  value_of(it().call<&worker::work>("work"));
  CHECK(saw("work"));
  CHECK(running->stats().failed_turns >= 2);
}

TEST_CASE_FIXTURE(
    fixture,
    "R2: an object that on_create has blocked is blocked after a restart too, until its response has come") {
  std::future<std::string> page;
  {
    gate::closing held(network->starts);
    page = running->get<settler>("s").call<&settler::page>();
    REQUIRE(eventually([&] { return network->misbehaved == 1; }));
    start();
    CHECK(error_of(std::move(page)).code == errc::stopped);
    REQUIRE(eventually([&] { return network->misbehaved == 2; }));
    page = running->get<settler>("s").call<&settler::page>();
    CHECK_FALSE(is_ready(page));
  }
  CHECK(value_of(std::move(page)) == "NETWORK_ERROR");
  CHECK(told->created == 1);
  network->starts.close(); // ready once and for all
  start();
  CHECK(value_of(running->get<settler>("s").call<&settler::page>()) == "NETWORK_ERROR");
  network->starts.open();
}

TEST_CASE_FIXTURE(
    fixture, "block_until_ready: what it cannot be told is a named error, and so is calling it in a method") {
  value_of(it().call<&worker::work>("work"));
  const auto misplaced = error_of(it().call<&worker::block>());
  CHECK(misplaced.code == errc::invalid_request);
  CHECK_MESSAGE(
      contains(misplaced.message,
               "a method of object WORKER/w called block_until_ready(); it is for on_create and on_wake"),
      misplaced.message);
  for (const int wrong : {0, 86'400'001}) {
    told->timeout_ms = wrong;
    const auto why = error_of(running->get<worker>("another").call<&worker::work>("work"));
    CHECK(why.code == errc::invalid_request);
    CHECK_MESSAGE(contains(why.message, "on_wake of object WORKER/another called block_until_ready() with " +
                                            std::to_string(wrong) + " ms; it must be 1..86400000"),
                  why.message);
  }
}

TEST_CASE_FIXTURE(fixture, "R20: stopping does not wait for an object that is not ready") {
  {
    gate::closing held(network->starts);
    auto page = running->get<settler>("s").call<&settler::page>();
    REQUIRE(eventually([&] { return network->misbehaved == 1; }));
    running->stop();
    CHECK(error_of(std::move(page)).code == errc::stopped);
  }
}

TEST_CASE_FIXTURE(fixture,
                  "R6: schedules of an object that is not ready hold up nobody else's, and ring when it is") {
  value_of(running->get<ringer>("blocked").call<&ringer::ring_in>(3U, 3'600'000));
  told->blocks = true;
  start();
  clock->advance(3'601s);
  REQUIRE(eventually([&] { return running->stats().firing_schedules == 3; }));
  value_of(running->get<ringer>("other").call<&ringer::ring_in>(1U, 1));
  CHECK(eventually([] { return told->rings == 1; }));
  CHECK(eventually([&] { return running->stats().firing_schedules == 3; }));
  told->blocks = false;
  start();
  CHECK(eventually([] { return told->rings == 4; }));
  CHECK(eventually([&] { return running->stats().firing_schedules == 0; }));
  CHECK(running->stats().schedules == 0);
  CHECK(told->rings == 4);
}

TEST_CASE_FIXTURE(fixture, "R6: an answer that an object waits for to be ready is found after a restart "
                           "behind any number of messages that wait for that") {
  constexpr int posts = 1'200;
  told->timeout_ms = 600'000;
  told->still_to_refuse = 1'000'000;
  {
    gate::closing held(told->answers);
    for (int i = 0; i < posts; ++i)
      value_of(it().post<&worker::work>(std::to_string(i)));
    REQUIRE(asked(1));
  }
  REQUIRE(eventually(
      [&] { return running->stats().failed_turns >= 1; })); // the answer is there, and stays in the inbox
  gate::closing held(told->answers);                        // no other one comes
  start();
  told->still_to_refuse = 0;
  auto seen = value_of(it().call<&worker::seen>());
  REQUIRE(eventually([&] {
    seen = value_of(it().call<&worker::seen>());
    return seen.size() >= posts + 1;
  }));
  for (int i = 0; i < posts; ++i)
    REQUIRE(seen[seen.size() - posts + static_cast<std::size_t>(i)] == std::to_string(i));
}

} // namespace dormouse::test::ready_gate_test
