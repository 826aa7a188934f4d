// When a fetch goes out, and whether: delays, priorities, named queues, rates, the window on the queue,
// circuit breakers, shared requests, and delivery at most once.

#include "disk.hpp"
#include "movable_clock.hpp"
#include "storage_valve.hpp"
#include "transports.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::scheduling_test {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

/// Only to be defined: who has defined it knows that the dispatcher has seen to everything that came before.
class nobody : public durable_object {
public:
  void nothing() {}
  using methods = dormouse::methods<"NOBODY", method<"nothing", &nobody::nothing>>;
};

struct fixture : upstream_fixture {
  samples::upstream_server other; ///< another origin
  std::shared_ptr<movable_clock> clock = std::make_shared<movable_clock>();

  fixture() { other.start(); }

  order elsewhere(const std::string& name, const std::string& parameters = "") const {
    return {.tag = name, .url = other.url() + "/k/" + name + "?" + parameters};
  }

  order once(const std::string& name, const std::string& parameters = "") const {
    auto out = key(name, parameters);
    out.max_retries = 0;
    return out;
  }

  order shared(const std::string& name, const std::string& of, const std::string& parameters = "") const {
    order out{.tag = name, .url = at("/k/" + of + "?" + parameters)};
    out.sharing = sharing::single_flight;
    return out;
  }

  bool came(const std::string& name, std::uint64_t hits = 1) const {
    return eventually([&] { return upstream.hits(name) == hits; });
  }

  /// When this returns the dispatcher has had every occasion to send what may go.
  void let_it_pass(const object_ref<fetcher>& object) {
    for (int i = 0; i < 2; ++i)
      REQUIRE(answered(fetched(object, elsewhere("pass " + std::to_string(passed_++)))).ok());
  }

  options limited(origin_options limits) const {
    auto chosen = settings();
    chosen.origins = {{upstream.url(), std::move(limits)}};
    return chosen;
  }

  static origin_stats of_origin(const runtime& running, const std::string& url) {
    for (auto& each : running.stats().origins)
      if (each.origin == url) return each;
    return {};
  }

private:
  int passed_ = 0;
};

/// The tags that begin with `prefix`, in the order in which their results came.
std::vector<std::string> sequence(const object_ref<fetcher>& object, const std::string& prefix) {
  auto all = value_of(object.call<&fetcher::sequence>());
  std::erase_if(all, [&prefix](const std::string& tag) { return !tag.starts_with(prefix); });
  return all;
}

std::int64_t in_ms(std::chrono::system_clock::time_point when) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
}

} // namespace

// --- later -------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "delay: a fetch goes out that much later, and never earlier") {
  runtime running(settings());
  auto mine = object(running);
  auto what = key("a");
  what.delay_ms = 400;
  const auto begin = steady_clock::now();
  CHECK(answered(fetched(mine, what)).ok());
  CHECK(steady_clock::now() - begin >= 400ms);
}

TEST_CASE_FIXTURE(fixture,
                  "delay and not_before: the later one counts, by the runtime's clock and across restarts") {
  auto in_an_hour = key("hour");
  in_an_hour.delay_ms = 3'600'000;
  auto at_two = key("two");
  at_two.delay_ms = 3'600'000;
  at_two.not_before_ms = in_ms(clock->now() + 2h);
  auto past = key("past");
  past.not_before_ms = in_ms(clock->now() - 2h);
  {
    runtime running(with_clock(settings(), clock));
    auto mine = object(running);
    value_of(mine.call<&fetcher::send_all>(std::vector{in_an_hour, at_two, past}));
    CHECK(answered(result_under(mine, "past")).ok());
    clock->advance(59min);
    let_it_pass(mine);
    CHECK(upstream.total() == 1);
  }
  {
    runtime running(with_clock(settings(), clock));
    auto mine = object(running);
    let_it_pass(mine);
    CHECK(upstream.total() == 1);
    CHECK(running.stats().queued_fetches == 2);
    clock->advance(1min);
    CHECK(answered(result_under(mine, "hour")).ok());
    let_it_pass(mine);
    CHECK(upstream.hits("two") == 0);
  }
  clock->advance(2h); // while nobody runs
  runtime running(with_clock(settings(), clock));
  CHECK(answered(result_under(object(running), "two")).ok());
  CHECK(upstream.total() == 3);
}

TEST_CASE_FIXTURE(fixture, "delay: the deadline counts from the call") {
  runtime running(settings());
  auto what = key("a", "mode=hang");
  what.delay_ms = 200;
  what.deadline_ms = 600;
  const auto begin = steady_clock::now();
  CHECK(failed(fetched(object(running), what)).code == fetch_errc::timeout);
  CHECK(steady_clock::now() - begin >= 590ms); // by another clock, whose milliseconds are cut off
  CHECK(upstream.hits("a") == 1);
}

TEST_CASE_FIXTURE(fixture, "delay: many that become due one after the other go in the order of their times") {
  auto chosen = settings();
  chosen.max_in_flight_per_origin = 1;
  chosen.max_window = 4;
  runtime running(with_clock(chosen, clock));
  auto mine = object(running);
  std::vector<order> orders;
  std::vector<std::string> expected;
  for (int i = 0; i < 8; ++i) {
    orders.push_back(key("d" + std::to_string(i)));
    orders.back().delay_ms = 3'600'000 - i * 60'000; // the last one first
    expected.push_back(orders.back().tag);
  }
  std::reverse(expected.begin(), expected.end());
  value_of(mine.call<&fetcher::send_all>(orders));
  for (std::size_t seen = 0; seen < orders.size(); ++seen) {
    clock->advance(seen == 0 ? 53min + 1s : 1min);
    REQUIRE(eventually([&] { return value_of(mine.call<&fetcher::count>()) == seen + 1; }));
  }
  CHECK(sequence(mine, "d") == expected);
}

// --- priorities --------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    fixture, "priority: under a full origin 16 of 21 are high, 4 normal and 1 low, so that none starves") {
  auto chosen = settings();
  chosen.max_in_flight_per_origin = 1;
  runtime running(chosen);
  auto mine = object(running);
  const abort_controller go;
  auto occupant = key("occupant", "mode=hang");
  occupant.signal = go.signal();
  value_of(mine.call<&fetcher::send>(occupant));
  REQUIRE(came("occupant"));
  std::vector<order> orders;
  for (int i = 0; i < 40; ++i)
    for (auto [priority, letter] :
         {std::pair{fetch_priority::low, 'l'}, std::pair{fetch_priority::normal, 'n'},
          std::pair{fetch_priority::high, 'h'}}) {
      orders.push_back(key(std::string("p") + letter + std::to_string(i)));
      orders.back().priority = priority;
    }
  value_of(mine.call<&fetcher::send_all>(orders));
  value_of(mine.call<&fetcher::give_up>(go, std::string()));
  REQUIRE(all_came(mine, orders.size() + 1));
  const auto order_of_going = sequence(mine, "p");
  const auto among = [&order_of_going](std::size_t first, char letter) {
    return std::count_if(order_of_going.begin(), order_of_going.begin() + static_cast<std::ptrdiff_t>(first),
                         [letter](const std::string& tag) { return tag[1] == letter; });
  };
  CHECK(among(42, 'h') + among(42, 'n') + among(42, 'l') == 42);
  // The occupant had a turn of the round too.
  CHECK(among(42, 'h') >= 31);
  CHECK(among(42, 'h') <= 33);
  CHECK(among(42, 'n') >= 7);
  CHECK(among(42, 'n') <= 9);
  CHECK(among(42, 'l') == 2);
  // Within a priority, by age.
  for (char letter : {'h', 'n', 'l'}) {
    auto of_it = sequence(mine, std::string("p") + letter);
    for (std::size_t i = 0; i < of_it.size(); ++i)
      CHECK(of_it[i] == std::string("p") + letter + std::to_string(i));
  }
}

TEST_CASE_FIXTURE(fixture, "priority: one full window of high ones does not keep low ones out of memory") {
  auto chosen = settings();
  chosen.max_in_flight_per_origin = 1;
  chosen.max_window = 4;
  runtime running(chosen);
  auto mine = object(running);
  value_of(mine.call<&fetcher::send>(key("occupant", "mode=hang")));
  REQUIRE(came("occupant"));
  std::vector<order> orders;
  for (int i = 0; i < 50; ++i) {
    orders.push_back(key("h" + std::to_string(i)));
    orders.back().priority = fetch_priority::high;
  }
  orders.push_back(elsewhere("low"));
  orders.back().priority = fetch_priority::low;
  value_of(mine.call<&fetcher::send_all>(orders));
  CHECK(answered(result_under(mine, "low")).ok());
}

// --- named queues ------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "queues: a named queue has its own limit in flight, and others pass it") {
  auto chosen = settings();
  chosen.queues = {{"bulk", {.max_in_flight = 2}}, {"mail", {.max_in_flight = 3}}};
  runtime running(chosen);
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 10; ++i) {
    orders.push_back(key("bulk " + std::to_string(i), "mode=hang"));
    orders.back().queue = "bulk";
    orders.push_back(elsewhere("mail " + std::to_string(i), "mode=hang"));
    orders.back().queue = "mail";
  }
  value_of(mine.call<&fetcher::send_all>(orders));
  let_it_pass(mine);
  REQUIRE(eventually([this] { return upstream.total() == 2; }));
  REQUIRE(eventually([&running] { return running.stats().in_flight_fetches == 5; }));
  let_it_pass(mine);
  CHECK(upstream.total() == 2);
  CHECK(other.summary().in_flight == 3);
  CHECK(running.stats().queued_fetches == 20);
}

TEST_CASE_FIXTURE(fixture, "queues: past max_queued a fetch is refused with the queue's name, and an undone "
                           "turn gives its places back") {
  auto chosen = settings();
  chosen.queues = {{"bulk", {.max_in_flight = 1, .max_queued = 3}}};
  const auto bulk = [this](const std::string& name) {
    auto out = key(name, "mode=hang&fail_first=1");
    out.queue = "bulk";
    return out;
  };
  {
    runtime running(chosen);
    auto mine = object(running);
    value_of(mine.call<&fetcher::send_all>(std::vector{bulk("a"), bulk("b")}));
    const auto full = error_of(mine.call<&fetcher::send_all>(std::vector{bulk("c"), bulk("d")}));
    CHECK(full.code == errc::queue_full);
    CHECK(contains(full.message, "QUEUE_ERROR"));
    CHECK(contains(full.message, "'bulk'"));
    CHECK(contains(full.message, "max_queued"));
    CHECK(error_of(mine.call<&fetcher::send_and_throw>(bulk("c"))).code == errc::handler_failed);
    value_of(mine.call<&fetcher::send>(bulk("e")));
    CHECK(error_of(mine.call<&fetcher::send>(bulk("f"))).code == errc::queue_full);
    CHECK(answered(fetched(mine, key("default"))).ok()); // has places of its own
    CHECK(running.stats().queued_fetches == 3);
    REQUIRE(came("a"));
  }
  runtime running(chosen); // what an earlier process left counts
  auto mine = object(running);
  CHECK(
      error_of(mine.call<&fetcher::send_all>(std::vector{bulk("g"), bulk("h"), bulk("i"), bulk("j")})).code ==
      errc::queue_full);
  CHECK(answered(result_under(mine, "a")).ok());
  REQUIRE(eventually([&running] { return running.stats().queued_fetches == 2; }));
  value_of(mine.call<&fetcher::send>(bulk("k")));
}

TEST_CASE_FIXTURE(fixture, "queues: max_queued_fetches is for all queues together") {
  auto chosen = settings();
  chosen.queues = {{"bulk", {}}};
  chosen.max_queued_fetches = 2;
  runtime running(chosen);
  auto mine = object(running);
  auto bulk = key("a", "mode=hang");
  bulk.queue = "bulk";
  value_of(mine.call<&fetcher::send_all>(std::vector{bulk, key("b", "mode=hang")}));
  CHECK(contains(error_of(mine.call<&fetcher::send>(key("c"))).message, "options::max_queued_fetches"));
  CHECK(contains(error_of(mine.call<&fetcher::send>(bulk)).message, "options::max_queued_fetches"));
}

TEST_CASE_FIXTURE(fixture, "queues: one that is not configured is refused at the call, by its name") {
  runtime running(settings());
  auto mine = object(running);
  auto what = key("a");
  what.queue = "bulk";
  const auto unknown = error_of(mine.call<&fetcher::send>(what));
  CHECK(unknown.code == errc::invalid_request);
  CHECK(contains(unknown.message, "'bulk'"));
  CHECK(contains(unknown.message, "options::queues"));
  CHECK(running.stats().queued_fetches == 0);
}

TEST_CASE_FIXTURE(fixture, "queues: rows of a queue that the next process does not configure still run") {
  auto chosen = settings();
  chosen.queues = {{"bulk", {.max_in_flight = 1}}, {"mail", {.max_in_flight = 1}}};
  std::vector<order> orders;
  for (const std::string queue : {"bulk", "mail"})
    for (int i = 0; i < 5; ++i) {
      orders.push_back(key(queue + std::to_string(i), "mode=hang&fail_first=1"));
      orders.back().queue = queue;
      orders.back().priority = static_cast<fetch_priority>(i % 3);
      orders.back().timeout_ms = 500;
      orders.back().max_retries = 5;
    }
  {
    runtime running(chosen);
    value_of(object(running).call<&fetcher::send_all>(orders));
    REQUIRE(eventually([this] { return upstream.total() >= 2; }));
  }
  {
    runtime running(settings());
    auto mine = object(running);
    for (const auto& each : orders)
      CHECK(answered(result_under(mine, each.tag)).ok());
    CHECK(running.stats().queued_fetches == 0);
  }
  CHECK(disk(directory.path()).count('N') == 0);
}

TEST_CASE_FIXTURE(
    fixture, "queues: a fetch that is queued from outside while the start counts the rows is counted once") {
  {
    runtime running(settings());
    value_of(object(running).call<&fetcher::send>(key("earlier", "mode=hang&fail_first=1")));
    REQUIRE(came("earlier"));
  }
  auto valve = std::make_shared<storage_valve>();
  valve->hold_scans('Q');
  valve->scans.close();
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  std::optional<gate::closing> held(valve->scans);
  REQUIRE(eventually([&] { return valve->scans.waiting() == 1; }));
  create_proxy_fetch(running.queue(), {.return_address = {"FETCHER", "x"}})(at("/k/outside?mode=hang"))
      .then<&fetcher::on_result>(std::string("outside"));
  held.reset();
  REQUIRE(came("outside"));
  REQUIRE(eventually([&] { return running.stats().queued_fetches == 1; })); // the earlier one is answered
  CHECK(running.stats().responses_stored == 1);
}

TEST_CASE_FIXTURE(fixture, "queues: a proxy_fetch is bound to one") {
  auto chosen = settings();
  chosen.queues = {{"bulk", {.max_in_flight = 1}}};
  runtime running(chosen);
  auto mine = object(running);
  auto bulk = create_proxy_fetch(running.queue(), {.return_address = {"FETCHER", "x"}, .queue = "bulk"});
  bulk(at("/k/a?mode=hang")).then<&fetcher::on_result>(std::string("a"));
  REQUIRE(came("a"));
  bulk(at("/k/b")).then<&fetcher::on_result>(std::string("b"));
  let_it_pass(mine);
  CHECK(upstream.hits("b") == 0);
}

// --- limits of an origin -----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture,
                  "rate: no more go out than the bucket has tokens, and a pause fills it up to its burst") {
  auto chosen = limited(
      {.rate = {.per_second = 0.01, .burst = 2}}); // one in 100 s: what the real clock adds is nothing
  runtime running(with_clock(chosen, clock));
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 8; ++i)
    orders.push_back(key(std::to_string(i)));
  value_of(mine.call<&fetcher::send_all>(orders));
  std::uint64_t expected = 2;
  for (auto pause : {0s, 101s, 101s, 5000s}) {
    CAPTURE(expected);
    if (pause != 0s) {
      clock->advance(pause);
      expected += pause == 5000s ? 2 : 1;
    }
    REQUIRE(eventually([&] { return upstream.total() == expected; }));
    let_it_pass(mine);
    CHECK(upstream.total() == expected);
  }
}

TEST_CASE_FIXTURE(fixture, "rate: what the other side sees in a time is bounded, and nothing is lost") {
  constexpr int fetches = 40;
  auto chosen = settings();
  chosen.rate_per_origin = {.per_second = 50, .burst = 10};
  runtime running(chosen);
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < fetches; ++i)
    orders.push_back(key(std::to_string(i)));
  const auto begin = steady_clock::now();
  value_of(mine.call<&fetcher::send_all>(orders));
  double most_above = 0;
  REQUIRE(eventually([&] {
    const auto seen = static_cast<double>(upstream.total()); // before the time, or that would be no bound
    const auto passed = std::chrono::duration<double>(steady_clock::now() - begin).count();
    most_above = std::max(most_above, seen - (10 + 50 * passed));
    return seen == fetches;
  }));
  CHECK(most_above <= 1);
  CHECK(steady_clock::now() - begin >= 590ms);
  REQUIRE(all_came(mine, fetches));
}

TEST_CASE_FIXTURE(fixture, "rate: what is refused or shares another's request uses none of it") {
  runtime running(
      limited({.rate = {.per_second = 0.001, .burst = 3}, .circuit = {.failures = 1, .open_for = 1h}}));
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 6; ++i)
    orders.push_back(shared("shared" + std::to_string(i), "k", "delay_ms=100"));
  value_of(mine.call<&fetcher::send_all>(orders)); // one token
  for (const auto& each : orders)
    CHECK(answered(result_under(mine, each.tag)).ok());
  CHECK(upstream.hits("k") == 1);
  CHECK(answered(fetched(mine, once("bad", "status=500"))).status() == 500); // the second one
  for (int i = 0; i < 4; ++i)
    CHECK(failed(fetched(mine, once("refused" + std::to_string(i)))).code == fetch_errc::circuit_open);
  CHECK(upstream.total() == 2);
}

TEST_CASE_FIXTURE(fixture,
                  "origins: one that the options name has its own limits, the others the general ones") {
  auto chosen = settings();
  chosen.max_in_flight_per_origin = 4;
  chosen.origins = {{upstream.url() + "/", {.max_in_flight = 1}}};
  runtime running(chosen);
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 10; ++i) {
    orders.push_back(key(std::to_string(i), "mode=hang"));
    orders.push_back(elsewhere("e" + std::to_string(i), "mode=hang"));
  }
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(eventually([this] { return upstream.total() == 1 && other.total() == 4; }));
  running.define<nobody>();
  CHECK(running.stats().in_flight_fetches == 5);
  CHECK(upstream.total() == 1);
  CHECK(other.total() == 4);
}

TEST_CASE("origins: options that cannot be are refused by their names") {
  const auto refusal = [](const std::function<void(options&)>& change) {
    scratch_directory directory;
    options chosen{.directory = directory.path()};
    change(chosen);
    const auto why = error_thrown_by([&chosen] { runtime running(chosen); });
    CHECK(why.code == errc::invalid_option);
    return why.message;
  };
  for (const std::string text : {"api.example.com", "https://api.example.com/path",
                                 "https://user@api.example.com", "https://api.example.com/?q", ""}) {
    CAPTURE(text);
    CHECK(
        contains(refusal([&](options& of) { of.origins[text] = {}; }), "options::origins[\"" + text + "\"]"));
  }
  CHECK(contains(refusal([](options& of) { of.origins["https://a.example"] = {.max_in_flight = 0}; }),
                 "max_in_flight"));
  CHECK(contains(refusal([](options& of) { of.origins["https://a.example"] = {.rate = {.per_second = -1}}; }),
                 "rate.per_second"));
  CHECK(contains(refusal([](options& of) {
                   of.origins["https://a.example"] = {.rate = {.per_second = 1, .burst = 0.5}};
                 }),
                 "rate.burst"));
  CHECK(contains(refusal([](options& of) {
                   of.origins["https://a.example"] = {.circuit = {.failures = 1, .open_for = 0ms}};
                 }),
                 "circuit.open_for"));
  CHECK(contains(refusal([](options& of) { of.rate_per_origin.per_second = 1e9; }),
                 "options::rate_per_origin.per_second"));
  CHECK(contains(refusal([](options& of) { of.circuit_breaker.open_for = 0ms; }),
                 "options::circuit_breaker.open_for"));
  CHECK(contains(refusal([](options& of) { of.queues["not a name"] = {}; }), "not a name"));
  CHECK(contains(refusal([](options& of) { of.queues["bulk"] = {.max_in_flight = 0}; }),
                 "options::queues[\"bulk\"].max_in_flight"));
  CHECK(contains(refusal([](options& of) { of.queues["bulk"] = {.max_queued = 0}; }),
                 "options::queues[\"bulk\"].max_queued"));
}

// --- the window on the queue -------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    fixture, "R12: an origin that is stuck with more than the window holds does not hold up the others") {
  auto chosen = settings();
  chosen.max_in_flight_per_origin = 1;
  chosen.max_window = 8;
  const abort_controller go;
  std::vector<order> orders;
  for (int i = 0; i < 60; ++i) {
    orders.push_back(key("a" + std::to_string(i), i == 0 ? "mode=hang" : ""));
    if (i == 0) orders.back().signal = go.signal();
  }
  {
    runtime running(chosen);
    auto mine = object(running);
    value_of(mine.call<&fetcher::send_all>(orders));
    REQUIRE(came("a0"));
    for (int i = 0; i < 30; ++i) // behind all of them
      CHECK(answered(fetched(mine, elsewhere("b" + std::to_string(i)))).ok());
    std::vector<order> more;
    for (int i = 0; i < 30; ++i)
      more.push_back(elsewhere("c" + std::to_string(i)));
    value_of(mine.call<&fetcher::send_all>(more));
    for (const auto& each : more)
      CHECK(answered(result_under(mine, each.tag)).ok());
    CHECK(upstream.total() == 1);
    value_of(mine.call<&fetcher::send>(elsewhere("last", "mode=hang&fail_first=1")));
    REQUIRE(eventually([this] { return other.hits("last") == 1; }));
  }
  runtime running(chosen); // finds the stuck ones first
  auto mine = object(running);
  CHECK(answered(result_under(mine, "last")).ok());
  REQUIRE(came("a0", 2));
  CHECK(upstream.total() == 2);
  value_of(mine.call<&fetcher::give_up>(go, std::string()));
  for (std::size_t i = 1; i < orders.size(); ++i)
    CHECK(answered(result_under(mine, orders[i].tag)).ok());
  auto by_age = sequence(mine, "a");
  REQUIRE(by_age.size() == orders.size());
  for (std::size_t i = 0; i < by_age.size(); ++i)
    CHECK(by_age[i] == orders[i].tag);
  CHECK(upstream.total() == orders.size() + 1);
}

TEST_CASE_FIXTURE(fixture, "R12: several origins that are stuck at once do not hold up the others either") {
  auto chosen = settings();
  chosen.max_in_flight_per_origin = 1;
  chosen.max_window = 16;
  std::vector<samples::upstream_server> stuck(4);
  std::vector<order> orders;
  for (std::size_t which = 0; which < stuck.size(); ++which) {
    stuck[which].start();
    for (int i = 0; i < 30; ++i)
      orders.push_back({.tag = std::to_string(which) + "-" + std::to_string(i),
                        .url = stuck[which].url() + "/k/k?mode=hang"});
  }
  runtime running(chosen);
  auto mine = object(running);
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(eventually([&stuck] {
    return std::all_of(stuck.begin(), stuck.end(), [](const auto& each) { return each.total() == 1; });
  }));
  std::vector<order> others;
  for (int i = 0; i < 60; ++i)
    others.push_back(i % 2 == 0 ? key("a" + std::to_string(i)) : elsewhere("b" + std::to_string(i)));
  value_of(mine.call<&fetcher::send_all>(others));
  REQUIRE(all_came(mine, others.size()));
  for (const auto& each : others)
    CHECK(answered(result_under(mine, each.tag)).ok());
  CHECK(running.stats().queued_fetches == orders.size());
}

TEST_CASE_FIXTURE(fixture, "R12: an origin may have as many in flight as its limit says, though that is more "
                           "than its part of the window") {
  constexpr std::size_t in_flight = 60;
  auto chosen = settings();
  chosen.max_in_flight_per_origin = in_flight;
  chosen.max_window = 2 * in_flight;
  runtime running(chosen);
  auto mine = object(running);
  std::vector<order> orders;
  for (std::size_t i = 0; i < 2 * in_flight; ++i)
    orders.push_back(key(std::to_string(i), "mode=hang"));
  value_of(mine.call<&fetcher::send_all>(orders));
  CHECK(eventually([this] { return upstream.summary().in_flight == in_flight; }));
}

TEST_CASE_FIXTURE(
    fixture, "R12: what comes while the window is full goes when there is room, retries and late ones too") {
  constexpr int fetches = 200;
  auto chosen = settings();
  chosen.max_window = 4;
  chosen.queues = {{"bulk", {.max_in_flight = 3}}};
  runtime running(chosen);
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < fetches; ++i) {
    const auto name = std::to_string(i);
    orders.push_back(i % 2 == 0 ? key(name, i % 4 == 0 ? "fail_first=1" : "")
                                : elsewhere(name, i % 5 == 0 ? "fail_first=2" : ""));
    orders.back().priority = static_cast<fetch_priority>(i % 3);
    orders.back().queue = i % 7 == 0 ? "bulk" : "";
    orders.back().delay_ms = i % 11 == 0 ? 100 : 0;
  }
  value_of(mine.call<&fetcher::send_all>(orders));
  for (const auto& each : orders)
    CHECK(answered(result_under(mine, each.tag)).ok());
  CHECK(running.stats().queued_fetches == 0);
  CHECK(value_of(mine.call<&fetcher::count>()) == fetches);
}

// --- circuit breaker ---------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R14: an open circuit ends a fetch at once with CIRCUIT_OPEN and does not send "
                           "it, half-open it lets one probe through") {
  runtime running(
      with_clock(limited({.circuit = {.failures = 3, .open_for = 1h, .then = open_circuit::fail}}), clock));
  auto mine = object(running);
  const auto circuit = [&] { return of_origin(running, upstream.url()).circuit; };
  for (int i = 0; i < 3; ++i) {
    CHECK(circuit() == circuit_state::closed);
    CHECK(answered(fetched(mine, once("bad" + std::to_string(i), "status=500"))).status() == 500);
  }
  CHECK(circuit() == circuit_state::open);
  const auto refused = [&](const std::string& tag) {
    const auto why = failed(fetched(mine, once(tag)));
    CHECK(to_string(why.code) == "CIRCUIT_OPEN");
    CHECK(why.sent == sent_state::no);
    CHECK(why.attempts == 0);
    CHECK(contains(why.message, upstream.url()));
    CHECK(contains(why.message, "3 attempts"));
    CHECK(contains(why.message, "circuit_options::failures"));
    CHECK(upstream.hits(tag) == 0);
  };
  refused("open 1");
  clock->advance(59min);
  refused("open 2");
  CHECK(of_origin(running, upstream.url()).rejected == 2);
  CHECK(answered(fetched(mine, elsewhere("e"))).ok()); // has a circuit of its own

  // A probe that comes to no verdict lets another one through.
  clock->advance(2min);
  const abort_controller stop;
  auto probe = once("probe", "mode=hang");
  probe.signal = stop.signal();
  value_of(mine.call<&fetcher::send>(probe));
  REQUIRE(came("probe"));
  CHECK(circuit() == circuit_state::half_open);
  refused("half-open 1");
  refused("half-open 2");
  value_of(mine.call<&fetcher::give_up>(stop, std::string()));
  CHECK(failed(result_under(mine, "probe")).code == fetch_errc::aborted);

  // One that fails opens it for as long again.
  CHECK(answered(fetched(mine, once("probe 2", "status=500"))).status() == 500);
  CHECK(circuit() == circuit_state::open);
  refused("open again");
  clock->advance(61min);

  // One that succeeds closes it.
  CHECK(answered(fetched(mine, once("probe 3"))).ok());
  CHECK(circuit() == circuit_state::closed);
  std::vector<order> orders;
  for (int i = 0; i < 20; ++i)
    orders.push_back(key("good" + std::to_string(i)));
  value_of(mine.call<&fetcher::send_all>(orders));
  for (const auto& each : orders)
    CHECK(answered(result_under(mine, each.tag)).ok());
  CHECK(of_origin(running, upstream.url()).rejected == 5);
}

TEST_CASE_FIXTURE(fixture, "circuit: failures count in a row, and a status that is an answer ends the row") {
  auto chosen = settings();
  chosen.circuit_breaker = {.failures = 3, .open_for = 1h};
  runtime running(chosen);
  auto mine = object(running);
  int count = 0;
  for (const std::string parameters :
       {"status=500", "mode=drop", "status=404", "mode=drop", "status=503", "", "status=500", "status=599"})
    (void)fetched(mine, once(std::to_string(count++), parameters));
  CHECK(upstream.total() >=
        8); // libcurl repeats a GET for which a connection was used again that turns out to be dead
  CHECK(of_origin(running, upstream.url()).circuit == circuit_state::closed);
  auto slow = once("slow", "mode=hang");
  slow.timeout_ms = 200;
  const auto late = failed(fetched(mine, slow));
  CHECK(late.code == fetch_errc::timeout);
  CHECK(contains(late.message, upstream.url()));
  CHECK(contains(late.message, "200 ms of fetch_init::timeout"));
  CHECK(contains(late.message, "options::connect_timeout"));
  CHECK(failed(fetched(mine, once("refused"))).code == fetch_errc::circuit_open);
  CHECK(of_origin(running, upstream.url()).circuit == circuit_state::open);
}

TEST_CASE_FIXTURE(fixture, "R14: a worker that is lost with the probe of a half-open circuit lets another "
                           "probe through") {
  auto script = std::make_shared<transport_script>();
  auto chosen = limited({.circuit = {.failures = 1, .open_for = 1h, .then = open_circuit::fail}});
  chosen.worker_lease = 500ms;
  runtime running(with_clock(std::move(chosen), clock), {.wrap_engine = {}, .wrap_transport = hangs(script)});
  auto mine = object(running);
  CHECK(answered(fetched(mine, once("bad", "status=500"))).status() == 500);
  REQUIRE(of_origin(running, upstream.url()).circuit == circuit_state::open);
  clock->advance(61min);
  const gate::closing hung(script->starts);
  auto probe = once("probe");
  probe.method = "POST"; // is not sent again
  probe.body = "payload";
  CHECK(to_string(failed(fetched(mine, probe)).code) == "FETCH_FAILED");
  CHECK(running.stats().worker_restarts >= 1);
  CHECK(answered(fetched(mine, once("next"))).ok());
  CHECK(of_origin(running, upstream.url()).circuit == circuit_state::closed);
}

TEST_CASE_FIXTURE(fixture,
                  "circuit: a fetch whose retry meets an open circuit says that it may have been sent") {
  auto chosen = settings();
  chosen.circuit_breaker = {.failures = 1, .open_for = 1h};
  runtime running(chosen);
  const auto why = failed(fetched(object(running), key("a", "status=503")));
  CHECK(why.code == fetch_errc::circuit_open);
  CHECK(why.sent == sent_state::maybe);
  CHECK(why.attempts == 1);
  CHECK(upstream.hits("a") == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "circuit: with open_circuit::wait fetches stay queued, one probe goes, and when it succeeds all go on") {
  runtime running(
      with_clock(limited({.circuit = {.failures = 2, .open_for = 1h, .then = open_circuit::wait}}), clock));
  auto mine = object(running);
  for (int i = 0; i < 2; ++i)
    CHECK(answered(fetched(mine, once("bad" + std::to_string(i), "status=500"))).status() == 500);
  const abort_controller stop;
  std::vector<order> orders{once("w0", "mode=hang"), once("w1", "status=500")};
  orders.front().signal = stop.signal();
  for (int i = 2; i < 12; ++i) {
    orders.push_back(once("w" + std::to_string(i)));
    if (i % 3 == 0) orders.back().method = "POST";
  }
  value_of(mine.call<&fetcher::send_all>(orders));
  let_it_pass(mine);
  CHECK(upstream.total() == 2);
  CHECK(of_origin(running, upstream.url()).circuit == circuit_state::open);
  CHECK(running.stats().queued_fetches == orders.size());

  clock->advance(61min);
  REQUIRE(came("w0"));
  let_it_pass(mine);
  CHECK(upstream.total() == 3); // the probe, and nothing else
  CHECK(of_origin(running, upstream.url()).circuit == circuit_state::half_open);
  value_of(
      mine.call<&fetcher::give_up>(stop, std::string())); // no verdict: the next one is the probe, and fails
  CHECK(answered(result_under(mine, "w1")).status() == 500);
  let_it_pass(mine);
  CHECK(upstream.total() == 4);
  CHECK(of_origin(running, upstream.url()).circuit == circuit_state::open);

  clock->advance(61min);
  for (std::size_t i = 2; i < orders.size(); ++i)
    CHECK(answered(result_under(mine, orders[i].tag)).ok());
  CHECK(of_origin(running, upstream.url()).circuit == circuit_state::closed);
  CHECK(of_origin(running, upstream.url()).rejected == 0);
  CHECK(upstream.total() == orders.size() + 2);
}

TEST_CASE_FIXTURE(fixture, "circuit: with open_circuit::wait nothing is lost while an origin is down, and it "
                           "goes on when it is back") {
  constexpr int fetches = 30;
  auto chosen = settings();
  chosen.circuit_breaker = {.failures = 2, .open_for = 100ms, .then = open_circuit::wait};
  runtime running(chosen);
  auto mine = object(running);
  upstream.stop();
  std::vector<order> orders;
  for (int i = 0; i < fetches; ++i) {
    orders.push_back(key(std::to_string(i)));
    orders.back().method = i % 2 == 0 ? "GET" : "POST"; // a connection that was refused carried nothing
    orders.back().max_retries = 100;
    orders.back().initial_delay_ms = 1;
  }
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(eventually([&] { return running.stats().retries >= fetches + 5; }));
  CHECK(of_origin(running, upstream.url()).circuit != circuit_state::closed);
  upstream.start();
  for (const auto& each : orders)
    CHECK(answered(result_under(mine, each.tag)).ok());
  CHECK(upstream.total() == fetches);
}

TEST_CASE_FIXTURE(fixture, "circuit: with open_circuit::wait a deadline that passes is a TIMEOUT, of one "
                           "that was tried before too") {
  auto chosen = settings();
  chosen.circuit_breaker = {.failures = 1, .open_for = 1h, .then = open_circuit::wait};
  runtime running(chosen);
  auto mine = object(running);
  auto tried = key("tried", "status=503");
  tried.deadline_ms = 700;
  tried.initial_delay_ms = 1;
  auto fresh = key("fresh");
  fresh.deadline_ms = 500;
  value_of(mine.call<&fetcher::send>(tried));
  REQUIRE(eventually([&running] { return running.stats().retries == 1; }));
  value_of(mine.call<&fetcher::send>(fresh));
  const auto never_sent = failed(result_under(mine, "fresh"));
  CHECK(never_sent.code == fetch_errc::timeout);
  CHECK(never_sent.sent == sent_state::no);
  CHECK(contains(never_sent.message, upstream.url()));
  CHECK(contains(never_sent.message, "fetch_init::deadline was 500 ms"));
  const auto sent = failed(result_under(mine, "tried"));
  CHECK(sent.code == fetch_errc::timeout);
  CHECK(sent.sent != sent_state::no);
  CHECK(sent.attempts == 1);
  CHECK(upstream.total() == 1);
}

// --- single flight -----------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture,
                  "single flight: identical GETs in the air share one request, and all get its result") {
  constexpr int fetches = 20; // the object keeps all of the large ones
  {
    runtime running(settings());
    auto mine = object(running);
    for (const std::string of : {"small", "large"}) {
      CAPTURE(of);
      std::vector<order> orders;
      for (int i = 0; i < fetches; ++i)
        orders.push_back(shared(of + std::to_string(i), of, of == "large" ? "bytes=500000" : ""));
      value_of(mine.call<&fetcher::send_all>(orders));
      const auto first = answered(result_under(mine, of + "0"));
      CHECK(first.ok());
      if (of == "large") CHECK(first.text().size() == 500'000);
      for (const auto& each : orders)
        CHECK(answered(result_under(mine, each.tag)) == first);
      CHECK(upstream.hits(of) == 1);
    }
    CHECK(running.stats().shared == 2 * (fetches - 1));
    CHECK(running.stats().attempts == 2);
    CHECK(value_of(mine.call<&fetcher::count>()) == 2 * fetches);
    // The next one is not in the air with them.
    CHECK(answered(fetched(mine, shared("later", "small"))).json().at("hit") == 2);
  }
  CHECK(std::filesystem::is_empty(directory.path() / "blobs"));
  disk rows(directory.path());
  CHECK(rows.count('B') == 0);
  CHECK(rows.count('Q') == 0);
}

TEST_CASE_FIXTURE(fixture, "single flight: of several objects, one that comes while the request is under "
                           "way, and an error is shared too") {
  runtime running(settings());
  auto a = object(running, "a");
  auto b = object(running, "b");
  auto first = shared("first", "k", "mode=hang");
  auto second = shared("second", "k", "mode=hang");
  first.timeout_ms = second.timeout_ms = 3000;
  first.max_retries = second.max_retries = 0;
  value_of(a.call<&fetcher::send>(first));
  REQUIRE(came("k"));
  value_of(b.call<&fetcher::send>(second));
  CHECK(failed(result_under(a, "first")).code == fetch_errc::timeout);
  CHECK(failed(result_under(b, "second")).code == fetch_errc::timeout);
  CHECK(upstream.hits("k") == 1);
  CHECK(running.stats().shared == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "single flight: the request is shared and not the patience of the one that it is of") {
  runtime running(settings());
  auto a = object(running, "a");
  auto b = object(running, "b");
  const auto race = [&](order first, order second) {
    first.tag = "first " + first.url;
    second.tag = "second " + second.url;
    value_of(a.call<&fetcher::send>(first));
    REQUIRE(came("k"));
    value_of(b.call<&fetcher::send>(second));
    return std::pair(result_under(a, first.tag), result_under(b, second.tag));
  };
  SUBCASE("one that waits for longer goes on when the other gives up") {
    auto first = shared("", "k", "mode=hang&fail_first=1");
    auto second = first;
    first.timeout_ms = 300;
    first.max_retries = 0;
    second.timeout_ms = 20'000;
    const auto ended = race(first, second);
    CHECK(failed(ended.first).code == fetch_errc::timeout);
    CHECK(answered(ended.second).json().at("hit") == 2);
  }
  SUBCASE("one with retries is repeated when the other has none") {
    auto first = shared("", "k", "mode=drop&fail_first=1&delay_ms=400");
    auto second = first;
    first.max_retries = 0;
    second.max_retries = 1;
    const auto ended = race(first, second);
    CHECK(failed(ended.first).code == fetch_errc::network_error);
    CHECK(failed(ended.first).attempts == 1);
    CHECK(answered(ended.second).json().at("hit") == 2);
  }
  SUBCASE("one that waits for less gives up while the other waits") {
    auto first = shared("", "k", "delay_ms=1500");
    auto second = first;
    first.timeout_ms = 20'000;
    second.timeout_ms = 200;
    second.max_retries = 0;
    const auto begin = steady_clock::now();
    second.tag = "second";
    first.tag = "first";
    value_of(a.call<&fetcher::send>(first));
    REQUIRE(came("k"));
    value_of(b.call<&fetcher::send>(second));
    const auto gave_up = failed(result_under(b, "second"));
    CHECK(steady_clock::now() - begin < 1500ms);
    CHECK(gave_up.code == fetch_errc::timeout);
    CHECK(gave_up.attempts == 1);
    CHECK(gave_up.sent == sent_state::maybe);
    CHECK(contains(gave_up.message, "200 ms of fetch_init::timeout"));
    CHECK(answered(result_under(a, "first")).json().at("hit") == 1);
    CHECK(upstream.hits("k") == 1);
  }
}

TEST_CASE_FIXTURE(fixture, "single flight: only with the same URL, header fields, redirect mode and jar, and "
                           "only among those that say so") {
  runtime running(settings());
  auto mine = object(running);
  std::vector<order> orders(8, shared("", "k", "delay_ms=300"));
  orders[1].headers.append("Accept", "text/html");
  orders[2].headers.append("Accept", "text/plain");
  orders[3].redirect = redirect_mode::manual;
  orders[4].sharing = sharing::none;
  orders[5].jar = "jar";
  orders[6].url += "&more=1";
  orders[7].idempotency_key = "key";
  for (std::size_t i = 0; i < orders.size(); ++i)
    orders[i].tag = std::to_string(i);
  value_of(mine.call<&fetcher::send_all>(orders));
  for (const auto& each : orders)
    CHECK(answered(result_under(mine, each.tag)).ok());
  CHECK(upstream.hits("k") == orders.size());
  CHECK(running.stats().shared == 0);
  // Jars of one name of two objects are two jars.
  auto jars = shared("jar of", "jars", "delay_ms=300");
  jars.jar = "jar";
  auto other_object = object(running, "y");
  auto done = other_object.call<&fetcher::send>(jars);
  value_of(mine.call<&fetcher::send>(jars));
  value_of(std::move(done));
  CHECK(answered(result_under(mine, "jar of")).ok());
  CHECK(answered(result_under(other_object, "jar of")).ok());
  CHECK(upstream.hits("jars") == 2);
}

TEST_CASE_FIXTURE(fixture, "single flight: when the one that went out is aborted the others go on, and one "
                           "of those that is aborted leaves alone") {
  runtime running(settings());
  auto mine = object(running);
  const abort_controller leader;
  const abort_controller follower;
  std::vector<order> orders;
  for (int i = 0; i < 6; ++i)
    orders.push_back(shared(std::to_string(i), "k", "mode=hang&fail_first=1"));
  orders[0].signal = leader.signal();
  orders[3].signal = follower.signal();
  orders[4].deadline_ms = 400;
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(came("k"));
  CHECK(failed(result_under(mine, "4")).code == fetch_errc::timeout);
  value_of(mine.call<&fetcher::give_up>(follower, std::string("not me")));
  CHECK(contains(failed(result_under(mine, "3")).message, "not me"));
  CHECK(value_of(mine.call<&fetcher::count>()) == 2);
  value_of(mine.call<&fetcher::give_up>(leader, std::string("me")));
  CHECK(contains(failed(result_under(mine, "0")).message, "me"));
  for (const std::string tag : {"1", "2", "5"})
    CHECK(answered(result_under(mine, tag)).json().at("hit") == 2);
  CHECK(upstream.hits("k") == 2);
  CHECK(running.stats().shared == 2);
}

TEST_CASE_FIXTURE(
    fixture, "single flight: when the one that went out has to be retried the others go on by themselves") {
  runtime running(settings());
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 5; ++i)
    orders.push_back(shared(std::to_string(i), "k", "mode=drop&fail_first=1"));
  value_of(mine.call<&fetcher::send_all>(orders));
  for (const auto& each : orders)
    CHECK(answered(result_under(mine, each.tag)).ok());
  CHECK(upstream.hits("k") >= 2);
  CHECK(upstream.hits("k") <= 3);
}

TEST_CASE_FIXTURE(
    fixture, "single flight: shared requests that were in the air when the process ended are made again") {
  std::vector<order> orders;
  for (int i = 0; i < 5; ++i)
    orders.push_back(shared(std::to_string(i), "k", "mode=hang&fail_first=1"));
  {
    runtime running(settings());
    value_of(object(running).call<&fetcher::send_all>(orders));
    REQUIRE(came("k"));
  }
  runtime running(settings());
  auto mine = object(running);
  for (const auto& each : orders)
    CHECK(answered(result_under(mine, each.tag)).json().at("hit") == 2);
  CHECK(upstream.hits("k") == 2);
}

TEST_CASE_FIXTURE(
    fixture, "single flight: one that cannot go out because its jar cannot be read leaves nobody behind") {
  auto valve = std::make_shared<storage_valve>();
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 5; ++i) {
    orders.push_back(shared(std::to_string(i), "k"));
    orders.back().jar = "jar";
  }
  valve->fail_reads('C');
  value_of(mine.call<&fetcher::send_all>(orders));
  let_it_pass(mine);
  valve->heal();
  for (const auto& each : orders)
    CHECK(answered(result_under(mine, each.tag)).ok());
}

// --- at most once ------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R9: at most once: what may have been received is not sent again, a GET and one "
                           "with an idempotency key too") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string method : {"GET", "PUT", "POST"})
    for (const std::string mode : {"mode=drop", "mode=drop_body&bytes=1000", "status=503"}) {
      auto what = key(method + mode, mode);
      what.method = method;
      what.delivery = delivery::at_most_once;
      what.idempotency_key = method == "POST" ? "key" : "";
      CAPTURE(what.tag);
      const auto got = fetched(mine, what);
      if (mode == "status=503")
        CHECK(answered(got).status() == 503);
      else
        CHECK(failed(got).sent != sent_state::no);
      CHECK(upstream.hits(what.tag) == 1);
    }
  CHECK(running.stats().retries == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R9: at most once: a connection that is refused carried nothing, and is tried again") {
  runtime running(settings());
  auto mine = object(running);
  upstream.stop();
  auto what = key("a");
  what.delivery = delivery::at_most_once;
  what.max_retries = 100;
  value_of(mine.call<&fetcher::send>(what));
  REQUIRE(eventually([&running] { return running.stats().retries >= 2; }));
  upstream.start();
  CHECK(answered(result_under(mine, "a")).ok());
  CHECK(upstream.hits("a") == 1);
}

TEST_CASE_FIXTURE(fixture, "R9: at most once: one that was out when the process ended is FETCH_FAILED with "
                           "sent = maybe, one that was not goes out") {
  auto chosen = settings();
  chosen.max_in_flight_per_origin = 3;
  std::vector<order> orders;
  for (const std::string method : {"GET", "PUT", "POST"}) {
    orders.push_back(key(method, "mode=hang"));
    orders.back().method = method;
    orders.back().delivery = delivery::at_most_once;
    orders.back().idempotency_key = method == "POST" ? "key" : "";
  }
  auto waiting = key("waiting");
  waiting.delivery = delivery::at_most_once;
  {
    runtime running(chosen);
    auto mine = object(running);
    value_of(mine.call<&fetcher::send_all>(orders));
    REQUIRE(eventually([this] { return upstream.total() == 3; }));
    value_of(mine.call<&fetcher::send>(waiting));
  }
  runtime running(chosen);
  auto mine = object(running);
  for (const auto& each : orders) {
    CAPTURE(each.tag);
    const auto lost = failed(result_under(mine, each.tag));
    CHECK(to_string(lost.code) == "FETCH_FAILED");
    CHECK(lost.sent == sent_state::maybe);
    CHECK(lost.attempts == 1);
    CHECK(contains(lost.message, each.method));
    CHECK(upstream.hits(each.tag) == 1);
  }
  CHECK(answered(result_under(mine, "waiting")).ok());
  CHECK(upstream.hits("waiting") == 1);
  running.stop();
  CHECK(disk(directory.path()).count('A') == 0);
}

} // namespace dormouse::test::scheduling_test
