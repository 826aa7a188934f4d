#include "disk.hpp"
#include "storage_valve.hpp"
#include "store/store.hpp"
#include "upstream_fixture.hpp"

#include <dormouse/serialization/codec.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::recovery_test {

using namespace std::chrono_literals;

namespace {

struct fixture : upstream_fixture {
  /// Orders that are still queued when this returns: their first request got no answer, their second one
  /// will.
  void leave_queued(const std::vector<order>& orders) {
    runtime running(settings());
    value_of(object(running).call<&fetcher::send_all>(orders));
    REQUIRE(eventually([&] { return upstream.total() == orders.size(); }));
    running.stop();
    CHECK(running.stats().queued_fetches == orders.size());
  }

  /// The same when there have been others.
  void leave_queued_more(const std::vector<order>& orders) {
    const auto before = upstream.total();
    runtime running(settings());
    value_of(object(running).call<&fetcher::send_all>(orders));
    REQUIRE(eventually([&] { return upstream.total() == before + orders.size(); }));
  }

  order hangs_once(const std::string& name) const { return key(name, "mode=hang&fail_first=1"); }

  order posted(const std::string& name) const {
    auto out = hangs_once(name);
    out.method = "POST";
    return out;
  }

  /// The row of a queued fetch, by the name of its key.
  std::pair<std::string, std::string> row_of(disk& rows, const std::string& name) const {
    for (auto& [key, row] : rows.rows('Q'))
      if (contains(row, "/k/" + name + "?")) return {key, row};
    throw std::runtime_error("no queue row for " + name);
  }
};

using counts = std::map<std::string, std::uint64_t>;

} // namespace

// --- restarts ----------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    fixture,
    "R9: a POST that was on its way when the process ended may have been received, and is not repeated") {
  auto with_key = posted("with-key");
  with_key.idempotency_key = "order-7";
  leave_queued({posted("without-key"), with_key, hangs_once("get")});
  runtime running(settings());
  auto mine = object(running);
  const auto lost = failed(result_under(mine, "without-key"));
  CHECK(to_string(lost.code) == "FETCH_FAILED");
  CHECK(lost.sent == sent_state::maybe);
  CHECK(lost.attempts == 1);
  CHECK(contains(lost.message, "POST"));
  CHECK(answered(result_under(mine, "with-key")).ok());
  CHECK(answered(result_under(mine, "get")).ok());
  CHECK(upstream.hits("without-key") == 1);
  CHECK(upstream.idempotency("with-key") == counts{{"order-7", 2}});
  CHECK(running.stats().queued_fetches == 0);
}

TEST_CASE_FIXTURE(fixture, "R9: marks that cannot be read at the start are read later, and nothing that must "
                           "not be repeated goes out before") {
  struct trouble {
    const char* scan;
    std::size_t after;
    bool damaged_mark; ///< the queues are looked through for its fetch
  };
  for (const auto& [scan, after, damaged_mark] :
       {trouble{"A", 0, false}, trouble{"A", 1, false}, trouble{"N", 0, true}}) {
    const auto name = "post-" + std::to_string(upstream.total());
    const auto other = name + "-other";
    leave_queued_more({posted(name), posted(other)});
    if (damaged_mark) disk(directory.path()).change('A', flip_last_bit);
    auto valve = std::make_shared<storage_valve>();
    valve->fail_scans(scan, damaged_mark ? 3 : 2, after,
                      damaged_mark ? 1 : 0); // what is queued is counted first
    runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
    for (const auto& each : {name, other}) {
      const auto lost = failed(result_under(object(running), each));
      CHECK(to_string(lost.code) == "FETCH_FAILED");
      CHECK(lost.sent == sent_state::maybe);
      CHECK(lost.attempts == 1);
      CHECK(upstream.hits(each) == 1);
    }
    CHECK(valve->failed_reads() >= 1); // how often more depends on what is read first again
    CHECK(eventually([&] { return running.stats().queued_fetches == 0; }));
    running.stop();
    CHECK(disk(directory.path()).count('A') == 0);
  }
}

TEST_CASE_FIXTURE(fixture, "R8: what is queued is counted, sent, ended by its deadline and aborted, though "
                           "the first scans for it fail") {
  struct trouble {
    std::string scan;
    std::size_t after;
  };
  for (const auto& each : {trouble{"Q", 0}, trouble{"Q", 1}, trouble{"N", 0}, trouble{"E", 0},
                           trouble{"E", 1}, trouble{"G", 0}, trouble{"S", 0}}) {
    const auto name = each.scan + std::to_string(each.after);
    CAPTURE(name);
    const abort_controller stop;
    auto late = key(name + "late", "mode=hang");
    late.deadline_ms = 1'500;
    auto aborted = key(name + "aborted", "mode=hang");
    aborted.signal = stop.signal();
    auto named = hangs_once(name + "named");
    named.queue = "bulk";
    const std::vector<order> orders{hangs_once(name + "plain"), named, late, aborted};
    auto chosen = settings();
    chosen.queues = {{"bulk", {.max_queued = 1}}};
    {
      const auto before = upstream.total();
      runtime running(chosen);
      value_of(object(running).call<&fetcher::send_all>(orders));
      REQUIRE(eventually([&] { return upstream.total() == before + orders.size(); }));
    }
    const abort_mark mark{std::chrono::duration_cast<std::chrono::milliseconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count(),
                          "by now"};
    disk(directory.path()).put(keys::abort_mark(stop.id()), seal_value(frame_type::abort_mark, mark));
    auto valve = std::make_shared<storage_valve>();
    valve->fail_scans(each.scan, 4, each.after);
    runtime running(chosen, {.wrap_engine = valve->wrap(), .wrap_transport = {}});
    auto mine = object(running);
    CHECK(answered(result_under(mine, name + "plain")).ok());
    CHECK(answered(result_under(mine, name + "named")).ok());
    CHECK(failed(result_under(mine, name + "late")).code == fetch_errc::timeout);
    CHECK(failed(result_under(mine, name + "aborted")).code == fetch_errc::aborted);
    CHECK(running.stats().queued_fetches == 0);
    CHECK(valve->failed_reads() >= 1);
    auto another = key(name + "another");
    another.queue = "bulk"; // there is room again
    CHECK(answered(fetched(mine, another)).ok());
  }
}

TEST_CASE_FIXTURE(fixture, "R14: an abort whose fetches cannot be looked for is acted on later") {
  auto valve = std::make_shared<storage_valve>();
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  auto mine = object(running);
  const abort_controller stop;
  auto hangs = key("hangs", "mode=hang");
  hangs.signal = stop.signal();
  value_of(mine.call<&fetcher::send>(hangs));
  REQUIRE(eventually([this] { return upstream.hits("hangs") == 1; }));
  valve->fail_scans("G", 2);
  value_of(mine.call<&fetcher::give_up>(stop, std::string("enough")));
  CHECK(failed(result_under(mine, "hangs")).code == fetch_errc::aborted);
  CHECK(valve->failed_reads() == 2);
}

TEST_CASE_FIXTURE(
    fixture,
    "R8 R12: a queue longer than the window is served in full though scans of it fail now and then") {
  auto chosen = settings();
  chosen.max_window = 8;
  chosen.max_in_flight_per_origin = 2;
  auto valve = std::make_shared<storage_valve>();
  runtime running(chosen, {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 100; ++i)
    orders.push_back(key(std::to_string(i)));
  for (std::size_t good = 0; good < 8; ++good) {
    value_of(mine.call<&fetcher::send_all>(orders));
    valve->fail_scans("Q", 3, 1, good);
    REQUIRE(all_came(mine, (good + 1) * orders.size()));
    valve->heal();
  }
  CHECK(valve->failed_reads() >= 8);
  CHECK(running.stats().queued_fetches == 0);
}

TEST_CASE_FIXTURE(fixture, "R12: large bodies survive restarts, in the queue and in the inbox") {
  const std::string large(300 * 1024, 'b');
  const order echo{.tag = "echo", .url = at("/echo?mode=hang&fail_first=1"), .method = "PUT"};
  {
    runtime running(settings());
    value_of(object(running).call<&fetcher::send_bytes>(echo, std::uint64_t{large.size()}));
    REQUIRE(eventually([this] { return upstream.hits("/echo") == 1; }));
  }
  {
    disk rows(directory.path());
    CHECK(rows.count('B') == 1);
    CHECK(rows.rows('Q').begin()->second.size() < 2000); // the body is beside it
  }
  {
    runtime running(settings()); // without a class: the response waits in the inbox
    REQUIRE(eventually([&running] { return running.stats().undeliverable == 1; }));
  }
  {
    disk rows(directory.path());
    CHECK(rows.count('B') == 1); // the response's, and no longer the request's
    CHECK(rows.rows('I').begin()->second.size() < 2000);
  }
  {
    runtime running(settings());
    CHECK(answered(result_under(object(running), "echo")).text() == large);
  }
  disk rows(directory.path());
  CHECK(rows.count('B') == 0);
  CHECK(rows.count('I') == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R7: every fetch has one result, however often the process is stopped in between") {
  constexpr std::uint64_t fetches = 200;
  std::vector<order> orders;
  for (std::uint64_t i = 0; i < fetches; ++i) {
    orders.push_back(key(std::to_string(i), i % 4 == 0 ? "mode=hang&fail_first=2" : "delay_ms=5"));
    orders.back().timeout_ms = i % 4 == 0 ? 500 : 30'000;
  }
  auto chosen = settings();
  chosen.max_in_flight = 60; // the hanging ones do not take all places
  for (int process = 0; process < 4; ++process) {
    runtime running(chosen);
    auto mine = object(running);
    if (process == 0) value_of(mine.call<&fetcher::send_all>(orders));
    const auto before = upstream.total();
    REQUIRE(eventually(
        [&] { return upstream.total() > before + 20 || value_of(mine.call<&fetcher::count>()) == fetches; }));
  }
  runtime running(chosen);
  auto mine = object(running);
  REQUIRE(all_came(mine, fetches));
  for (std::uint64_t i = 0; i < fetches; ++i)
    CHECK(answered(result_under(mine, std::to_string(i))).ok());
  CHECK(value_of(mine.call<&fetcher::orders>()) == fetches);
}

// --- R21: damage -------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R21: a damaged row of the queue becomes a dead letter, and the others go on") {
  const std::vector<std::pair<std::string, std::function<void(std::string&)>>> damages{
      {"flipped", flip_last_bit},
      {"truncated", cut_in_half},
      {"empty", [](std::string& row) { row.clear(); }},
      {"garbage", [](std::string& row) { row = "garbage"; }},
      {"sealed-garbage", [](std::string& row) { row = seal(frame_type::fetch, std::string(200, '\xff')); }},
      {"another-fetch", [](std::string& row) { row = seal_value(frame_type::fetch, fetch_message{}); }},
      {"no-return-path",
       [](std::string& row) {
         auto fetch = value_or_throw(unseal_value<fetch_message>(frame_type::fetch, row));
         fetch.path = {};
         row = seal_value(frame_type::fetch, fetch);
       }},
  };
  std::vector<order> orders{hangs_once("sound")};
  for (const auto& [name, how] : damages) {
    orders.push_back(hangs_once(name));
    orders.back().deadline_ms = 3'600'000;
  }
  leave_queued(orders);
  std::map<std::string, std::string> damaged;
  {
    disk rows(directory.path());
    for (const auto& [name, how] : damages) {
      auto [key, row] = row_of(rows, name);
      how(row);
      rows.put(key, row);
      damaged.emplace(key, row);
    }
    rows.put(std::string("Q\x01nonsense", 10), "x"); // a key that is none
    damaged.emplace(std::string("Q\x01nonsense", 10), "x");
  }
  {
    runtime running(settings());
    auto mine = object(running);
    CHECK(answered(result_under(mine, "sound")).ok());
    CHECK(eventually([&] { return running.stats().corrupt_rows == damaged.size(); }));
    CHECK(running.stats().dead_letters == damaged.size());
    CHECK(eventually([&running] { return running.stats().queued_fetches == 0; }));
    CHECK(answered(fetched(mine, key("later"))).ok());
    CHECK(value_of(mine.call<&fetcher::count>()) == 2);
  }
  disk rows(directory.path());
  CHECK(rows.count('Q') == 0);
  std::map<std::string, std::string> kept;
  for (const auto& [key, row] : rows.rows('D')) {
    auto letter = value_or_throw(unseal_value<dead_letter>(frame_type::dead_letter, row));
    CHECK(contains(letter.reason, "queue row"));
    kept.emplace(letter.key, letter.value);
  }
  CHECK(kept == damaged);
}

TEST_CASE_FIXTURE(fixture, "R21: a damaged mark does not make a POST go out twice") {
  for (const auto& how : std::vector<std::function<void(std::string&)>>{
           flip_last_bit, cut_in_half, [](std::string& row) { row.clear(); },
           [](std::string& row) { row[1] = '\x02'; }}) {
    const auto name = "post-" + std::to_string(upstream.total());
    {
      runtime running(settings());
      value_of(object(running).call<&fetcher::send>(posted(name)));
      REQUIRE(eventually([&] { return upstream.hits(name) == 1; }));
    }
    CHECK(disk(directory.path()).change('A', how) == 1);
    runtime running(settings());
    const auto lost = failed(result_under(object(running), name));
    CHECK(to_string(lost.code) == "FETCH_FAILED");
    CHECK(lost.sent == sent_state::maybe);
    CHECK(upstream.hits(name) == 1);
    running.stop();
    CHECK(disk(directory.path()).count('A') == 0);
  }
}

TEST_CASE_FIXTURE(fixture, "R21: a request's damaged body is a result that says so") {
  const auto upload = [this](const std::string& name) {
    return order{.tag = name, .url = at("/k/" + name + "?mode=hang&fail_first=1"), .method = "PUT"};
  };
  {
    runtime running(settings());
    auto mine = object(running);
    for (const std::string name : {"a", "b"})
      value_of(mine.call<&fetcher::send_bytes>(upload(name), std::uint64_t{300 * 1024}));
    REQUIRE(eventually([this] { return upstream.total() == 2; }));
  }
  CHECK(disk(directory.path()).change('B', flip_last_bit) == 2);
  runtime running(settings());
  auto mine = object(running);
  for (const std::string name : {"a", "b"}) {
    const auto lost = failed(result_under(mine, name));
    CHECK(to_string(lost.code) == "FETCH_FAILED");
    CHECK(contains(lost.message, "CRC-32C"));
    CHECK(upstream.hits(name) == 1);
  }
  CHECK(running.stats().in_flight_fetches == 0);
  CHECK(answered(fetched(mine, key("later"))).ok());
}

TEST_CASE_FIXTURE(fixture, "R21: a response's damaged row or body becomes a dead letter") {
  std::vector<order> orders;
  for (const std::string name : {"small", "large", "sound"})
    orders.push_back(
        key(name, std::string("mode=hang&fail_first=1") + (name == "large" ? "&bytes=300000" : "")));
  leave_queued(orders);
  {
    runtime running(settings()); // without a class
    REQUIRE(eventually([&running] { return running.stats().undeliverable == 3; }));
  }
  {
    disk rows(directory.path());
    CHECK(rows.change('B', cut_in_half) == 1);
    for (auto [key, row] : rows.rows('I'))
      if (contains(row, "/k/small?")) {
        flip_last_bit(row);
        rows.put(key, row);
      }
  }
  runtime running(settings());
  auto mine = object(running);
  CHECK(answered(result_under(mine, "sound")).ok());
  CHECK(eventually([&running] { return running.stats().corrupt_rows == 2; }));
  CHECK(running.stats().dead_letters == 2);
  CHECK(value_of(mine.call<&fetcher::count>()) == 1);
}

TEST_CASE_FIXTURE(
    fixture, "R21: deadline rows that lead nowhere are cleared away and do not keep others from expiring") {
  auto late = hangs_once("late");
  late.deadline_ms = 3'600'000;
  leave_queued({late});
  {
    disk rows(directory.path());
    write_set stale{{"Enonsense", "x"}};
    for (std::uint64_t i = 0; i < 3000; ++i)
      stale.push_back({keys::deadline(1000, i), i % 3 == 0 ? keys::queue("", fetch_priority::normal, 1000, i)
                                                : i % 3 == 1 ? "garbage"
                                                             : ""});
    rows.put_all(stale);
  }
  {
    auto chosen = settings();
    chosen.max_in_flight = 1;
    runtime running(chosen);
    auto mine = object(running);
    CHECK(answered(result_under(mine, "late")).ok());
    value_of(mine.call<&fetcher::send>(key("in front", "mode=hang")));
    REQUIRE(eventually([this] { return upstream.hits("in front") == 1; }));
    auto next = key("next");
    next.deadline_ms = 300;
    CHECK(failed(fetched(mine, next)).code == fetch_errc::timeout);
  }
  CHECK(disk(directory.path()).count('E') == 0);
}

TEST_CASE_FIXTURE(
    fixture, "R21: a deadline or a mark that leads to a damaged fetch, or to another one, harms nobody") {
  auto late = hangs_once("late");
  late.deadline_ms = 3'600'000;
  leave_queued({late, hangs_once("no-return-path"), posted("no-path-either"), hangs_once("sound")});
  {
    disk rows(directory.path());
    const auto sound = row_of(rows, "sound");
    for (const std::string name : {"no-return-path", "no-path-either"}) {
      auto [key, row] = row_of(rows, name);
      auto fetch = value_or_throw(unseal_value<fetch_message>(frame_type::fetch, row));
      fetch.path = {};
      rows.put(key, seal_value(frame_type::fetch, fetch));
      rows.put(keys::deadline(1000, fetch.id), key); // passed long ago
    }
    rows.put(keys::deadline(1000, 7), sound.first); // of a fetch that there is not, to one that there is
    rows.put(keys::attempt(8), sound.first);
    rows.put("Anonsense", "x");
    auto [key, row] = row_of(rows, "late"); // its row is another fetch's
    rows.put(key, sound.second);
    rows.put(keys::deadline(1001, keys::parse_queue(key)->id), key);
  }
  {
    runtime running(settings());
    auto mine = object(running);
    CHECK(answered(result_under(mine, "sound")).ok());
    CHECK(eventually([&running] { return running.stats().corrupt_rows == 3; }));
    CHECK(eventually([&running] { return running.stats().queued_fetches == 0; }));
    CHECK(answered(fetched(mine, key("later"))).ok());
    CHECK(value_of(mine.call<&fetcher::count>()) == 2);
  }
  {
    runtime running(settings()); // what the first could not see through yet is cleared away by the next
    CHECK(answered(fetched(object(running), key("last"))).ok());
    CHECK(eventually([&running] { return running.stats().delivered == 1; }));
  }
  disk rows(directory.path());
  CHECK(rows.count('Q') == 0);
  CHECK(rows.count('A') == 0);
  CHECK(rows.rows('E').size() <= 1); // that of "late" is due in an hour
}

TEST_CASE_FIXTURE(fixture, "R21: a store with random damage answers every call with a value or an error") {
  std::vector<order> orders;
  for (int i = 0; i < 6; ++i) {
    orders.push_back(i % 2 == 0 ? hangs_once(std::to_string(i)) : posted(std::to_string(i)));
    orders.back().deadline_ms = 600'000;
  }
  orders.push_back({.tag = "large", .url = at("/k/large?mode=hang&fail_first=1"), .method = "PUT"});
  orders.back().body = std::string(200 * 1024, 'b');
  leave_queued(orders);
  std::map<std::string, std::string> sound;
  {
    disk rows(directory.path());
    for (char kind : {'A', 'B', 'E', 'O', 'Q'})
      sound.merge(rows.rows(kind));
  }
  std::mt19937 random(21); // fixed: the same damage every time
  for (int round = 0; round < 20; ++round) {
    CAPTURE(round);
    {
      disk rows(directory.path());
      for (const auto& [key, row] : sound) {
        auto damaged = row;
        for (auto changes = random() % 4; changes > 0 && !damaged.empty(); --changes)
          switch (random() % 3) {
          case 0:
            damaged[random() % damaged.size()] ^= static_cast<char>(1U << (random() % 8));
            break;
          case 1:
            damaged.resize(random() % damaged.size());
            break;
          default:
            damaged.insert(random() % damaged.size(), 1, static_cast<char>(random()));
          }
        rows.put(key, damaged);
      }
    }
    auto chosen = settings();
    chosen.default_timeout = 1s;
    runtime running(chosen);
    running.define<fetcher>();
    try {
      (void)value_of(running.get<fetcher>("x").call<&fetcher::count>());
    } catch (const failure& e) {
      CHECK((e.code() == errc::corrupt || e.code() == errc::newer_format));
    }
    CHECK(answered(fetched(running.get<fetcher>("y"), key("y" + std::to_string(round)))).ok());
    CHECK(eventually([&running] { return running.stats().queued_fetches == 0; }));
  }
}

} // namespace dormouse::test::recovery_test
