#include "disk.hpp"
#include "eventually.hpp"
#include "gate.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::storage_test {

using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

using row_map = std::map<std::string, std::string>;
using row_list = std::vector<std::pair<std::string, std::string>>;

/// One thing that a turn does to its rows.
struct step {
  enum class what : std::uint8_t { put, put_many, erase, erase_many, erase_all, get, get_many, list, fail };
  what kind{};
  row_map rows; ///< or keys only
  storage_list_options range;

  template <class Archive> void serialize(Archive& ar) {
    ar(kind, rows, range.prefix, range.start, range.end, range.limit, range.reverse);
  }
};

/// What a turn saw, one line for each step.
using sightings = std::vector<row_list>;

std::atomic<int> turns_run{0};

class shelf : public durable_object {
public:
  /// The state counts turns: it has to agree with what the rows say.
  sightings run(const std::vector<step>& steps) {
    ++turns_run;
    ++turns_;
    storage().put("\xff turns", std::to_string(turns_));
    sightings seen;
    for (const auto& each : steps)
      seen.push_back(one(each));
    return seen;
  }
  sightings look(const std::vector<step>& steps) const {
    ++turns_run;
    sightings seen;
    for (const auto& each : steps)
      seen.push_back(read(each));
    return seen;
  }
  std::string turns() const { return std::to_string(turns_); }

  void put(std::string key, std::string value) { storage().put(key, value); }
  bool erase(std::string key) { return storage().erase(key); }
  void put_sized(std::uint64_t key_bytes, std::uint64_t value_bytes) {
    storage().put(std::string(key_bytes, 'k'), std::string(value_bytes, 'v'));
  }
  void put_two_sized(std::uint64_t first, std::uint64_t second) {
    storage().put("first", std::string(first, 'v'));
    storage().put("second", std::string(second, 'v'));
  }
  void put_again_and_again(std::uint64_t bytes) {
    for (int i = 0; i < 100; ++i)
      storage().put("same", std::string(bytes, 'v'));
  }
  /// What is refused has changed nothing, not even for a handler that goes on.
  void go_on_after_refusals() {
    const row_map over{{"good", "g"}, {std::string(max_storage_key_bytes + 1, 'k'), "v"}};
    for (const auto& refused : std::vector<std::function<void()>>{[&] { storage().put(over); },
                                                                  [&] {
                                                                    storage().erase({"kept", ""});
                                                                  },
                                                                  [&] { storage().put("", 1); }}) {
      try {
        refused();
      } catch (const failure&) {
        storage().put("refused", "yes");
      }
    }
  }
  std::string value(std::string key) const { return storage().get<std::string>(key).value_or("none"); }
  int number(std::string key) const { return storage().get<int>(key).value_or(-1); }
  std::uint64_t count() const { return storage().list<std::string>({.limit = 10'000}).size(); }
  std::uint64_t list_limited(std::uint64_t limit) const {
    return storage().list<std::string>({.limit = limit}).size();
  }
  void copy(std::string from, std::string to) { storage().put(to, value(from)); }
  void erase_all() { storage().erase_all(); }

  template <class Archive> void serialize(Archive& ar) { ar(turns_); }

  using methods =
      dormouse::methods<"SHELF", method<"run", &shelf::run>, method<"look", &shelf::look>,
                        method<"turns", &shelf::turns>, method<"put", &shelf::put>,
                        method<"erase", &shelf::erase>, method<"put_sized", &shelf::put_sized>,
                        method<"put_two_sized", &shelf::put_two_sized>,
                        method<"put_again_and_again", &shelf::put_again_and_again>,
                        method<"go_on_after_refusals", &shelf::go_on_after_refusals>,
                        method<"value", &shelf::value>, method<"number", &shelf::number>,
                        method<"count", &shelf::count>, method<"list_limited", &shelf::list_limited>,
                        method<"copy", &shelf::copy>, method<"erase_all", &shelf::erase_all>>;

private:
  static std::vector<std::string> keys_of(const row_map& rows) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : rows)
      keys.push_back(key);
    return keys;
  }

  row_list read(const step& each) const {
    switch (each.kind) {
    case step::what::get:
      if (auto found = storage().get<std::string>(each.rows.begin()->first))
        return {{each.rows.begin()->first, *found}};
      return {};
    case step::what::get_many: {
      auto found = storage().get<std::string>(keys_of(each.rows));
      return {found.begin(), found.end()};
    }
    case step::what::list:
      return storage().list<std::string>(each.range);
    default:
      throw std::logic_error("not a step that reads");
    }
  }

  row_list one(const step& each) {
    switch (each.kind) {
    case step::what::put:
      storage().put(each.rows.begin()->first, each.rows.begin()->second);
      return {};
    case step::what::put_many:
      storage().put(each.rows);
      return {};
    case step::what::erase:
      return {{std::to_string(storage().erase(each.rows.begin()->first)), ""}};
    case step::what::erase_many:
      return {{std::to_string(storage().erase(keys_of(each.rows))), ""}};
    case step::what::erase_all:
      storage().erase_all();
      return {};
    case step::what::fail:
      throw std::runtime_error("as the test wants it");
    default:
      return read(each);
    }
  }

  std::uint64_t turns_ = 0;
};

/// What rows should be like.
struct model {
  row_map rows;
  std::uint64_t turns = 0;

  row_list list(const storage_list_options& which) const {
    row_list found;
    for (const auto& row : rows)
      if (row.first.starts_with(which.prefix) && row.first >= which.start &&
          (which.end.empty() || row.first < which.end))
        found.push_back(row);
    if (which.reverse) std::reverse(found.begin(), found.end());
    if (found.size() > which.limit) found.resize(which.limit);
    return found;
  }

  row_list one(const step& each) {
    switch (each.kind) {
    case step::what::put:
    case step::what::put_many:
      for (const auto& [key, value] : each.rows)
        rows[key] = value;
      return {};
    case step::what::erase:
    case step::what::erase_many: {
      std::size_t erased = 0;
      for (const auto& row : each.rows)
        erased += rows.erase(row.first);
      return {{std::to_string(erased), ""}};
    }
    case step::what::erase_all:
      rows.clear();
      return {};
    case step::what::get:
    case step::what::get_many: {
      row_list found;
      for (const auto& row : each.rows)
        if (auto at = rows.find(row.first); at != rows.end()) found.push_back(*at);
      return found;
    }
    case step::what::list:
      return list(each.range);
    case step::what::fail:
      break;
    }
    return {};
  }

  sightings run(const std::vector<step>& steps) {
    rows["\xff turns"] = std::to_string(++turns);
    return look(steps);
  }
  sightings look(const std::vector<step>& steps) {
    sightings seen;
    for (const auto& each : steps)
      seen.push_back(one(each));
    return seen;
  }
};

/// DORMOUSE_TEST_SEED, or a new one.
std::uint64_t walk_seed() {
  const char* given = std::getenv("DORMOUSE_TEST_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  MESSAGE("DORMOUSE_TEST_SEED=", seed);
  return seed;
}

/// Few keys, so that they meet, and bytes around which an order can turn.
class walk {
public:
  explicit walk(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t count) { return random_() % count; }

  std::string key() {
    static const std::string letters = "\0\x01"
                                       "ab\x7f\x80\xfe\xff"s;
    std::string out(1 + below(3), ' ');
    for (auto& c : out)
      c = letters[below(letters.size())];
    return out;
  }
  std::string maybe_key() { return below(2) == 0 ? key() : std::string(); }
  row_map some(std::size_t most) {
    row_map out;
    for (auto count = 1 + below(most); out.size() < count;)
      out[key()] = std::to_string(random_());
    return out;
  }
  step read() {
    static const step::what kinds[] = {step::what::get, step::what::get_many, step::what::list,
                                       step::what::list};
    const auto kind = kinds[below(4)];
    return {kind, some(kind == step::what::get ? 1 : 4), range()};
  }
  step change() {
    static const step::what kinds[] = {step::what::put,       step::what::put,      step::what::put_many,
                                       step::what::put_many,  step::what::put_many, step::what::erase,
                                       step::what::erase_many};
    const auto kind = below(25) == 0 ? step::what::erase_all : kinds[below(7)];
    return {kind,
            some(kind == step::what::put || kind == step::what::erase ? 1
                 : kind == step::what::put_many && below(5) == 0      ? 60
                                                                      : 4),
            {}};
  }
  storage_list_options range() {
    auto prefix = maybe_key();
    if (prefix.size() > 1 && below(2) == 0) prefix.resize(1);
    return {.prefix = prefix,
            .start = maybe_key(),
            .end = maybe_key(),
            .limit = below(3) == 0 ? 1 + below(5) : 10'000,
            .reverse = below(2) == 0};
  }
  std::vector<step> turn() {
    std::vector<step> steps;
    for (auto count = 1 + below(4); steps.size() < count;)
      steps.push_back(below(2) == 0 ? change() : read());
    return steps;
  }

private:
  std::mt19937_64 random_;
};

struct fixture {
  test::scratch_directory directory;
  std::shared_ptr<test::storage_valve> valve = std::make_shared<test::storage_valve>();
  std::unique_ptr<runtime> running;
  object_ref<shelf> mine;

  fixture() : mine(start({})) { turns_run = 0; }

  object_ref<shelf> start(options settings) {
    running.reset();
    settings.directory = directory.path();
    running = std::make_unique<runtime>(settings, ports{.wrap_engine = valve->wrap(), .wrap_transport = {}});
    running->define<shelf>();
    return running->get<shelf>("mine");
  }
  void restart(options settings = {}) { mine = start(std::move(settings)); }

  bool writes_wait() {
    return eventually([this] { return valve->writes.waiting() == 1; });
  }

  sightings look(std::vector<step> steps) { return value_of(mine.call<&shelf::look>(std::move(steps))); }
  row_list all() { return look({{step::what::list, {}, {.limit = 10'000}}})[0]; }
};

row_map many_rows(std::size_t count) {
  row_map rows;
  for (std::size_t i = 0; i < count; ++i)
    rows[std::to_string(1000 + i)] = std::to_string(i);
  return rows;
}

} // namespace

TEST_CASE_FIXTURE(fixture, "storage: a turn reads what it has written, and later turns and a restart too") {
  const auto seen = value_of(mine.call<&shelf::run>(std::vector<step>{
      {step::what::put_many, {{"a", "1"}, {"b", "1"}, {"c", "1"}}, {}},
      {step::what::get, {{"a", ""}}, {}},
      {step::what::put, {{"a", "2"}}, {}},
      {step::what::erase, {{"b", ""}}, {}},
      {step::what::erase, {{"b", ""}}, {}},
      {step::what::get_many, {{"a", ""}, {"b", ""}, {"c", ""}}, {}},
      {step::what::list, {}, {.end = "z"}},
  }));
  const row_list left{{"a", "2"}, {"c", "1"}};
  CHECK(seen == sightings{{}, {{"a", "1"}}, {}, {{"1", ""}}, {{"0", ""}}, left, left});
  CHECK(look({{step::what::list, {}, {.end = "z"}}})[0] == left);
  restart();
  CHECK(look({{step::what::list, {}, {.end = "z"}}})[0] == left);
  CHECK(value_of(mine.call<&shelf::turns>()) == "1");
}

TEST_CASE_FIXTURE(fixture, "storage: rows belong to one object") {
  value_of(mine.call<&shelf::put>("key", "mine"));
  for (const auto& id : {"min"s, "mine2"s, "mine\0"s, "mine\x01"s, "mind"s, "other"s}) {
    auto other = running->get<shelf>(id);
    CHECK(value_of(other.call<&shelf::value>("key")) == "none");
    CHECK(value_of(other.call<&shelf::count>()) == 0);
    value_of(other.call<&shelf::put>("key", "other"));
    value_of(other.call<&shelf::run>(std::vector<step>{{step::what::put_many, many_rows(150), {}}}));
    value_of(other.call<&shelf::erase_all>());
  }
  CHECK(value_of(mine.call<&shelf::value>("key")) == "mine");
}

TEST_CASE_FIXTURE(fixture, "storage: list by prefix, start, end, limit and direction") {
  model expected;
  std::vector<std::string> keys;
  for (const auto& letter : {"a"s, "b"s, "\xff"s, "\0"s})
    for (const auto& rest : {""s, "\0"s, "a"s, "b"s, "\xff"s, "\xff\xff"s})
      keys.push_back(letter + rest);
  for (const auto& key : keys)
    expected.rows[key] = "v" + key;
  // A third is in the store, a third erased from it and a third in this turn.
  row_map first;
  row_map second;
  row_map third;
  std::size_t i = 0;
  for (const auto& row : expected.rows)
    (++i % 3 == 0 ? first : i % 3 == 1 ? second : third).insert(row);
  value_of(mine.call<&shelf::run>(std::vector<step>{{step::what::put_many, first, {}},
                                                    {step::what::put_many, third, {}},
                                                    {step::what::put, {{"c", "gone"}}, {}}}));
  std::vector<step> steps{{step::what::erase_many, third, {}},
                          {step::what::put_many, second, {}},
                          {step::what::erase, {{"c", ""}, {"\xff turns", ""}}, {}},
                          {step::what::erase, {{"\xff turns", ""}}, {}}};
  for (const auto& row : third)
    expected.rows.erase(row.first);
  const auto changes = steps.size();
  std::vector<row_list> answers;
  const std::vector<std::string> bounds{"", "a", "a\0"s, "ab", "b", "b\xff", "c", "\xff", "\xff\xff", "\0"s};
  for (const auto& prefix : {""s, "a"s, "b\xff"s, "\xff"s, "\xff\xff"s, "z"s, "\0"s})
    for (const auto& start : bounds)
      for (const auto& end : bounds)
        for (const auto limit : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{10'000}})
          for (const auto reverse : {false, true}) {
            const storage_list_options range{
                .prefix = prefix, .start = start, .end = end, .limit = limit, .reverse = reverse};
            steps.push_back({step::what::list, {}, range});
            answers.push_back(expected.list(range));
          }
  const auto seen = value_of(mine.call<&shelf::run>(steps));
  REQUIRE(seen.size() == changes + answers.size());
  std::size_t wrong = 0;
  for (std::size_t at = 0; at < answers.size(); ++at)
    wrong += seen[changes + at] == answers[at] ? 0 : 1;
  CHECK(wrong == 0);
  const auto from_the_store = look({steps.begin() + static_cast<std::ptrdiff_t>(changes), steps.end()});
  CHECK(from_the_store == sightings(answers));
}

TEST_CASE_FIXTURE(fixture, "R3: an undone turn leaves no row behind, nor does it erase one") {
  value_of(mine.call<&shelf::run>(std::vector<step>{{step::what::put_many, {{"a", "1"}, {"b", "1"}}, {}}}));
  const auto before = all();
  for (const auto& undone : {step{step::what::put_many, {{"a", "2"}, {"c", "2"}}, {}},
                             step{step::what::erase, {{"a", ""}}, {}}, step{step::what::erase_all, {}, {}}}) {
    CHECK(error_of(mine.call<&shelf::run>(std::vector<step>{undone, {step::what::fail, {}, {}}})).code ==
          errc::handler_failed);
    CHECK(all() == before);
    CHECK(value_of(mine.call<&shelf::turns>()) == "1");
  }
  restart();
  CHECK(all() == before);
}

TEST_CASE_FIXTURE(fixture, "R3: an undone turn does not take with it what is in flight before it") {
  std::future<void> first;
  std::future<sightings> undone;
  std::future<std::string> read;
  {
    test::gate::closing held(valve->writes);
    first = mine.call<&shelf::put>("a", "1");
    REQUIRE(writes_wait());
    undone = mine.call<&shelf::run>(
        std::vector<step>{{step::what::put, {{"a", "2"}}, {}}, {step::what::fail, {}, {}}});
    read = mine.call<&shelf::value>("a");
    REQUIRE(eventually([] { return turns_run == 1; }));
  }
  value_of(std::move(first));
  CHECK(error_of(std::move(undone)).code == errc::handler_failed);
  CHECK(value_of(std::move(read)) == "1");
}

TEST_CASE_FIXTURE(fixture,
                  "R4: turns see rows that are in flight, and nobody hears of them before they are durable") {
  value_of(mine.call<&shelf::put>("a", "0"));
  std::vector<std::future<void>> writes;
  std::future<std::string> read;
  std::future<sightings> listed;
  {
    test::gate::closing held(valve->writes);
    writes.push_back(mine.call<&shelf::put>("a", "1"));
    REQUIRE(writes_wait());
    writes.push_back(mine.call<&shelf::copy>("a", "b"));
    writes.push_back(mine.call<&shelf::put>("a", "2"));
    writes.push_back(mine.call<&shelf::copy>("a", "c"));
    read = mine.call<&shelf::value>("b");
    listed = mine.call<&shelf::look>(std::vector<step>{{step::what::list, {}, {.reverse = true}}});
    REQUIRE(eventually([] { return turns_run == 1; }));
    CHECK_FALSE(test::is_ready(read));
    CHECK_FALSE(test::is_ready(listed));
  }
  for (auto& each : writes)
    value_of(std::move(each));
  CHECK(value_of(std::move(read)) == "1");
  const row_list expected{{"c", "2"}, {"b", "1"}, {"a", "2"}};
  CHECK(value_of(std::move(listed))[0] == expected);
  CHECK(look({{step::what::list, {}, {.reverse = true}}})[0] == expected);
}

TEST_CASE_FIXTURE(fixture, "R4: a failed commit drops its rows, and those of the commits behind it") {
  value_of(mine.call<&shelf::put>("a", "0"));
  std::vector<std::future<void>> lost;
  std::future<std::string> read;
  {
    test::gate::closing held(valve->writes);
    lost.push_back(mine.call<&shelf::put>("a", "1"));
    REQUIRE(writes_wait());
    lost.push_back(mine.call<&shelf::copy>("a", "b"));
    lost.push_back(mine.call<&shelf::erase_all>());
    lost.push_back(mine.call<&shelf::put>("c", "1"));
    read = mine.call<&shelf::value>("b");
    REQUIRE(eventually([this] { return running->stats().reads == 1; }));
    valve->fail_writes();
  }
  REQUIRE(eventually([this] { return valve->failed() == 1; }));
  valve->heal();
  for (auto& each : lost)
    CHECK(error_of(std::move(each)).code == errc::storage_error);
  CHECK(error_of(std::move(read)).code == errc::storage_error);
  CHECK(all() == row_list{{"a", "0"}});
  value_of(mine.call<&shelf::copy>("a", "b"));
  CHECK(all() == row_list{{"a", "0"}, {"b", "0"}});
}

TEST_CASE_FIXTURE(
    fixture, "storage: erase_all erases rows that are stored, in flight and of the same turn, few or many") {
  for (const std::size_t stored :
       {std::size_t{0}, std::size_t{3}, std::size_t{100}, std::size_t{101}, std::size_t{300}}) {
    CAPTURE(stored);
    auto object = running->get<shelf>("with " + std::to_string(stored));
    if (stored != 0)
      value_of(object.call<&shelf::run>(std::vector<step>{{step::what::put_many, many_rows(stored), {}}}));
    std::vector<std::future<void>> calls;
    std::vector<std::future<std::uint64_t>> counts;
    {
      test::gate::closing held(valve->writes);
      calls.push_back(object.call<&shelf::put>("in flight", "1"));
      REQUIRE(writes_wait());
      counts.push_back(object.call<&shelf::count>());
      calls.push_back(object.call<&shelf::erase_all>());
      counts.push_back(object.call<&shelf::count>());
      calls.push_back(object.call<&shelf::put>("new", "1"));
      calls.push_back(object.call<&shelf::copy>("1000", "old"));
      counts.push_back(object.call<&shelf::count>());
    }
    for (auto& each : calls)
      value_of(std::move(each));
    const std::uint64_t before = stored == 0 ? 1 : stored + 2; // and the one that counts turns
    CHECK(value_of(std::move(counts[0])) == before);
    CHECK(value_of(std::move(counts[1])) == 0);
    CHECK(value_of(std::move(counts[2])) == 2);
    CHECK(value_of(object.call<&shelf::value>("old")) == "none");

    const auto seen =
        value_of(object.call<&shelf::run>(std::vector<step>{{step::what::put_many, many_rows(stored + 1), {}},
                                                            {step::what::erase_all, {}, {}},
                                                            {step::what::list, {}, {}},
                                                            {step::what::put, {{"last", "1"}}, {}},
                                                            {step::what::erase, {{"1000", ""}}, {}},
                                                            {step::what::get, {{"new", ""}}, {}}}));
    CHECK(seen == sightings{{}, {}, {}, {}, {{"0", ""}}, {}});
    CHECK(value_of(object.call<&shelf::count>()) == 1);
  }
  running.reset();
  CHECK(test::disk(directory.path()).count('K') == 5); // of each the last
}

TEST_CASE_FIXTURE(fixture, "storage: a random walk that hibernates after every message agrees with a map") {
  walk random(walk_seed());
  restart({.idle_after = 0ms});
  model expected;
  for (int turn = 0; turn < 400; ++turn) {
    CAPTURE(turn);
    if (turn % 100 == 50) restart({.idle_after = 0ms});
    if (turn % 5 == 0) // else the next message may come before the object has left
      REQUIRE(eventually([this] { return running->stats().active_objects == 0; }));
    auto steps = random.turn();
    if (random.below(6) == 0) {
      steps.push_back({step::what::fail, {}, {}});
      CHECK(error_of(mine.call<&shelf::run>(steps)).code == errc::handler_failed);
      continue;
    }
    const auto seen = value_of(mine.call<&shelf::run>(steps));
    REQUIRE(seen == expected.run(steps));
    const std::vector<step> reads{random.read(), random.read(), {step::what::list, {}, {.limit = 10'000}}};
    REQUIRE(look(reads) == expected.look(reads));
  }
  CHECK(running->stats().hibernations >= 9);
  CHECK(value_of(mine.call<&shelf::turns>()) == std::to_string(expected.turns));
}

TEST_CASE_FIXTURE(fixture, "R4: a random walk with commits in flight agrees with a map") {
  walk random(walk_seed());
  model expected;
  for (int burst = 0; burst < 40; ++burst) {
    CAPTURE(burst);
    std::vector<std::pair<std::future<sightings>, sightings>> calls;
    {
      // What a commit writes can be read when the next is taken: so the rows of a burst are in flight, in
      // part stored, and all stored.
      test::gate::closing held(valve->writes);
      for (auto count = 1 + random.below(30); calls.size() < count;) {
        const auto steps = random.turn();
        if (random.below(3) == 0) {
          const std::vector<step> reads{random.read(), random.read()};
          auto answer = expected.look(reads);
          calls.emplace_back(mine.call<&shelf::look>(reads), std::move(answer));
          continue;
        }
        auto answer = expected.run(steps);
        calls.emplace_back(mine.call<&shelf::run>(steps), std::move(answer));
        if (random.below(10) == 0) {
          valve->writes.open();
          valve->writes.close();
        }
      }
    }
    for (auto& [call, answer] : calls)
      REQUIRE(value_of(std::move(call)) == answer);
  }
  CHECK(all() == expected.list({.limit = 10'000}));
  restart();
  CHECK(all() == expected.list({.limit = 10'000}));
}

TEST_CASE_FIXTURE(fixture, "R12: limits of the storage are named errors, and nothing is committed") {
  restart({.max_state_bytes = std::size_t{5} << 20U});
  constexpr auto most_text = max_storage_value_bytes - 8; // a string has its length before it
  struct row {
    const char* what;
    std::function<std::future<void>()> call;
    errc code;
    std::string text;
  };
  for (const auto& each : std::vector<row>{
           {"empty key", [this] { return mine.call<&shelf::put_sized>(0, 1); }, errc::invalid_request,
            "1 to 2048 bytes"},
           {"long key", [this] { return mine.call<&shelf::put_sized>(2049, 1); }, errc::too_large,
            "2049 bytes; the limit is 2048"},
           {"large value", [this] { return mine.call<&shelf::put_sized>(1, most_text + 1); }, errc::too_large,
            "2097153 bytes encoded; the limit is 2097152"},
       }) {
    CAPTURE(each.what);
    const auto why = error_of(each.call());
    CHECK(why.code == each.code);
    CHECK_MESSAGE(contains(why.message, each.text), why.message);
    CHECK(contains(why.message, "SHELF/mine"));
  }
  const auto sum = error_of(mine.call<&shelf::run>(std::vector<step>{{step::what::put_many,
                                                                      {{"a", std::string(most_text, 'v')},
                                                                       {"b", std::string(most_text, 'v')},
                                                                       {"c", std::string(most_text, 'v')}},
                                                                      {}}}));
  CHECK(sum.code == errc::too_large);
  CHECK_MESSAGE(contains(sum.message, "options::max_state_bytes = 5242880"), sum.message);
  CHECK(error_of(mine.call<&shelf::erase>("")).code == errc::invalid_request);
  CHECK(error_of(mine.call<&shelf::value>("")).code == errc::invalid_request);
  CHECK(error_of(mine.call<&shelf::value>(std::string(2049, 'k'))).code == errc::too_large);
  for (const std::uint64_t limit : {0, 10'001}) {
    const auto why = error_of(mine.call<&shelf::list_limited>(limit));
    CHECK(why.code == errc::invalid_request);
    CHECK_MESSAGE(contains(why.message, "1 to 10000"), why.message);
  }
  CHECK(all().empty());

  value_of(mine.call<&shelf::put_sized>(2048, most_text));
  value_of(mine.call<&shelf::put_two_sized>(most_text, most_text));
  value_of(mine.call<&shelf::put_again_and_again>(most_text)); // of one key only the last counts
  const auto list = error_of(mine.call<&shelf::count>());
  CHECK(list.code == errc::too_large);
  CHECK_MESSAGE(contains(list.message, "options::max_state_bytes = 5242880 after 2 rows"), list.message);
  CHECK(value_of(mine.call<&shelf::list_limited>(2)) == 2);
}

TEST_CASE_FIXTURE(fixture, "R12: of several rows of which one is refused none is changed") {
  value_of(mine.call<&shelf::put>("kept", "1"));
  value_of(mine.call<&shelf::go_on_after_refusals>());
  CHECK(all() == row_list{{"kept", "1"}, {"refused", "yes"}});
}

TEST_CASE_FIXTURE(fixture, "R12: list gives a thousand rows if not told otherwise") {
  value_of(mine.call<&shelf::run>(std::vector<step>{{step::what::put_many, many_rows(1500), {}}}));
  CHECK(look({{step::what::list, {}, {}}})[0].size() == 1000);
  CHECK(value_of(mine.call<&shelf::count>()) == 1501);
}

TEST_CASE_FIXTURE(fixture, "R21: a damaged row fails by name where it is read, and the rest runs on") {
  value_of(mine.call<&shelf::put>("bad", "1"));
  value_of(mine.call<&shelf::put>("good", "1"));
  running.reset();
  {
    test::disk disk(directory.path());
    const auto key = keys::storage_row({"SHELF", "mine"}, "bad");
    auto row = disk.rows('K').at(key);
    test::flip_last_bit(row);
    disk.put(key, row);
  }
  restart();
  for (const auto& why :
       {error_of(mine.call<&shelf::value>("bad")), error_of(mine.call<&shelf::copy>("bad", "worse")),
        error_of(mine.call<&shelf::count>())}) {
    CHECK(why.code == errc::corrupt);
    CHECK_MESSAGE(contains(why.message, "'bad'"), why.message);
    CHECK_MESSAGE(contains(why.message, "SHELF/mine"), why.message);
  }
  CHECK(value_of(mine.call<&shelf::value>("good")) == "1");
  const auto other_type = error_of(mine.call<&shelf::number>("good"));
  CHECK(other_type.code == errc::corrupt);
  CHECK(contains(other_type.message, "'good'"));
  CHECK(running->stats().corrupt_objects.empty());
  CHECK(value_of(mine.call<&shelf::erase>("bad")));
  CHECK(all() == row_list{{"good", "1"}});
}

TEST_CASE_FIXTURE(
    fixture, "storage: a message whose handler cannot read a row because storage fails is handled later") {
  value_of(mine.call<&shelf::put>("from", "1"));
  valve->fail_reads('K');
  CHECK(error_of(mine.call<&shelf::value>("from")).code == errc::storage_error);
  value_of(mine.post<&shelf::copy>("from", "to"));
  REQUIRE(eventually([this] { return running->stats().failed_turns >= 2; }));
  valve->heal();
  CHECK(eventually([this] { return value_of(mine.call<&shelf::value>("to")) == "1"; }));
  CHECK(running->stats().dead_letters == 0);
}

namespace {

/// Writes rows and nothing else.
class early : public durable_object {
public:
  void on_create() override { storage().put("created", 1); }
  void on_wake() override { storage().put("wakes", wakes() + 1); }
  int created() const { return storage().get<int>("created").value_or(0); }
  int wakes() const { return storage().get<int>("wakes").value_or(0); }

  using methods =
      dormouse::methods<"EARLY", method<"created", &early::created>, method<"wakes", &early::wakes>>;
};

} // namespace

TEST_CASE("R2: on_create and on_wake have a storage, and their rows are committed though the state has not "
          "changed") {
  test::scratch_directory directory;
  for (int life = 1; life <= 3; ++life) {
    runtime running({.directory = directory.path()});
    running.define<early>();
    CHECK(value_of(running.get<early>("it").call<&early::wakes>()) == life);
    CHECK(value_of(running.get<early>("it").call<&early::created>()) == 1);
  }
}

} // namespace dormouse::test::storage_test
