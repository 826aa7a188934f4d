#include "store/keys.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace dormouse::test::keys_test {

using namespace std::string_literals;
namespace keys = dormouse::keys;

namespace {

bool holds(const keys::range& rows, const std::string& key) { return rows.first <= key && key < rows.second; }

/// In order, with every byte around which the escaping turns.
const std::vector<std::string> ids{"\0"s,    "\0\0"s,    "\0\x01"s, "\0a"s,     "\0\xff"s, "\x01"s,
                                   "a"s,     "a\0"s,     "a\0\0"s,  "a\0\x01"s, "a\0b"s,   "a\0\xff"s,
                                   "a\x01"s, "a\x01\0"s, "aa"s,     "ab"s,      "b"s,      "\xc3\xa9"s};

} // namespace

TEST_CASE("keys: addresses keep their order and none is a prefix of another, NUL bytes in ids included") {
  for (auto make : {+[](const address& where) { return keys::object(where); },
                    +[](const address& where) { return keys::inbox(where, 7); }})
    for (std::size_t i = 0; i < ids.size(); ++i)
      for (std::size_t k = i + 1; k < ids.size(); ++k) {
        CAPTURE(i);
        CAPTURE(k);
        const auto a = make({"THING", ids[i]});
        const auto b = make({"THING", ids[k]});
        CHECK(a < b);
        CHECK_FALSE(b.starts_with(a));
      }
  // A binding is no prefix of a longer one either, whatever the id.
  CHECK_FALSE(keys::object({"AB", "x"}).starts_with(keys::object({"A", "Bx"})));
  CHECK(keys::object({"A", "z"}) < keys::object({"AB", "a"}));
}

TEST_CASE("keys: the inbox of one object is in order of ids and apart from every other inbox") {
  CHECK(keys::inbox({"A", "x"}, 1) < keys::inbox({"A", "x"}, 2));
  CHECK(keys::inbox({"A", "x"}, 255) < keys::inbox({"A", "x"}, 256));
  CHECK(keys::inbox({"A", "x"}, ~std::uint64_t{0}) < keys::inbox({"A", "x\0"s}, 0));
  CHECK(keys::inbox({"A", "x"}, ~std::uint64_t{0}) < keys::inbox({"A", "y"}, 0));
}

TEST_CASE("keys: the queue is ordered by priority, then due time, then id") {
  const auto at = [](fetch_priority priority, std::int64_t due_ms, std::uint64_t id) {
    return keys::queue("", priority, due_ms, id);
  };
  CHECK(at(fetch_priority::high, 1'700'000'000'000, 9) < at(fetch_priority::normal, 1, 1));
  CHECK(at(fetch_priority::normal, 9, 9) < at(fetch_priority::low, 1, 1));
  CHECK(at(fetch_priority::normal, 255, 9) < at(fetch_priority::normal, 256, 1));
  CHECK(at(fetch_priority::normal, 255, 255) < at(fetch_priority::normal, 255, 256));
  CHECK(keys::deadline(255, 9) < keys::deadline(256, 1));
}

TEST_CASE("keys: each named queue is a range of its own, ordered as the default one, whatever the names "
          "begin with") {
  const std::vector<std::string> queues{"A", "AB", "A_", "Z",
                                        "_", "a",  "aa", "b"}; // in the order of their bytes
  std::vector<std::string> rows;
  for (const auto& name : queues)
    for (auto priority : {fetch_priority::high, fetch_priority::normal, fetch_priority::low})
      for (std::int64_t due_ms : {255, 256})
        for (std::uint64_t id : {std::uint64_t{0}, ~std::uint64_t{0}})
          rows.push_back(keys::queue(name, priority, due_ms, id));
  CHECK(std::is_sorted(rows.begin(), rows.end()));
  CHECK(std::adjacent_find(rows.begin(), rows.end()) == rows.end());
  for (const auto& name : queues)
    for (auto priority : {fetch_priority::high, fetch_priority::normal, fetch_priority::low}) {
      const auto range = keys::queue_of(name, priority);
      for (const auto& row : rows) {
        const auto parts = keys::parse_queue(row);
        REQUIRE(parts);
        CHECK(holds(range, row) == (parts->queue == name && parts->priority == priority));
      }
      CHECK_FALSE(holds(range, keys::queue("", priority, 255, 1)));
      CHECK_FALSE(holds(keys::queue_of("", priority), keys::queue(name, priority, 255, 1)));
    }
}

TEST_CASE("keys: from one named queue to the next, past all rows of the first") {
  const std::vector<std::string> queues{"A", "AB", "A_", "Z", "_", "a", "aa", "b"};
  std::vector<std::string> rows;
  for (const auto& name : queues) {
    rows.push_back(keys::queue(name, fetch_priority::high, 0, 0));
    rows.push_back(keys::queue(name, fetch_priority::low, 1'700'000'000'000, ~std::uint64_t{0}));
  }
  std::vector<std::string> found;
  std::string from = "N";
  for (auto at = rows.begin(); at != rows.end(); at = std::lower_bound(rows.begin(), rows.end(), from)) {
    const auto name = keys::queue_name(*at);
    REQUIRE(name);
    found.push_back(*name);
    from = keys::behind_queue(*name);
  }
  CHECK(found == queues);
  for (const auto& nonsense :
       {""s, "N"s, "NA"s, "N\0"s, "Nnot a name\0"s, "QA\0"s, "N" + std::string(65, 'a') + '\0'})
    CHECK_FALSE(keys::queue_name(nonsense));
}

TEST_CASE(
    "keys: the rows of one signal are together, in order of the fetches, and apart from every other's") {
  const std::uint64_t most = ~std::uint64_t{0};
  const std::vector<abort_id> signals{{0, 0},   {0, 1},   {0, most},        {1, 0},
                                      {255, 7}, {256, 7}, {most, most - 1}, {most, most}};
  std::vector<std::string> rows;
  for (const auto& id : signals)
    for (std::uint64_t fetch : {std::uint64_t{0}, std::uint64_t{255}, std::uint64_t{256}, most})
      rows.push_back(keys::signal(id, fetch));
  CHECK(std::is_sorted(rows.begin(), rows.end()));
  CHECK(std::adjacent_find(rows.begin(), rows.end()) == rows.end());
  for (std::size_t i = 0; i < signals.size(); ++i) {
    CAPTURE(i);
    for (std::size_t row = 0; row < rows.size(); ++row)
      CHECK(holds(keys::signal_of(signals[i]), rows[row]) == (row / 4 == i));
    CHECK(holds(keys::all('G'), rows[4 * i]));
    CHECK(holds(keys::all('S'), keys::abort_mark(signals[i])));
    CHECK_FALSE(holds(keys::signal_of(signals[i]), keys::abort_mark(signals[i])));
  }
  for (std::size_t i = 1; i < signals.size(); ++i)
    CHECK(keys::abort_mark(signals[i - 1]) < keys::abort_mark(signals[i]));
  CHECK(keys::parse_signal(keys::signal({1, 2}, 0xfedcba9876543210)) == 0xfedcba9876543210);
}

TEST_CASE("keys: jars are told apart by object and by name, NUL bytes included") {
  std::vector<std::string> rows;
  for (const auto& id : ids)
    for (const auto& name : ids)
      rows.push_back(keys::jar({"THING", id}, name));
  for (const auto& row : rows)
    CHECK(holds(keys::all('C'), row));
  std::sort(rows.begin(), rows.end());
  CHECK(std::adjacent_find(rows.begin(), rows.end()) == rows.end());
  CHECK(keys::jar({"A", "x"}, "y") != keys::jar({"A", "xy"}, ""));
  CHECK(keys::jar({"A", "x"}, "b") < keys::jar({"A", "y"}, "a"));
}

TEST_CASE(
    "keys: the rows of one object's storage are in the order of their keys and apart from every other's") {
  const std::vector<std::string> user_keys{""s,  "\0"s,  "\0\xff"s, "\x01"s,
                                           "a"s, "a\0"s, "\xff"s,   std::string(2048, '\xff')};
  for (const auto& id : ids) {
    const auto own = keys::storage_of({"THING", id});
    for (std::size_t i = 0; i < user_keys.size(); ++i) {
      const auto key = keys::storage_row({"THING", id}, user_keys[i]);
      CHECK(holds(own, key));
      CHECK(key == own.first + user_keys[i]);
      if (i > 0) CHECK(keys::storage_row({"THING", id}, user_keys[i - 1]) < key);
      for (const auto& other : ids)
        if (other != id) CHECK_FALSE(holds(keys::storage_of({"THING", other}), key));
    }
  }
}

TEST_CASE("keys: schedules are ordered by their due time, and those of one object are together") {
  CHECK(keys::due(255, 9) < keys::due(256, 1));
  CHECK(keys::due(255, 1) < keys::due(255, 2));
  const std::uint64_t most = ~std::uint64_t{0};
  std::vector<std::pair<std::string, std::string>> rows; // instance id, key
  for (const auto& id : ids)
    for (const auto& which :
         {dormouse::schedule_id{0, {}}, dormouse::schedule_id{most, {}}, dormouse::schedule_id{7, "\0"s},
          dormouse::schedule_id{7, "daily"}, dormouse::schedule_id{7, "\xff\xff\xff"}}) {
      rows.emplace_back(id, keys::schedule({"THING", id}, which));
      const auto parts = keys::parse_schedule(rows.back().second);
      REQUIRE(parts);
      CHECK(parts->where == address{"THING", id});
      CHECK(parts->id == (which.name.empty() ? which : dormouse::schedule_id{0, which.name}));
    }
  for (const auto& id : ids)
    for (const auto& [whose, row] : rows)
      CHECK(holds(keys::schedules_of({"THING", id}), row) == (whose == id));
  CHECK_FALSE(holds(keys::schedules_of({"THING", "x"}), keys::schedule({"THINGS", "x"}, {1, {}})));
  CHECK(keys::schedule({"A", "x"}, {1, "n"}) == keys::schedule({"A", "x"}, {2, "n"})); // a name is there once
  const auto due = keys::parse_due(keys::due(1'700'000'000'123, 0xfedcba9876543210));
  REQUIRE(due);
  CHECK(due->due_ms == 1'700'000'000'123);
  CHECK(due->number == 0xfedcba9876543210);
}

TEST_CASE("keys: what is written is parsed back") {
  for (const auto& id : ids)
    for (std::uint64_t number :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x0102030405060708}, ~std::uint64_t{0}}) {
      const address where{"THING", id};
      const auto parts = keys::parse_inbox(keys::inbox(where, number));
      REQUIRE(parts);
      CHECK(parts->where == where);
      CHECK(parts->id == number);
    }
  for (auto priority : {fetch_priority::high, fetch_priority::normal, fetch_priority::low}) {
    const auto parts = keys::parse_queue(keys::queue("", priority, 1'700'000'000'123, 0xfedcba9876543210));
    REQUIRE(parts);
    CHECK(parts->priority == priority);
    CHECK(parts->due_ms == 1'700'000'000'123);
    CHECK(parts->id == 0xfedcba9876543210);
  }
  for (const std::string name : {"a", "_", "bulk_2", "Q", "N"}) {
    const auto parts =
        keys::parse_queue(keys::queue(name, fetch_priority::low, 1'700'000'000'123, 0xfedcba9876543210));
    REQUIRE(parts);
    CHECK(parts->queue == name);
    CHECK(parts->priority == fetch_priority::low);
    CHECK(parts->due_ms == 1'700'000'000'123);
    CHECK(parts->id == 0xfedcba9876543210);
  }
  CHECK(keys::parse_attempt(keys::attempt(0xfedcba9876543210)) == 0xfedcba9876543210);
  const auto late = keys::parse_deadline(keys::deadline(1'700'000'000'123, 42));
  REQUIRE(late);
  CHECK(late->deadline_ms == 1'700'000'000'123);
  CHECK(late->id == 42);
}

TEST_CASE("R21: a malformed key is refused, whatever its length") {
  const auto refused = [](const std::string& key, auto parse) {
    for (std::size_t bytes = 0; bytes < key.size(); ++bytes) {
      CAPTURE(bytes);
      CHECK_FALSE(parse(std::string_view(key).substr(0, bytes)));
    }
    CHECK_FALSE(parse(key + "x"));
    auto of_another_kind = key;
    of_another_kind[0] = 'X';
    CHECK_FALSE(parse(of_another_kind));
  };
  refused(keys::inbox({"THING", "a\0b"s}, 7),
          [](std::string_view key) { return keys::parse_inbox(key).has_value(); });
  refused(keys::queue("", fetch_priority::normal, 7, 7),
          [](std::string_view key) { return keys::parse_queue(key).has_value(); });
  refused(keys::queue("bulk", fetch_priority::normal, 7, 7),
          [](std::string_view key) { return keys::parse_queue(key).has_value(); });
  refused(keys::deadline(7, 7), [](std::string_view key) { return keys::parse_deadline(key).has_value(); });
  refused(keys::attempt(7), [](std::string_view key) { return keys::parse_attempt(key).has_value(); });
  refused(keys::due(7, 7), [](std::string_view key) { return keys::parse_due(key).has_value(); });
  // What follows a name in the key of a schedule is more of the name.
  const auto numbered = keys::schedule({"THING", "a\0b"s}, {7, {}});
  for (std::size_t bytes = 0; bytes < numbered.size(); ++bytes)
    CHECK_FALSE(keys::parse_schedule(std::string_view(numbered).substr(0, bytes)));
  CHECK_FALSE(keys::parse_schedule(numbered + "x"));
  CHECK_FALSE(keys::parse_schedule(keys::schedule({"THING", "a"}, {0, "x"}).substr(0, 11))); // no name
  auto of_no_kind = numbered;
  of_no_kind[of_no_kind.size() - 9] = 2;
  CHECK_FALSE(keys::parse_schedule(of_no_kind));
  refused(keys::signal({7, 7}, 7), [](std::string_view key) { return keys::parse_signal(key).has_value(); });

  auto no_such_priority = keys::queue("", fetch_priority::low, 7, 7);
  no_such_priority[1] = 3;
  CHECK_FALSE(keys::parse_queue(no_such_priority));
  // A time before 1970 is never written.
  for (auto key : {keys::queue("", fetch_priority::low, 7, 7), keys::queue("slow", fetch_priority::low, 7, 7),
                   keys::deadline(7, 7), keys::due(7, 7)}) {
    CAPTURE(key);
    key[key.size() - 16] = '\x80';
    CHECK_FALSE(keys::parse_queue(key));
    CHECK_FALSE(keys::parse_deadline(key));
    CHECK_FALSE(keys::parse_due(key));
  }
  no_such_priority = keys::queue("bulk", fetch_priority::low, 7, 7);
  no_such_priority[6] = 3;
  CHECK_FALSE(keys::parse_queue(no_such_priority));
  CHECK_FALSE(keys::parse_queue(
      "N\0"s + keys::queue("", fetch_priority::low, 7, 7).substr(1))); // a queue without a name
  CHECK_FALSE(keys::parse_queue("Nno name\0"s + keys::queue("", fetch_priority::low, 7, 7).substr(1)));
  // A NUL inside an id is followed by FF, at its end by 01, and by nothing else.
  CHECK_FALSE(keys::parse_inbox("ITHING\0a\0\x02"s + std::string(8, '\0')));
}

TEST_CASE("keys: the rows of an object, and the objects of a binding whose ids have a prefix, are ranges") {
  const address of{"THING", "a\0b"s};
  for (const char kind : "KCHTJUY"s) {
    const auto rows = keys::rows_of(kind, of);
    CHECK(holds(rows, rows.first));
    CHECK(holds(rows, rows.first + "\xff\xff"));
    for (const auto& other : {"a"s, "a\0"s, "a\0b\0"s, "a\0bc"s, "a\x01"s, "b"s})
      CHECK_FALSE(holds(rows, keys::rows_of(kind, {"THING", other}).first));
  }
  CHECK(keys::storage_of(of) == keys::rows_of('K', of));
  CHECK(holds(keys::rows_of('C', of), keys::jar(of, "jar")));

  CHECK(keys::parse_object(keys::object(of)) == of);
  CHECK_FALSE(keys::parse_object(keys::object(of) + "x"));
  CHECK_FALSE(keys::parse_object(keys::jar(of, "")));
  for (const auto& [prefix, id, expected] :
       std::vector<std::tuple<std::string, std::string, bool>>{{"", "x", true},
                                                               {"a", "a", true},
                                                               {"a", "a\0b"s, true},
                                                               {"a\0"s, "a\0b"s, true},
                                                               {"a\0"s, "a", false},
                                                               {"a\0"s, "a\x01", false},
                                                               {"a", "\0a"s, false},
                                                               {"a", "b", false},
                                                               {"a", "a\xf4\x8f\xbf\xbf", true}}) {
    const auto& this_prefix = prefix; // clang 14 captures no structured binding
    CAPTURE(this_prefix);
    const auto& this_id = id; // clang 14 captures no structured binding
    CAPTURE(this_id);
    CHECK(holds(keys::objects_of("THING", prefix), keys::object({"THING", id})) == expected);
    CHECK_FALSE(holds(keys::objects_of("THING", prefix), keys::object({"THINGS", id})));
  }
}

TEST_CASE("keys: a range holds its own rows and no others") {
  CHECK(holds(keys::inbox_of("AB"), keys::inbox({"AB", "\0"s}, 0)));
  CHECK(holds(keys::inbox_of("AB"), keys::inbox({"AB", "\xf4\x8f\xbf\xbf"}, ~std::uint64_t{0})));
  for (const std::string other : {"A", "ABC", "AB_", "AC", "B"})
    CHECK_FALSE(holds(keys::inbox_of("AB"), keys::inbox({other, "x"}, 1)));

  const auto high = keys::queue("", fetch_priority::high, 0, 0);
  const auto normal = keys::queue("", fetch_priority::normal, 1'700'000'000'000, ~std::uint64_t{0});
  const auto low = keys::queue("", fetch_priority::low, 0, 0);
  CHECK(holds(keys::queue_of("", fetch_priority::high), high));
  CHECK_FALSE(holds(keys::queue_of("", fetch_priority::high), normal));
  CHECK(holds(keys::queue_of("", fetch_priority::normal), normal));
  CHECK_FALSE(holds(keys::queue_of("", fetch_priority::normal), high));
  CHECK_FALSE(holds(keys::queue_of("", fetch_priority::normal), low));
  CHECK(holds(keys::queue_of("", fetch_priority::low), low));

  const std::vector<std::string> rows{keys::attempt(~std::uint64_t{0}),
                                      keys::blob(1, 'q'),
                                      keys::jar({"A", "x"}, "y"),
                                      keys::dead_letter(1),
                                      keys::deadline(1, 1),
                                      keys::signal({1, 1}, 1),
                                      keys::inbox({"A", "x"}, 1),
                                      keys::store_info(),
                                      keys::queue("bulk", fetch_priority::high, 0, 0),
                                      keys::object({"A", "x"}),
                                      high,
                                      keys::abort_mark({1, 1}),
                                      keys::schedule({"A", "x"}, {1, {}}),
                                      keys::due(1, 1),
                                      keys::death_record({"A", "x"}, 1, 1)};
  const std::string kinds = "ABCDEGIMNOQSHWX";
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      CAPTURE(kinds[k]);
      CHECK(holds(keys::all(kinds[k]), rows[i]) == (i == k));
    }
  CHECK(keys::blob(1, 'q') != keys::blob(1, 'r'));
}

TEST_CASE("R22: the key of a death record says whose it is, and is read back") {
  using namespace std::string_literals;
  CHECK(keys::death_record({"AB", "x"}, 3, 0x0102) == "XAB\0x\0\x01\x03\0\0\0\0\0\0\x01\x02"s);
  for (const auto& id : ids) {
    const auto key = keys::death_record({"THING", id}, 4, ~std::uint64_t{0});
    CHECK(holds(keys::rows_of('X', {"THING", id}), key));
    const auto parts = keys::parse_death_record(key);
    REQUIRE(parts);
    CHECK(parts->where == address{"THING", id});
    CHECK(parts->kind == 4);
    CHECK(parts->number == ~std::uint64_t{0});
    CHECK_FALSE(keys::parse_death_record(key.substr(0, key.size() - 1)));
    CHECK_FALSE(keys::parse_death_record(key + '\0'));
    CHECK_FALSE(keys::parse_death_record('I' + key.substr(1)));
  }
}

} // namespace dormouse::test::keys_test
