#include "movable_clock.hpp"
#include "sanitized.hpp"
#include "transports.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dormouse::test::attempts_test {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

struct fixture : upstream_fixture {
  order post(const std::string& name, const std::string& parameters = "") const {
    auto out = key(name, parameters);
    out.method = "POST";
    out.body = "payload";
    return out;
  }
};

/// A port that nobody listens on: an upstream's that has stopped.
struct dead_port {
  samples::upstream_server upstream;
  dead_port() {
    upstream.start();
    upstream.stop();
  }
};

using counts = std::map<std::string, std::uint64_t>;

} // namespace

// --- R9: what went out -------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture,
                  "R9: a POST whose connection drops may have been received, says so, and is not repeated") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string mode : {"drop", "abort"}) {
    CAPTURE(mode);
    CHECK(
        answered(fetched(mine, key("before " + mode))).ok()); // leaves a connection that could be used again
    const auto lost = failed(fetched(mine, post(mode, "mode=" + mode)));
    CHECK(lost.code == fetch_errc::network_error);
    CHECK(to_string(lost.code) == "NETWORK_ERROR");
    CHECK(lost.sent == sent_state::maybe);
    CHECK(lost.attempts == 1);
    CHECK(contains(lost.message, "POST " + upstream.url()));
    CHECK(upstream.hits(mode) == 1);
  }
  CHECK(running.stats().retries == 0);
}

TEST_CASE_FIXTURE(fixture, "R9: an answer that breaks off was sent, and a POST is not repeated for it") {
  runtime running(settings());
  auto mine = object(running);
  const auto lost = failed(fetched(mine, post("a", "mode=drop_body&bytes=1000")));
  CHECK(lost.sent == sent_state::yes);
  CHECK(upstream.hits("a") == 1);
  CHECK(answered(fetched(mine, key("b", "mode=drop_body&bytes=1000&fail_first=1"))).text().size() == 1000);
  CHECK(upstream.hits("b") == 2);
}

TEST_CASE_FIXTURE(fixture, "R9: a POST that times out may have been received") {
  runtime running(settings());
  auto late = post("a", "mode=hang");
  late.timeout_ms = 300;
  const auto lost = failed(fetched(object(running), late));
  CHECK(lost.code == fetch_errc::timeout);
  CHECK(lost.sent == sent_state::maybe);
  CHECK(upstream.hits("a") == 1);
}

TEST_CASE_FIXTURE(fixture, "R9: what is safe to repeat is repeated") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string method : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}) {
    CAPTURE(method);
    auto what = key(method, "mode=drop&fail_first=2");
    what.method = method;
    CHECK(answered(fetched(mine, what)).ok());
    CHECK(upstream.hits(method) == 3);
  }
}

TEST_CASE_FIXTURE(fixture, "R9: a POST with an idempotency key is repeated with the same key") {
  runtime running(settings());
  auto mine = object(running);
  auto what = post("a", "mode=drop&fail_first=2");
  what.idempotency_key = "order-7";
  CHECK(answered(fetched(mine, what)).ok());
  CHECK(upstream.hits("a") == 3);
  CHECK(upstream.idempotency("a") == counts{{"order-7", 3}});
  CHECK(answered(fetched(mine, post("b"))).ok());
  CHECK(upstream.idempotency("b").empty());
}

TEST_CASE_FIXTURE(fixture, "R9: a request that found nobody was not sent, and even a POST is repeated") {
  dead_port nobody;
  runtime running(settings());
  auto mine = object(running);
  order what{.tag = "a", .url = nobody.upstream.url() + "/k/a", .method = "POST", .max_retries = 2};
  const auto refused = failed(fetched(mine, what));
  CHECK(refused.code == fetch_errc::network_error);
  CHECK(refused.sent == sent_state::no);
  CHECK(refused.attempts == 3);
  CHECK(running.stats().retries == 2);

  what.tag = "b";
  what.max_retries = 100;
  what.initial_delay_ms = 50;
  value_of(mine.call<&fetcher::send>(what));
  REQUIRE(eventually([&running] { return running.stats().retries >= 4; }));
  nobody.upstream.start();
  CHECK(answered(result_under(mine, "b")).ok());
  CHECK(nobody.upstream.total() == 1);
}

TEST_CASE_FIXTURE(fixture, "R9: a name that does not resolve was not sent") {
  auto chosen = settings();
  chosen.allow = {"no-such-host.invalid"};
  runtime running(chosen);
  const auto lost = failed(fetched(object(running), {.tag = "a",
                                                     .url = "http://no-such-host.invalid/",
                                                     .method = "POST",
                                                     .timeout_ms = 5000,
                                                     .max_retries = 0}));
  CHECK((lost.code == fetch_errc::network_error ||
         lost.code == fetch_errc::timeout)); // a machine without a resolver takes its time
  CHECK(lost.sent == sent_state::no);
  CHECK(contains(lost.message, "no-such-host.invalid"));
}

// --- R10: three clocks -------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R10: the timeout is of one attempt") {
  runtime running(settings());
  auto mine = object(running);
  auto what = key("a", "mode=hang&fail_first=2");
  what.timeout_ms = 300;
  CHECK(answered(fetched(mine, what)).json().at("hit") == 3);

  what = key("b", "mode=hang");
  what.timeout_ms = 200;
  what.max_retries = 1;
  const auto late = failed(fetched(mine, what));
  CHECK(to_string(late.code) == "TIMEOUT");
  CHECK(late.attempts == 2);
  CHECK(late.sent == sent_state::maybe);
  CHECK(upstream.hits("b") == 2);

  what = key("c", "mode=slow_body&bytes=1000&chunks=10&chunk_ms=200"); // a server that trickles is late too
  what.timeout_ms = 500;
  what.max_retries = 0;
  const auto slow = failed(fetched(mine, what));
  CHECK(to_string(slow.code) == "TIMEOUT");
  CHECK(slow.sent == sent_state::yes);
}

TEST_CASE_FIXTURE(fixture, "R10: a fetch that names no timeout has default_timeout") {
  auto chosen = settings();
  chosen.default_timeout = 200ms;
  runtime running(chosen);
  auto what = key("a", "mode=hang");
  what.max_retries = 0;
  CHECK(failed(fetched(object(running), what)).code == fetch_errc::timeout);
}

TEST_CASE_FIXTURE(fixture, "R10: the deadline counts the time in the queue") {
  auto chosen = settings();
  chosen.max_in_flight = 1;
  runtime running(chosen);
  auto mine = object(running);
  value_of(mine.call<&fetcher::send>(key("in front", "mode=hang")));
  REQUIRE(eventually([this] { return upstream.total() == 1; }));
  auto what = key("late");
  what.deadline_ms = 300;
  const auto late = failed(fetched(mine, what));
  CHECK(to_string(late.code) == "TIMEOUT");
  CHECK(late.sent == sent_state::no);
  CHECK(late.attempts == 0);
  CHECK(contains(late.message, "deadline"));
  CHECK(upstream.total() == 1);
}

TEST_CASE_FIXTURE(fixture, "R10: the deadline is kept by fetches that wait on disk outside of the window") {
  auto chosen = settings();
  chosen.max_in_flight = 1;
  chosen.max_window = 2;
  runtime running(chosen);
  auto mine = object(running);
  std::vector<order> orders{key("in front", "mode=hang")};
  for (int i = 0; i < 30; ++i) {
    orders.push_back(key(std::to_string(i)));
    orders.back().deadline_ms = 300;
  }
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(all_came(mine, 30));
  for (int i = 0; i < 30; ++i) {
    const auto late = failed(result_under(mine, std::to_string(i)));
    CHECK(late.code == fetch_errc::timeout);
    CHECK(late.sent == sent_state::no);
  }
  CHECK(upstream.total() == 1);
  CHECK(running.stats().queued_fetches == 1);
}

TEST_CASE_FIXTURE(fixture, "R10: the deadline ends an attempt and its retries") {
  runtime running(settings());
  auto mine = object(running);
  auto what = key("a", "mode=hang");
  what.deadline_ms = 400;
  const auto begin = steady_clock::now();
  const auto late = failed(fetched(mine, what));
  CHECK(late.code == fetch_errc::timeout);
  CHECK(late.sent == sent_state::maybe);
  CHECK(steady_clock::now() - begin < 20s); // not the 30 s of the default timeout

  what = key(
      "b",
      "status=503&retry_after=60"); // the retry would begin behind the deadline: what there is is the result
  what.deadline_ms = 10'000;
  CHECK(answered(fetched(mine, what)).status() == 503);
  CHECK(upstream.hits("b") == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "R10: a worker is not taken for dead because its fetch takes longer than the lease") {
  auto chosen = settings();
  chosen.worker_lease = 1s;
  runtime running(chosen);
  CHECK(answered(fetched(object(running), key("a", "delay_ms=2500"))).ok());
  CHECK(upstream.hits("a") == 1);
  CHECK(running.stats().worker_restarts == 0);
}

TEST_CASE_FIXTURE(
    fixture, "R10: a worker whose thread hangs is noticed by its lease, and its fetches finish elsewhere") {
  constexpr std::uint64_t fetches = 100;
  auto script = std::make_shared<transport_script>();
  auto chosen = settings();
  chosen.worker_lease = 1s;
  {
    runtime running(chosen, {.wrap_engine = {}, .wrap_transport = hangs(script)});
    auto mine = object(running);
    gate::closing hung(script->starts);
    std::vector<order> orders;
    for (std::uint64_t i = 0; i < fetches; ++i) {
      orders.push_back(key(std::to_string(i)));
      orders.back().timeout_ms = 3'600'000;
    }
    const auto begin = steady_clock::now();
    value_of(mine.call<&fetcher::send_all>(orders));
    REQUIRE(all_came(mine, fetches));
    const auto took = steady_clock::now() - begin;
    CHECK(took < chosen.worker_lease + (sanitized ? 10s : 2s));
    CHECK(script->misbehaved == 1); // all the others were behind it
    for (std::uint64_t i = 0; i < fetches; ++i) {
      CHECK(answered(result_under(mine, std::to_string(i))).ok());
      CHECK(upstream.hits(std::to_string(i)) == 1);
    }
    CHECK(running.stats().worker_restarts >= 1);
    CHECK(running.stats().retries >= fetches);
  }
  CHECK(eventually([&script] { return script->gone == 1; })); // let go, the thread ends
  CHECK(upstream.total() == fetches);                         // and what it still held did not go out
}

TEST_CASE_FIXTURE(fixture, "R10: a worker's thread that hangs may outlive its runtime") {
  auto script = std::make_shared<transport_script>();
  auto chosen = settings();
  chosen.worker_lease = 500ms;
  {
    gate::closing hung(script->starts); // opens last
    runtime running(chosen, {.wrap_engine = {}, .wrap_transport = hangs(script)});
    auto mine = object(running);
    CHECK(answered(fetched(mine, key("a"))).ok());
    const auto begin = steady_clock::now();
    running.stop();
    CHECK(steady_clock::now() - begin < 3s);
  }
  CHECK(eventually([&script] { return script->gone == 1; }));
}

TEST_CASE_FIXTURE(fixture, "R20: stopping does not wait for a worker that hangs") {
  auto script = std::make_shared<transport_script>();
  {
    gate::closing hung(script->starts);
    {
      runtime running(settings(), {.wrap_engine = {}, .wrap_transport = hangs(script)});
      value_of(object(running).call<&fetcher::send>(key("a")));
      REQUIRE(eventually([&script] { return script->misbehaved == 1; }));
      const auto begin = steady_clock::now();
      running.stop();
      CHECK(steady_clock::now() - begin < 4s);
    }
    runtime next(settings());
    CHECK(answered(result_under(object(next), "a")).ok());
  }
  CHECK(eventually([&script] { return script->gone == 1; }));
}

TEST_CASE_FIXTURE(
    fixture,
    "R10: a worker that dies of an exception is replaced at once, and its fetches finish elsewhere") {
  constexpr std::uint64_t fetches = 100;
  auto script = std::make_shared<transport_script>();
  auto chosen = settings();
  chosen.worker_lease = 1h; // not by its lease
  runtime running(chosen, {.wrap_engine = {}, .wrap_transport = throws(script)});
  auto mine = object(running);
  std::vector<order> orders;
  for (std::uint64_t i = 0; i < fetches; ++i) {
    orders.push_back(key(std::to_string(i)));
    orders.back().timeout_ms = 3'600'000;
  }
  const auto begin = steady_clock::now();
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(all_came(mine, fetches));
  const auto took = steady_clock::now() - begin;
  CHECK(took < settings().worker_lease + (sanitized ? 10s : 2s)); // the lease that there would be
  for (std::uint64_t i = 0; i < fetches; ++i)
    CHECK(answered(result_under(mine, std::to_string(i))).ok());
  CHECK(running.stats().worker_restarts == 1);
  CHECK(script->gone == 1);
}

TEST_CASE_FIXTURE(
    fixture, "R9: a POST that was with a worker that is lost may have been received, and is not repeated") {
  auto script = std::make_shared<transport_script>();
  auto chosen = settings();
  chosen.worker_lease = 500ms;
  runtime running(chosen, {.wrap_engine = {}, .wrap_transport = hangs(script)});
  auto mine = object(running);
  gate::closing hung(script->starts);
  const auto lost = failed(fetched(mine, post("a")));
  CHECK(to_string(lost.code) == "FETCH_FAILED");
  CHECK(lost.sent == sent_state::maybe);
  CHECK(lost.attempts == 1);
  CHECK(contains(lost.message, "lease"));
  CHECK(answered(fetched(mine, post("b"))).ok());
  CHECK(upstream.hits("a") == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R9: a POST that was refused and waits for its retry goes out in the next process") {
  dead_port nobody;
  const auto clock = std::make_shared<movable_clock>();
  {
    runtime running(with_clock(settings(), clock));
    const order what{.tag = "a",
                     .url = nobody.upstream.url() + "/k/a",
                     .method = "POST",
                     .max_retries = 100,
                     .initial_delay_ms = 60'000};
    value_of(object(running).call<&fetcher::send>(what));
    REQUIRE(eventually([&running] { return running.stats().retries == 1; }));
    REQUIRE(eventually([&running] { return running.stats().in_flight_fetches == 0; }));
  }
  nobody.upstream.start();
  clock->advance(3h);
  runtime running(with_clock(settings(), clock));
  CHECK(answered(result_under(object(running), "a")).ok());
  CHECK(nobody.upstream.total() == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "R7: those that share the request of a fetch whose worker is lost have its result") {
  auto script = std::make_shared<transport_script>();
  auto chosen = settings();
  chosen.worker_lease = 500ms;
  runtime running(chosen, {.wrap_engine = {}, .wrap_transport = hangs(script)});
  auto mine = object(running);
  gate::closing hung(script->starts);
  std::vector<order> orders;
  for (const std::string tag : {"first", "second", "third"}) {
    orders.push_back({.tag = tag, .url = at("/k/shared")});
    orders.back().sharing = sharing::single_flight;
  }
  value_of(mine.call<&fetcher::send_all>(orders));
  for (const auto& each : orders)
    CHECK(answered(result_under(mine, each.tag)).ok());
  CHECK(running.stats().worker_restarts >= 1);
}

// --- R11: retries ------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R11: statuses that pass are retried, and others are responses at once") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string status : {"408", "429", "502", "503", "504"}) {
    CAPTURE(status);
    CHECK(answered(fetched(mine, key(status, "fail_first=2&fail_status=" + status))).status() == 200);
    CHECK(upstream.hits(status) == 3);
  }
  for (const std::string status : {"400", "401", "404", "500", "501"}) {
    CAPTURE(status);
    const auto got = answered(fetched(mine, key(status, "fail_first=2&fail_status=" + status)));
    CHECK(got.status() == std::stoi(status));
    CHECK_FALSE(got.ok());
    CHECK(upstream.hits(status) == 1);
  }
  CHECK(running.stats().retries == 10);
  CHECK(running.stats().fetch_errors == 0);
}

TEST_CASE_FIXTURE(fixture, "R11: once retries are spent a status is a response, not an error") {
  runtime running(settings());
  auto mine = object(running);
  for (std::uint32_t retries : {0U, 1U, 3U}) {
    CAPTURE(retries);
    auto what = key(std::to_string(retries), "status=503");
    what.max_retries = retries;
    CHECK(answered(fetched(mine, what)).status() == 503);
    CHECK(upstream.hits(what.tag) == retries + 1);
  }
}

TEST_CASE_FIXTURE(fixture, "R11: a worker that is lost costs its fetch no retry") {
  auto script = std::make_shared<transport_script>();
  auto chosen = settings();
  chosen.worker_lease = 500ms;
  runtime running(chosen, {.wrap_engine = {}, .wrap_transport = hangs(script)});
  auto mine = object(running);
  gate::closing hung(script->starts);
  auto what = key("a", "status=503");
  what.max_retries = 1;
  CHECK(answered(fetched(mine, what)).status() == 503);
  CHECK(running.stats().worker_restarts >= 1);
  CHECK(upstream.hits("a") == 2); // and not once, as if the lost one had been the first
}

TEST_CASE_FIXTURE(fixture, "R11: Retry-After is honoured") {
  runtime running(settings());
  const auto begin = steady_clock::now();
  CHECK(answered(fetched(object(running), key("a", "fail_first=1&retry_after=1"))).ok());
  CHECK(steady_clock::now() - begin >= 1s);
  CHECK(upstream.hits("a") == 2);
}

TEST_CASE_FIXTURE(fixture, "R11: a retry is due by the runtime's clock, across restarts") {
  auto clock = std::make_shared<movable_clock>();
  {
    runtime running(with_clock(settings(), clock));
    value_of(object(running).call<&fetcher::send>(key("a", "fail_first=2&retry_after=250")));
    REQUIRE(eventually([&running] { return running.stats().retries == 1; }));
    clock->advance(251s);
    REQUIRE(eventually([&running] { return running.stats().retries == 2; }));
    CHECK(upstream.hits("a") == 2);
  }
  clock->advance(251s);
  runtime running(with_clock(settings(), clock));
  CHECK(answered(result_under(object(running), "a")).ok());
  CHECK(upstream.hits("a") == 3);
}

TEST_CASE_FIXTURE(fixture, "R10: a deadline passes by the runtime's clock, while the fetch waits for its "
                           "retry and while nobody runs") {
  auto clock = std::make_shared<movable_clock>();
  auto waits = key("waits", "status=503&retry_after=200");
  waits.deadline_ms = 250'000;
  waits.max_retries = 100;
  auto stopped = key("stopped", "mode=hang");
  stopped.deadline_ms = 3'600'000;
  stopped.timeout_ms = 3'600'000;
  {
    runtime running(with_clock(settings(), clock));
    auto mine = object(running);
    value_of(mine.call<&fetcher::send>(waits));
    REQUIRE(eventually([&running] { return running.stats().retries == 1; }));
    clock->advance(201s); // the retry, whose own retry would be too late
    CHECK(answered(result_under(mine, "waits")).status() == 503);
    CHECK(upstream.hits("waits") == 2);
    value_of(mine.call<&fetcher::send>(stopped));
    REQUIRE(eventually([this] { return upstream.hits("stopped") == 1; }));
  }
  clock->advance(2h);
  runtime running(with_clock(settings(), clock));
  const auto late = failed(result_under(object(running), "stopped"));
  CHECK(late.code == fetch_errc::timeout);
  CHECK(running.stats().queued_fetches == 0);
}

TEST_CASE_FIXTURE(fixture, "R11: the attempts of earlier processes count") {
  // Each process makes one attempt and is stopped while the fetch waits for the next.
  const auto clock = std::make_shared<manual_clock>();
  auto chosen = settings();
  chosen.clock = clock;
  for (std::uint64_t attempt = 1; attempt <= 2; ++attempt) {
    runtime running(chosen);
    auto mine = object(running);
    if (attempt == 1) {
      auto what = key("a", "status=503&retry_after=2");
      what.max_retries = 2;
      value_of(mine.call<&fetcher::send>(what));
    }
    REQUIRE(eventually([&running] { return running.stats().retries == 1; }));
    REQUIRE(eventually([&running] { return running.stats().in_flight_fetches == 0; }));
    CHECK(upstream.hits("a") == attempt);
    running.stop();
    clock->advance(10s);
  }
  runtime running(chosen);
  CHECK(answered(result_under(object(running), "a")).status() == 503);
  CHECK(upstream.hits("a") == 3);
  CHECK(running.stats().retries == 0);
}

} // namespace dormouse::test::attempts_test
