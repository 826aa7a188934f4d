#include "disk.hpp"
#include "storage_valve.hpp"
#include "transports.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dormouse::test::delivery_test {

using namespace std::chrono_literals;

namespace {

class bystander : public durable_object {
public:
  int nothing() const { return 0; }
  using methods = dormouse::methods<"BYSTANDER", method<"nothing", &bystander::nothing>>;
};

/// Asks on behalf of objects of another class.
class clerk : public durable_object {
public:
  void ask(std::string url, std::uint32_t first, std::uint32_t last) {
    for (auto i = first; i < last; ++i)
      create_proxy_fetch(queue(),
                         {.return_address = {"FETCHER", std::to_string(i % 7)}})(url + std::to_string(i))
          .then<&fetcher::on_result>(std::to_string(i));
  }
  using methods = dormouse::methods<"CLERK", method<"ask", &clerk::ask>>;
};

struct fixture : upstream_fixture {
  std::shared_ptr<storage_valve> valve = std::make_shared<storage_valve>();

  ports valved() const { return {.wrap_engine = valve->wrap(), .wrap_transport = {}}; }

  static bool sleeps(const runtime& running) {
    return eventually([&running] { return running.stats().active_objects == 0; });
  }
};

bool is_response_row(const write_op& op) { return op.key.front() == 'I' && op.value; }

} // namespace

// --- R3, R4: what a turn wants to send ---------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R3: a fetch of a turn that throws never goes out") {
  runtime running(settings());
  auto mine = object(running);
  for (int i = 0; i < 20; ++i) {
    const auto why = error_of(mine.call<&fetcher::send_and_throw>(key("undone")));
    CHECK(why.code == errc::handler_failed);
    CHECK(contains(why.message, "changed my mind"));
  }
  // One that goes the same way behind them.
  CHECK(answered(fetched(mine, key("done"))).ok());
  CHECK(upstream.hits("undone") == 0);
  CHECK(upstream.total() == 1);
  CHECK(value_of(mine.call<&fetcher::orders>()) == 1);
  CHECK(running.stats().fetches == 1);
  CHECK(running.stats().queued_fetches == 0);
}

TEST_CASE_FIXTURE(fixture, "R4: no fetch goes out before its turn's commit is durable") {
  runtime running(settings(), valved());
  auto mine = object(running);
  std::future<void> sent;
  {
    gate::closing held(valve->writes);
    sent = mine.call<&fetcher::send>(key("a"));
    REQUIRE(eventually([this] { return valve->writes.waiting() == 1; }));
    running.define<bystander>(); // through the dispatcher's mailbox: had it been told of the fetch, it would
                                 // have acted on it
    CHECK(running.stats().attempts == 0);
    CHECK(running.stats().fetches == 0);
    CHECK(upstream.total() == 0);
    CHECK_FALSE(is_ready(sent));
  }
  value_of(std::move(sent));
  CHECK(answered(result_under(mine, "a")).ok());
  CHECK(upstream.total() == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "R4: the fetches of a turn whose commit fails never go out, nor those of turns behind it") {
  runtime running(settings(), valved());
  auto mine = object(running);
  std::vector<std::future<void>> sent;
  {
    gate::closing held(valve->writes);
    sent.push_back(mine.call<&fetcher::send>(key("lost")));
    REQUIRE(eventually([this] { return valve->writes.waiting() == 1; }));
    for (int i = 0; i < 5; ++i)
      sent.push_back(mine.call<&fetcher::send>(key("lost")));
    valve->fail_writes();
  }
  for (auto& each : sent)
    CHECK(error_of(std::move(each)).code == errc::storage_error);
  valve->heal();
  CHECK(answered(fetched(mine, key("done"))).ok());
  CHECK(upstream.hits("lost") == 0);
  CHECK(value_of(mine.call<&fetcher::orders>()) == 1);
  CHECK(running.stats().queued_fetches == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R9: a request that must not be repeated does not go out before its mark is durable") {
  runtime running(settings(), valved());
  auto mine = object(running);
  valve->fail_writes([](const write_op& op) { return op.key.front() == 'A' && op.value; });
  value_of(mine.call<&fetcher::send>(order{.tag = "a", .url = at("/k/a"), .method = "POST"}));
  REQUIRE(eventually([this] { return valve->failed() >= 3; }));
  CHECK(upstream.total() == 0);
  CHECK(running.stats().attempts == 0);
  valve->heal();
  CHECK(answered(result_under(mine, "a")).ok());
  CHECK(upstream.hits("a") == 1);
}

// --- R7: exactly one result --------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R7: a thousand fetches get one result each, and leave no row behind") {
  constexpr std::uint32_t objects = 20;
  constexpr std::uint32_t each = 50;
  {
    auto chosen = settings();
    chosen.max_window = 100; // most of them wait on disk
    chosen.max_in_flight_per_origin = 32;
    runtime running(chosen);
    running.define<fetcher>();
    for (std::uint32_t i = 0; i < objects; ++i) {
      std::vector<order> orders;
      for (std::uint32_t k = 0; k < each; ++k) {
        auto next = key(std::to_string(i) + "-" + std::to_string(k), k % 10 == 0 ? "fail_first=1" : "");
        next.priority = static_cast<fetch_priority>(k % 3);
        if (k % 7 == 1) next.method = "POST";
        if (k % 5 == 0) next.deadline_ms = 60'000;
        orders.push_back(std::move(next));
      }
      value_of(running.get<fetcher>(std::to_string(i)).call<&fetcher::send_all>(orders));
    }
    for (std::uint32_t i = 0; i < objects; ++i) {
      auto mine = running.get<fetcher>(std::to_string(i));
      REQUIRE(all_came(mine, each));
      for (std::uint32_t k = 0; k < each; ++k) {
        const auto tag = std::to_string(i) + "-" + std::to_string(k);
        const auto all = value_of(mine.call<&fetcher::results>(tag));
        REQUIRE(all.size() == 1);
        CHECK(answered(all.front()).json().at("key") == tag);
        CHECK(upstream.hits(tag) == (k % 10 == 0 ? 2 : 1));
      }
    }
    CHECK(eventually([&running] { return running.stats().delivered == objects * each; }));
    const auto stats = running.stats();
    CHECK(stats.queued_fetches == 0);
    CHECK(stats.in_flight_fetches == 0);
    CHECK(stats.responses_stored == objects * each);
    CHECK(stats.retries == objects * each / 10);
    CHECK(stats.duplicates_dropped == 0);
  }
  disk left(directory.path());
  CHECK(left.count('O') == objects);
  CHECK(left.count('M') == 1);
  for (char kind : {'A', 'B', 'D', 'E', 'I', 'Q'}) {
    CAPTURE(kind);
    CHECK(left.count(kind) == 0);
  }
}

TEST_CASE_FIXTURE(fixture, "R7: duplicate results and results of strangers are dropped and counted") {
  auto script = std::make_shared<transport_script>();
  runtime running(settings(), {.wrap_engine = {}, .wrap_transport = stutters(script)});
  auto mine = object(running);
  for (int i = 0; i < 20; ++i)
    CHECK(answered(fetched(mine, key(std::to_string(i)))).ok());
  REQUIRE(eventually([&script] { return script->answered_twice == 20; }));
  CHECK(eventually([&running] { return running.stats().duplicates_dropped == 40; }));
  CHECK(value_of(mine.call<&fetcher::count>()) == 20);
  CHECK(running.stats().responses_stored == 20);
}

TEST_CASE_FIXTURE(fixture, "R7: a result is delivered again while its handler throws, and counts once") {
  runtime running(settings());
  auto mine = object(running);
  fetcher::refusals = 2;
  CHECK(answered(fetched(mine, key("a"))).ok());
  CHECK(fetcher::continuations_run == 3);
  CHECK(upstream.hits("a") == 1);
  CHECK(running.stats().failed_turns == 2);
  CHECK(running.stats().delivered == 1);
  CHECK(running.stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture, "R7: a result whose handler keeps throwing becomes a dead letter") {
  {
    runtime running(settings());
    auto mine = object(running);
    fetcher::refusals = 1000;
    value_of(mine.call<&fetcher::send>(key("a")));
    REQUIRE(eventually([&running] { return running.stats().dead_letters == 1; }));
    CHECK(fetcher::continuations_run == 5);
    CHECK(value_of(mine.call<&fetcher::count>()) == 0);
    CHECK(running.stats().delivered == 0);
  }
  fetcher::refusals = 0;
  {
    runtime running(settings());
    auto mine = object(running);
    CHECK(answered(fetched(mine, key("b"))).ok());
    CHECK(value_of(mine.call<&fetcher::count>()) == 1);
  }
  disk left(directory.path());
  CHECK(left.count('I') == 0);
  CHECK(left.count('D') == 1);
}

TEST_CASE_FIXTURE(fixture, "R7: results for a class that is not defined are kept, and delivered once it is") {
  {
    runtime running(settings());
    auto mine = object(running);
    for (int i = 0; i < 5; ++i)
      value_of(mine.call<&fetcher::send>(key(std::to_string(i), "mode=hang&fail_first=1")));
    REQUIRE(eventually([this] { return upstream.total() == 5; }));
  }
  {
    runtime running(settings()); // knows no class, and answers all the same
    REQUIRE(eventually([&running] { return running.stats().undeliverable == 5; }));
    CHECK(running.stats().responses_stored == 5);
    CHECK(running.stats().delivered == 0);
    auto mine = object(running, "y");
    CHECK(eventually([&running] { return running.stats().delivered == 5; }));
    value_of(mine.call<&fetcher::send>(key("late", "mode=hang&fail_first=1")));
    REQUIRE(eventually([this] { return upstream.hits("late") == 1; }));
  }
  {
    runtime running(settings());
    REQUIRE(eventually([&running] { return running.stats().undeliverable == 1; }));
  }
  runtime running(settings());
  auto mine = object(running);
  CHECK(answered(result_under(object(running, "y"), "late")).ok());
  for (int i = 0; i < 5; ++i)
    CHECK(answered(result_under(mine, std::to_string(i))).ok());
  CHECK(upstream.total() == 12);
}

TEST_CASE_FIXTURE(fixture, "R7: an inbox of many batches is delivered in full, each result once") {
  constexpr std::uint32_t fetches = 1500; // three batches
  {
    runtime running(settings());
    running.define<clerk>();
    value_of(running.get<clerk>("x").call<&clerk::ask>(at("/k/"), 0U, fetches));
    REQUIRE(eventually([&running] { return running.stats().undeliverable == fetches; }));
  }
  runtime running(settings());
  object(running);
  CHECK(eventually([&running] { return running.stats().delivered == fetches; }));
  for (std::uint32_t i = 0; i < fetches; ++i) {
    const auto all =
        value_of(running.get<fetcher>(std::to_string(i % 7)).call<&fetcher::results>(std::to_string(i)));
    REQUIRE(all.size() == 1);
    CHECK(answered(all.front()).json().at("key") == std::to_string(i));
  }
  CHECK(upstream.total() == fetches);
  CHECK(fetcher::continuations_run == fetches);
}

TEST_CASE_FIXTURE(fixture, "R7: a reply whose caller went with its process is dropped and counted") {
  {
    runtime running(settings());
    auto reply = object(running).call<&fetcher::ask>(key("a", "mode=hang&fail_first=1"));
    REQUIRE(eventually([this] { return upstream.hits("a") == 1; }));
    CHECK(running.stats().waiting_callers == 1);
    running.stop();
    CHECK(error_of(std::move(reply)).code == errc::stopped);
    CHECK(running.stats().waiting_callers == 0);
  }
  runtime running(settings());
  auto mine = object(running);
  CHECK(eventually([&running] { return running.stats().strangers_dropped == 1; }));
  CHECK(value_of(mine.call<&fetcher::answers>()) == 1); // the continuation ran all the same
  CHECK(running.stats().dead_letters == 0);
}

// --- R8: a response is stored first ------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture,
                  "R8: a response that cannot be stored is kept, and its request is not sent again") {
  runtime running(settings(), valved());
  auto mine = object(running);
  valve->fail_writes(is_response_row);
  value_of(mine.call<&fetcher::send>(key("a")));
  REQUIRE(eventually([this] { return valve->failed() >= 3; }));
  CHECK(upstream.hits("a") == 1);
  CHECK(running.stats().responses_stored == 0);
  CHECK(value_of(mine.call<&fetcher::count>()) == 0);
  CHECK(running.stats().queued_fetches == 1);
  valve->heal();
  CHECK(answered(result_under(mine, "a")).json().at("hit") == 1);
  CHECK(upstream.hits("a") == 1);
  CHECK(running.stats().attempts == 1);
  CHECK(running.stats().queued_fetches == 0);
}

TEST_CASE_FIXTURE(fixture, "R8: a response is in its object's inbox before the object hears of it") {
  runtime running(settings(), valved());
  auto mine = object(running);
  valve->hold_writes(is_response_row);
  {
    gate::closing held(valve->writes);
    value_of(mine.call<&fetcher::send>(key("a")));
    REQUIRE(eventually([this] { return valve->writes.waiting() == 1; })); // the response's
    CHECK(upstream.answered("a") == 1);
    CHECK(fetcher::continuations_run == 0);
    CHECK(running.stats().responses_stored == 0);
  }
  CHECK(answered(result_under(mine, "a")).ok());
  CHECK(fetcher::continuations_run == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "R8: a POST whose response was lost before it could be stored is not sent again by the next process") {
  {
    runtime running(settings(), valved());
    auto mine = object(running);
    valve->fail_writes(is_response_row);
    value_of(mine.call<&fetcher::send>(order{.tag = "a", .url = at("/k/a"), .method = "POST"}));
    REQUIRE(eventually([this] { return valve->failed() >= 1; }));
  }
  valve->heal();
  runtime running(settings());
  const auto lost = failed(result_under(object(running), "a"));
  CHECK(lost.code == fetch_errc::fetch_failed);
  CHECK(lost.sent == sent_state::maybe);
  CHECK(upstream.hits("a") == 1);
}

// --- R15: replies that come later --------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R15: a reply that comes later is what the continuation returns, though the "
                           "object hibernated in between") {
  auto chosen = settings();
  chosen.idle_after = 0ms;
  runtime running(chosen);
  auto mine = object(running);
  auto reply = mine.call<&fetcher::ask>(key("a", "delay_ms=400"));
  REQUIRE(eventually([this] { return upstream.hits("a") == 1; }));
  REQUIRE(sleeps(running));
  CHECK_FALSE(is_ready(reply));
  CHECK(running.stats().waiting_callers == 1);
  CHECK(contains(value_of(std::move(reply)), R"("key":"a")"));
  CHECK(running.stats().waiting_callers == 0);
  CHECK(running.stats().wakes >= 2);
  CHECK(value_of(mine.call<&fetcher::ask>(
            order{.tag = "b", .url = at("/k/b?mode=drop"), .method = "POST"})) == "NETWORK_ERROR");
  CHECK(running.stats().strangers_dropped == 0);
}

TEST_CASE_FIXTURE(fixture, "R15: the continuation of a continuation replies") {
  runtime running(settings());
  CHECK(contains(value_of(object(running).call<&fetcher::ask_twice>(key("a"))), R"("hit":2)"));
  CHECK(upstream.hits("a") == 2);
  CHECK(running.stats().waiting_callers == 0);
}

TEST_CASE_FIXTURE(fixture, "R15: when the continuation keeps throwing the caller gets its error") {
  runtime running(settings());
  fetcher::refusals = 1000;
  const auto why = error_of(object(running).call<&fetcher::ask>(key("a")));
  CHECK(why.code == errc::handler_failed);
  CHECK(contains(why.message, "the continuation refuses"));
  CHECK(running.stats().waiting_callers == 0);
  CHECK(running.stats().dead_letters == 1);
}

TEST_CASE_FIXTURE(fixture, "R15: a caller is told when the turn that would reply later does not commit") {
  runtime running(settings(), valved());
  auto mine = object(running);
  valve->fail_writes();
  CHECK(error_of(mine.call<&fetcher::ask>(key("a"))).code == errc::storage_error);
  CHECK(running.stats().waiting_callers == 0);
  valve->heal();
  CHECK(contains(value_of(mine.call<&fetcher::ask>(key("a"))), R"("hit":1)"));
}

TEST_CASE_FIXTURE(fixture,
                  "R4: a reply that comes later is not given before the continuation's commit is durable") {
  runtime running(settings(), valved());
  auto mine = object(running);
  valve->fail_writes([](const write_op& op) {
    return op.key.front() == 'I' && !op.value;
  }); // the turn that consumes the result
  auto reply = mine.call<&fetcher::ask>(key("a"));
  REQUIRE(eventually([this] { return valve->failed() >= 2; }));
  CHECK(fetcher::continuations_run >= 2);
  CHECK_FALSE(is_ready(reply));
  valve->heal();
  CHECK(contains(value_of(std::move(reply)), R"("hit":1)"));
  CHECK(value_of(mine.call<&fetcher::answers>()) == 1);
  CHECK(upstream.hits("a") == 1);
}

// --- from outside, and stopping ----------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    fixture,
    "a fetch from outside any object returns to the object that is named, which need not exist yet") {
  runtime running(settings());
  auto mine = object(running, "made by its first result");
  auto fetch = create_proxy_fetch(running.queue(), {.return_address = mine.where(), .timeout = 10s});
  fetch(at("/k/a")).then<&fetcher::on_result>("a");
  fetch(at("/echo"), {.method = "POST", .body = "hello"}).then<&fetcher::on_result>("b");
  CHECK(running.stats().fetches == 2); // durable on return
  CHECK(answered(result_under(mine, "a")).ok());
  CHECK(answered(result_under(mine, "b")).text() == "hello");

  const auto elsewhere = error_thrown_by([&] {
    create_proxy_fetch(running.queue(), {.return_address = {"BYSTANDER", "x"}})(at("/k/a"))
        .then<&fetcher::on_result>("a");
  });
  CHECK(elsewhere.code == errc::unknown_method);
  CHECK(error_thrown_by([&] { fetch("http://example.com/").then<&fetcher::on_result>("a"); }).code ==
        errc::blocked);
  running.stop();
  CHECK(error_thrown_by([&] { fetch(at("/k/a")).then<&fetcher::on_result>("a"); }).code == errc::stopped);
}

TEST_CASE_FIXTURE(fixture, "a fetch from outside survives a restart") {
  {
    runtime running(settings());
    auto fetch = create_proxy_fetch(running.queue(), {.return_address = {"FETCHER", "x"}});
    fetch(at("/k/a?mode=hang&fail_first=1")).then<&fetcher::on_result>("a");
    REQUIRE(eventually([this] { return upstream.hits("a") == 1; }));
  }
  runtime running(settings());
  CHECK(answered(result_under(object(running), "a")).json().at("hit") == 2);
}

TEST_CASE_FIXTURE(fixture,
                  "R20: stopping does not wait for a slow upstream, and what was queued finishes later") {
  constexpr std::uint64_t fetches = 50;
  {
    runtime running(settings());
    auto mine = object(running);
    for (std::uint64_t i = 0; i < fetches; ++i) {
      auto next = key(std::to_string(i), "mode=hang&fail_first=1");
      next.timeout_ms = 3'600'000;
      value_of(mine.call<&fetcher::send>(next));
    }
    REQUIRE(eventually([this] { return upstream.total() == fetches; }));
    const auto begin = std::chrono::steady_clock::now();
    running.stop();
    CHECK(std::chrono::steady_clock::now() - begin < 3s);
    CHECK(running.stats().queued_fetches == fetches);
  }
  runtime running(settings());
  auto mine = object(running);
  REQUIRE(all_came(mine, fetches));
  for (std::uint64_t i = 0; i < fetches; ++i)
    CHECK(answered(result_under(mine, std::to_string(i))).ok());
  CHECK(value_of(mine.call<&fetcher::count>()) == fetches);
}

TEST_CASE_FIXTURE(fixture,
                  "R7: who shares the request of a fetch whose own time is over goes on without it") {
  runtime running(settings());
  auto mine = object(running);
  const auto share = [&](const std::string& tag, abort_signal signal,
                         std::optional<std::chrono::milliseconds> deadline) {
    create_proxy_fetch(running.queue(), {.return_address = mine.where()})(
        at("/k/shared-" + tag.substr(0, 1) + "?mode=hang&fail_first=1"),
        {.deadline = deadline, .sharing = sharing::single_flight, .signal = std::move(signal)})
        .then<&fetcher::on_result>(tag);
  };
  share("a first", abort_signal::timeout(1s), std::nullopt);
  share("b first", {}, 1s);
  REQUIRE(eventually([this] { return upstream.hits("shared-a") == 1 && upstream.hits("shared-b") == 1; }));
  share("a second", {}, std::nullopt);
  share("b second", {}, std::nullopt);
  CHECK(failed(result_under(mine, "a first")).code == fetch_errc::aborted);
  CHECK(failed(result_under(mine, "b first")).code == fetch_errc::timeout);
  CHECK(answered(result_under(mine, "a second")).ok());
  CHECK(answered(result_under(mine, "b second")).ok());
  CHECK(upstream.hits("shared-a") == 2);
  CHECK(upstream.hits("shared-b") == 2);
}

TEST_CASE_FIXTURE(fixture, "R5: a fetch that is waited for keeps nobody awake") {
  auto chosen = settings();
  runtime running(chosen);
  auto mine = object(running);
  value_of(mine.call<&fetcher::send>(key("a", "mode=hang")));
  REQUIRE(eventually([this] { return upstream.hits("a") == 1; }));
  REQUIRE(sleeps(running));
  const auto stats = running.stats();
  CHECK(stats.in_flight_fetches == 1);
  CHECK(stats.queued_fetches == 1);
  CHECK(stats.active_bytes == 0);
}

} // namespace dormouse::test::delivery_test
