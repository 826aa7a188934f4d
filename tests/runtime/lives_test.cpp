// Which life, which name: an object that was destroyed and made anew, or whose class has another binding now,
// gets what is its own, and nothing that is another's.

#include "disk.hpp"
#include "eventually.hpp"
#include "gate.hpp"
#include "host/runtime_core.hpp"
#include "memory_engine.hpp"
#include "movable_clock.hpp"
#include "outcome.hpp"
#include "ports/ports.hpp"
#include "proxy/dispatcher.hpp"
#include "storage_valve.hpp"
#include "store/dead_letter.hpp"

#include <dormouse/dormouse.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/send.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::lives_test {

using namespace std::chrono_literals;

namespace {

constexpr auto closed_port = "http://127.0.0.1:1/";

class visitor : public durable_object {
public:
  void log_in(std::string session) {
    browser().set_cookie("session", session, {.url = closed_port, .max_age = 86'400s});
  }
  void ask(std::string method, dormouse::sharing how) {
    browser()
        .fetch(closed_port, {.method = method, .retry = {.max_retries = 0}, .sharing = how, .delay = 60s})
        .then<&visitor::on_page>();
  }
  void on_page(fetch_result) { ++pages_; }
  void end() { destroy(); }
  std::uint64_t pages() const { return pages_; }

  template <class Archive> void serialize(Archive& ar) { ar(pages_); }
  using methods = dormouse::methods<"VISITOR", method<"log_in", &visitor::log_in>,
                                    method<"ask", &visitor::ask>, method<"on_page", &visitor::on_page>,
                                    method<"end", &visitor::end>, method<"pages", &visitor::pages>>;

private:
  std::uint64_t pages_ = 0;
};

/// What goes out, and with which cookies.
struct wire_log {
  std::mutex mutex;
  std::vector<std::string> jars; ///< of each transfer, encoded; "none" without one
  gate transfers;                ///< every transfer passes it when it has been noted

  std::vector<std::string> all() {
    std::lock_guard guard(mutex);
    return jars;
  }
};

class logging_transport final : public http_transport {
public:
  logging_transport(std::shared_ptr<wire_log> log, std::unique_ptr<http_transport> inner)
      : log_(std::move(log)), inner_(std::move(inner)) {}

  void start(transfer next, completion done) override {
    {
      std::lock_guard guard(log_->mutex);
      log_->jars.push_back(next.jar ? next.jar->bytes : "none");
    }
    log_->transfers.pass();
    inner_->start(std::move(next), std::move(done));
  }
  void cancel(std::uint64_t token) override { inner_->cancel(token); }

private:
  std::shared_ptr<wire_log> log_;
  std::unique_ptr<http_transport> inner_;
};

struct fixture {
  scratch_directory directory;
  std::shared_ptr<movable_clock> clock = std::make_shared<movable_clock>();
  std::shared_ptr<wire_log> wire = std::make_shared<wire_log>();

  runtime open() {
    return runtime(
        with_clock({.directory = directory.path(), .allow = {"127.0.0.1:1"}, .proxy_workers = 1}, clock),
        ports{.wrap_engine = {},
              .wrap_transport = [log = wire](std::size_t, std::unique_ptr<http_transport> inner)
                  -> std::unique_ptr<http_transport> {
                return std::make_unique<logging_transport>(log, std::move(inner));
              }});
  }
};

/// Two names of one class.
template <class Present> class bell : public durable_object {
public:
  void set() { this->template schedule<&Present::ring>(when(60s)); }
  void ring() { ++rung_; }
  std::uint64_t rung() const { return rung_; }

  template <class Archive> void serialize(Archive& ar) { ar(rung_); }

private:
  std::uint64_t rung_ = 0;
};

#define DORMOUSE_TEST_BELL(TYPE, ...)                                                                        \
  class TYPE : public bell<TYPE> {                                                                           \
  public:                                                                                                    \
    void set_it() { set(); }                                                                                 \
    void ring() { bell<TYPE>::ring(); }                                                                      \
    static task<std::string> nap(task_context<TYPE> self) {                                                  \
      co_await self.sleep_for(60s);                                                                          \
      co_await self.call<&TYPE::ring>();                                                                     \
      co_return std::string("awake");                                                                        \
    }                                                                                                        \
    std::uint64_t times() const { return rung(); }                                                           \
    using methods =                                                                                          \
        dormouse::methods<__VA_ARGS__, method<"set_it", &TYPE::set_it>, method<"ring", &TYPE::ring>,         \
                          method<"nap", &TYPE::nap>, method<"times", &TYPE::times>>;                         \
  }

DORMOUSE_TEST_BELL(old_bell, "OLD_BELL");
DORMOUSE_TEST_BELL(new_bell, "BELL", renamed_from<"OLD_BELL">);
DORMOUSE_TEST_BELL(other_bell, "OTHER_BELL");

/// Another class with the binding of one.
class impostor : public durable_object {
public:
  void vanish(std::string what) { last_ = std::move(what); }
  void ring(std::string how) { last_ = std::move(how); } ///< a name that the other class has too
  template <class Archive> void serialize(Archive& ar) { ar(last_); }
  using methods =
      dormouse::methods<"BELL", method<"vanish", &impostor::vanish>, method<"ring", &impostor::ring>>;

private:
  std::string last_;
};

class caller : public durable_object {
public:
  void ask() { send<&impostor::vanish>(object_id<impostor>("it"), std::string("now")); }
  template <class Archive> void serialize(Archive&) {}
  using methods = dormouse::methods<"CALLER", method<"ask", &caller::ask>>;
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R7: what a destroyed object asked for goes out without the cookies of the next "
                           "object of that name, in a later process too") {
  for (const bool restarts : {false, true}) {
    CAPTURE(restarts);
    wire->jars.clear();
    std::optional<runtime> running(open());
    running->define<visitor>();
    auto it = running->get<visitor>("it" + std::to_string(restarts));
    value_of(it.call<&visitor::log_in>("first"));
    value_of(it.call<&visitor::ask>("POST", sharing::none));
    value_of(it.call<&visitor::end>());
    value_of(it.call<&visitor::log_in>("second"));
    value_of(it.call<&visitor::ask>("GET", sharing::none));
    if (restarts) {
      running.reset();
      running.emplace(open());
      running->define<visitor>();
    }
    clock->advance(61s);
    REQUIRE(eventually([&] { return wire->all().size() == 2; }, 10s));
    auto jars = wire->all();
    if (!jars[0].empty()) std::swap(jars[0], jars[1]);
    CHECK(jars[0].empty());
    CHECK(contains(jars[1], "second"));
    CHECK(eventually([&] { return running->stats().late_dropped == 1; }, 10s));
    it = running->get<visitor>("it" + std::to_string(restarts));
    CHECK(eventually([&] { return value_of(it.call<&visitor::pages>()) == 1; }, 10s));
  }
}

TEST_CASE_FIXTURE(fixture, "R7: two lives of one name do not share a request that goes out with a jar") {
  auto running = open();
  running.define<visitor>();
  auto it = running.get<visitor>("it");
  for (const auto* session : {"first", "second"}) {
    value_of(it.call<&visitor::log_in>(session));
    value_of(it.call<&visitor::ask>("GET", sharing::single_flight));
    if (session == std::string("first")) value_of(it.call<&visitor::end>());
  }
  {
    const gate::closing held(wire->transfers); // the first is out until the second is out too, or shares it
    clock->advance(61s);
    CHECK(eventually([&] { return running.stats().in_flight_fetches + running.stats().shared == 2; }, 10s));
  }
  CHECK(eventually([&] { return value_of(it.call<&visitor::pages>()) == 1; }, 10s));
  CHECK(eventually([&] { return running.stats().late_dropped == 1; }, 10s));
  CHECK(running.stats().shared == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "what is overdue for a class that was renamed fires when it is defined: a schedule "
                  "and the sleep of a task") {
  {
    auto running = open();
    running.define<old_bell, other_bell>();
    value_of(running.get<old_bell>("it").call<&old_bell::set_it>());
    value_of(running.get<old_bell>("it").start<&old_bell::nap>());
    value_of(running.get<other_bell>("it").call<&other_bell::set_it>());
  }
  clock->advance(120s);
  auto running = open();
  running.define<other_bell>();
  REQUIRE(eventually([&] { return value_of(running.get<other_bell>("it").call<&other_bell::times>()) == 1; },
                     10s)); // the scheduler has passed what stands before it
  running.define<new_bell>();
  CHECK(eventually([&] { return value_of(running.get<new_bell>("it").call<&new_bell::times>()) == 2; }, 10s));
}

TEST_CASE_FIXTURE(fixture, "a dead tick under an old name is listed and retried under the present one") {
  { auto running = open(); }
  const address old{"OLD_BELL", "it"};
  schedule_message tick;
  tick.id = {77, {}};
  tick.method = "ring";
  tick.tick_ms = tick.due_ms = 1;
  disk(directory.path())
      .put(keys::dead_letter(1), seal_value(frame_type::dead_letter,
                                            dead_letter{keys::schedule(old, tick.id),
                                                        seal_value(frame_type::schedule, tick), "test", 7}));
  auto running = open();
  running.define<new_bell>();
  CHECK(running.dead_letters().list().at(0).object == address{"BELL", "it"});
  CHECK(running.dead_letters().get(1).object == address{"BELL", "it"});
  running.dead_letters().retry(1);
  CHECK(eventually([&] { return value_of(running.get<new_bell>("it").call<&new_bell::times>()) == 1; }, 10s));
  CHECK(running.dead_letters().list().empty());
  CHECK(eventually([&] { return running.stats().schedules == 0; }, 10s));
}

TEST_CASE_FIXTURE(fixture, "a handle of another class with the same binding is refused, and calls nothing") {
  auto running = open();
  running.define<new_bell, caller>();
  CHECK(error_thrown_by([&] { (void)running.get<impostor>("it"); }).code == errc::invalid_binding);
  const object_ref<impostor> forged(running.get<new_bell>("it").routes(), {"BELL", "it"});
  for (const auto& why : {error_of(forged.call<&impostor::vanish>("now")),
                          error_of(forged.with({.idempotency_key = "k"}).call<&impostor::vanish>("now")),
                          error_of(forged.post<&impostor::vanish>("now"))}) {
    CHECK(why.code == errc::invalid_binding);
    CHECK_MESSAGE(contains(why.message, "'vanish' is of another class"), why.message);
  }
  CHECK(error_of(forged.call<&impostor::ring>("loud")).code == errc::invalid_binding);
  CHECK(error_of(forged.post<&impostor::ring>("loud")).code == errc::invalid_binding);
  const auto why = error_of(running.get<caller>("c").call<&caller::ask>());
  CHECK_MESSAGE(contains(why.message, "class BELL has no method \"vanish\""), why.message);
  CHECK(running.objects<new_bell>().ids.empty());
}

TEST_CASE(
    "a renaming waits for rows that were given a place under the old name, and none is given one after") {
  scratch_directory directory;
  caf::actor_system_config config;
  caf::actor_system system(config);
  {
    runtime_core core(system, {.directory = directory.path(), .proxy_workers = 1}, {},
                      value_or_throw(store::open(std::make_unique<memory_engine>(), directory.path(), 1024)),
                      value_or_throw(url_policy::make({})));
    spawn_dispatcher(core);
    const address old{"OLD_BELL", "it"};
    std::optional<inbox_place> in_hand(core.place_for(old));
    CHECK(in_hand->where.get() == old);
    std::promise<void> renamed;
    auto done = renamed.get_future();
    caf::anon_send(core.dispatcher,
                   binding_renamed{&describe<new_bell>(), std::shared_ptr<void>(nullptr, [&renamed](void*) {
                                     renamed.set_value();
                                   })});
    CHECK(eventually([&] { return core.present(old).get() == address{"BELL", "it"}; }, 10s));
    CHECK(core.place_for(old).where.get() == address{"BELL", "it"});
    core.store->committer().drain();
    CHECK_FALSE(is_ready(done));
    in_hand.reset();
    CHECK(done.wait_for(10s) == std::future_status::ready);
    (void)stop_dispatcher(core, std::chrono::steady_clock::now() + 10s);
  }
}

} // namespace dormouse::test::lives_test
