// What a fetch_observer is told, and the figures of each origin.

#include "movable_clock.hpp"
#include "transports.hpp"
#include "upstream_fixture.hpp"

#include <dormouse/runtime/fetch_observer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::observer_test {

using namespace std::chrono_literals;

namespace {

/// A copy of an event: the views in one are valid during the call only.
struct seen_event {
  std::string what;
  std::uint64_t fetch_id = 0;
  std::string object;
  std::string queue;
  std::string method;
  std::string url;
  std::uint32_t attempts = 0;
  std::chrono::milliseconds since_queued{};
  std::chrono::microseconds attempt{};
  std::chrono::milliseconds delay{};
  std::uint16_t status = 0;
  std::optional<fetch_errc> error;
};

class recorder final : public fetch_observer {
public:
  void queued(const fetch_event& e) override { note("queued", e); }
  void started(const fetch_event& e) override { note("started", e); }
  void retried(const fetch_event& e) override { note("retried", e); }
  void stored(const fetch_event& e) override { note("stored", e); }
  void delivered(const fetch_event& e) override { note("delivered", e); }
  void dropped(const fetch_event& e) override { note("dropped", e); }

  /// Those of the fetch whose URL has this in it.
  std::vector<seen_event> of(const std::string& part) const {
    std::lock_guard guard(mutex_);
    std::vector<seen_event> out;
    std::copy_if(events_.begin(), events_.end(), std::back_inserter(out),
                 [&part](const seen_event& each) { return contains(each.url, part); });
    return out;
  }

  /// The names alone.
  std::vector<std::string> steps(const std::string& part) const {
    std::vector<std::string> out;
    for (const auto& each : of(part))
      out.push_back(each.what);
    return out;
  }

  void forget() {
    std::lock_guard guard(mutex_);
    events_.clear();
  }

private:
  void note(std::string what, const fetch_event& e) {
    std::lock_guard guard(mutex_);
    events_.push_back({std::move(what), e.fetch_id, to_string(e.object), std::string(e.queue),
                       std::string(e.method), std::string(e.url), e.attempts, e.since_queued, e.attempt,
                       e.delay, e.status, e.error});
  }

  mutable std::mutex mutex_;
  std::vector<seen_event> events_;
};

using steps = std::vector<std::string>;

class leaver : public durable_object {
public:
  void ask(std::string url) { fetch(url).then<&leaver::on_page>(); }
  void on_page(fetch_result) {}
  void leave() { destroy(); }
  using methods = dormouse::methods<"LEAVER", method<"ask", &leaver::ask>,
                                    method<"on_page", &leaver::on_page>, method<"leave", &leaver::leave>>;
};

/// A leaver of a later program, which has no continuation.
class forgetful : public durable_object {
public:
  void ask(std::string) {}
  using methods = dormouse::methods<"LEAVER", method<"ask", &forgetful::ask>>;
};

struct fixture : upstream_fixture {
  std::shared_ptr<recorder> seen = std::make_shared<recorder>();

  options settings() const {
    auto chosen = upstream_fixture::settings();
    chosen.observer = seen;
    return chosen;
  }

  /// Whether these and no others were seen.
  bool saw(const std::string& name, const steps& expected) const {
    return eventually([&] { return seen->steps("/k/" + name).size() >= expected.size(); }) &&
           seen->steps("/k/" + name) == expected;
  }

  static origin_stats of_origin(const runtime& running, const std::string& url) {
    for (auto& each : running.stats().origins)
      if (each.origin == url) return each;
    return {};
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture,
                  "observer: a fetch is queued, started, stored and delivered, once each and in this order") {
  auto chosen = settings();
  chosen.queues = {{"bulk", {}}};
  runtime running(chosen);
  auto mine = object(running);
  auto what = key("a", "delay_ms=200");
  what.method = "POST";
  what.queue = "bulk";
  CHECK(answered(fetched(mine, what)).ok());
  REQUIRE(saw("a", {"queued", "started", "stored", "delivered"}));
  const auto events = seen->of("/k/a");
  for (const auto& each : events) {
    CAPTURE(each.what);
    CHECK(each.fetch_id == events.front().fetch_id);
    CHECK(each.fetch_id != 0);
    CHECK(each.object == to_string(address{"FETCHER", "x"}));
    CHECK(each.queue == "bulk");
    CHECK(each.method == "POST");
    CHECK(each.url == what.url);
    CHECK(each.delay == 0ms);
    CHECK_FALSE(each.error);
    const bool over = each.what == "stored" || each.what == "delivered";
    CHECK(each.attempts == (over ? 1U : 0U));
    CHECK(each.status == (over ? 200 : 0));
    CHECK(each.since_queued >= (over ? 200ms : 0ms));
    CHECK(each.since_queued < 30s);
  }
  CHECK(events[2].attempt >= 200ms);
  CHECK(events[2].attempt <= events[2].since_queued + 1ms);
}

TEST_CASE_FIXTURE(
    fixture,
    "observer: each attempt that is repeated is told with what came of it and how long the next one waits") {
  runtime running(settings());
  auto mine = object(running);
  auto what = key("a", "fail_first=2");
  CHECK(answered(fetched(mine, what)).ok());
  REQUIRE(saw("a", {"queued", "started", "retried", "started", "retried", "started", "stored", "delivered"}));
  auto events = seen->of("/k/a");
  for (std::uint32_t attempt : {1U, 2U}) {
    const auto& retried = events[2 * attempt];
    CHECK(retried.attempts == attempt);
    CHECK(retried.status == 503);
    CHECK(retried.delay <=
          std::chrono::milliseconds(10 * attempt)); // full jitter below what.initial_delay_ms, doubled
    CHECK(events[2 * attempt + 1].attempts == attempt);
  }
  CHECK(events[6].attempts == 3);
  CHECK(events[6].status == 200);

  what = key("b", "mode=drop");
  what.max_retries = 1;
  CHECK_FALSE(fetched(mine, what));
  REQUIRE(saw("b", {"queued", "started", "retried", "started", "stored", "delivered"}));
  events = seen->of("/k/b");
  CHECK(events[2].error == fetch_errc::network_error);
  CHECK(events[2].status == 0);
  CHECK(events[4].error == fetch_errc::network_error);
  CHECK(events[5].error == fetch_errc::network_error);
  CHECK(events[5].attempts == 2);
}

TEST_CASE_FIXTURE(
    fixture,
    "observer: what never went out is not started, and what a turn that throws asked for is not queued") {
  auto chosen = settings();
  chosen.max_in_flight = 1;
  runtime running(chosen);
  auto mine = object(running);
  value_of(mine.call<&fetcher::send>(key("in-front", "mode=hang")));
  const abort_controller stop;
  auto what = key("a");
  what.signal = stop.signal();
  value_of(mine.call<&fetcher::send>(what));
  value_of(mine.call<&fetcher::give_up>(stop, std::string()));
  REQUIRE(saw("a", {"queued", "stored", "delivered"}));
  CHECK(seen->of("/k/a")[1].error == fetch_errc::aborted);
  CHECK(seen->of("/k/a")[1].attempts == 0);
  CHECK(error_of(mine.call<&fetcher::send_and_throw>(key("b"))).code == errc::handler_failed);
  CHECK(seen->of("/k/b").empty());
  CHECK(saw("in-front", {"queued", "started"}));
}

TEST_CASE_FIXTURE(
    fixture, "observer: delivered is when the handler's turn is durable, however often it threw before") {
  runtime running(settings());
  fetcher::refusals = 2;
  CHECK(answered(fetched(object(running), key("a"))).ok());
  CHECK(fetcher::continuations_run == 3);
  CHECK(saw("a", {"queued", "started", "stored", "delivered"}));
}

TEST_CASE_FIXTURE(fixture, "observer: after a restart it goes on with what the fetch had not reached") {
  {
    runtime running(settings());
    value_of(object(running).call<&fetcher::send>(key("a", "mode=hang&fail_first=1")));
    REQUIRE(eventually([this] { return upstream.hits("a") == 1; }));
  }
  CHECK(seen->steps("/k/a") == steps{"queued", "started"});
  const auto id = seen->of("/k/a").front().fetch_id;
  seen->forget();
  {
    runtime running(settings()); // without a class
    REQUIRE(eventually([&running] { return running.stats().undeliverable == 1; }));
  }
  CHECK(seen->steps("/k/a") == steps{"started", "stored"});
  seen->forget();
  runtime running(settings());
  CHECK(answered(result_under(object(running), "a")).ok());
  REQUIRE(saw("a", {"delivered"}));
  const auto delivered = seen->of("/k/a").front();
  CHECK(delivered.fetch_id == id);
  CHECK(delivered.method == "GET");
  CHECK(delivered.status == 200);
  CHECK(delivered.attempts == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "observer: what no handler gets is dropped: of an object that was destroyed, and what "
                  "is a dead letter") {
  {
    runtime running(settings());
    running.define<leaver>();
    const auto gone = running.get<leaver>("gone");
    value_of(gone.call<&leaver::ask>(key("gone", "delay_ms=300").url));
    value_of(gone.call<&leaver::leave>());
    REQUIRE(saw("gone", {"queued", "started", "stored", "dropped"}));
    CHECK(seen->of("/k/gone")[3].status == 200);
    CHECK(seen->of("/k/gone")[3].object == to_string(address{"LEAVER", "gone"}));
    value_of(running.get<leaver>("dead").call<&leaver::ask>(key("dead", "mode=hang&fail_first=1").url));
    REQUIRE(eventually([this] { return upstream.hits("dead") == 1; }));
  }
  runtime running(settings());
  running.define<forgetful>();
  REQUIRE(saw("dead", {"queued", "started", "started", "stored", "dropped"}));
  CHECK(running.stats().dead_letters == 1);
}

TEST_CASE_FIXTURE(fixture, "observer: a fetch from outside, and those that share a request") {
  runtime running(settings());
  auto mine = object(running);
  create_proxy_fetch(running.queue(), {.return_address = {"FETCHER", "x"}})(at("/k/outside"))
      .then<&fetcher::on_result>(std::string("outside"));
  CHECK(answered(result_under(mine, "outside")).ok());
  CHECK(saw("outside", {"queued", "started", "stored", "delivered"}));
  std::vector<order> orders(3, key("shared", "delay_ms=50"));
  for (std::size_t i = 0; i < orders.size(); ++i) {
    orders[i].tag = std::to_string(i);
    orders[i].sharing = sharing::single_flight;
  }
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(eventually([this] { return seen->steps("/k/shared").size() == 10; }));
  auto all = seen->steps("/k/shared");
  std::sort(all.begin(), all.end());
  CHECK(all == steps{"delivered", "delivered", "delivered", "queued", "queued", "queued", "started", "stored",
                     "stored", "stored"});
  for (const auto& each : seen->of("/k/shared"))
    if (each.what == "stored") CHECK(each.attempts == 1);
}

TEST_CASE_FIXTURE(fixture, "observer: an attempt that was lost with its worker is one that is repeated") {
  auto script = std::make_shared<transport_script>();
  auto chosen = settings();
  chosen.worker_lease = 500ms;
  runtime running(chosen, {.wrap_engine = {}, .wrap_transport = hangs(script)});
  gate::closing hung(script->starts);
  CHECK(answered(fetched(object(running), key("a"))).ok());
  CHECK(saw("a", {"queued", "started", "retried", "started", "stored", "delivered"}));
  CHECK(of_origin(running, upstream.url()).retries == 1);
}

TEST_CASE_FIXTURE(fixture, "stats: each origin has its counts, its classes of statuses and its times") {
  samples::upstream_server other;
  other.start();
  runtime running(settings());
  auto mine = object(running);
  const std::vector<std::pair<std::string, int>> plan{{"status=200", 3}, {"status=204", 2}, {"status=304", 1},
                                                      {"status=404", 4}, {"status=500", 2}, {"mode=drop", 2}};
  int count = 0;
  for (const auto& [parameters, times] : plan)
    for (int i = 0; i < times; ++i) {
      auto what = key(std::to_string(count++), parameters);
      what.max_retries = 0;
      (void)fetched(mine, what);
    }
  CHECK(answered(fetched(mine, key("retried", "fail_first=2"))).ok());
  CHECK(answered(fetched(mine, order{.tag = "other", .url = other.url() + "/k/other"})).ok());
  const auto ours = of_origin(running, upstream.url());
  CHECK(ours.attempts == 17);
  CHECK(ours.responses == 15);
  CHECK(ours.errors == 2);
  CHECK(ours.retries == 2);
  CHECK(ours.rejected == 0);
  CHECK(ours.in_flight == 0);
  CHECK(ours.circuit == circuit_state::closed);
  CHECK(ours.by_class == std::array<std::uint64_t, 6>{0, 0, 6, 1, 4, 4});
  CHECK(ours.durations.count() == 17);
  CHECK(of_origin(running, other.url()).attempts == 1);
  CHECK(running.stats().origins.size() == 2);
  CHECK(running.stats().origins.front().origin == other.url()); // used last

  auto slow = key("slow", "delay_ms=1200");
  value_of(mine.call<&fetcher::send>(slow));
  REQUIRE(eventually([&] { return of_origin(running, upstream.url()).in_flight == 1; }));
  CHECK(answered(result_under(mine, "slow")).ok());
  const auto times = of_origin(running, upstream.url()).durations;
  CHECK(of_origin(running, upstream.url()).in_flight == 0);
  CHECK(times.percentile(1) >= 2048ms);
  CHECK(times.percentile(0.5) <= 1024ms);
}

} // namespace dormouse::test::observer_test
