// What an earlier program stored, a later one reads: states, and names that have changed. And what a later
// one stored, an earlier one leaves alone.

#include "disk.hpp"
#include "eventually.hpp"
#include "memory_engine.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"
#include "store/renaming.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dormouse::test::evolution_test {
namespace {

constexpr auto closed_port = "http://127.0.0.1:1/";

/// The cart of three programs, one after the other.
class cart_0 : public durable_object {
public:
  void add(std::string item) { items_.push_back(std::move(item)); }
  std::vector<std::string> items() const { return items_; }

  template <class Archive> void serialize(Archive& ar) { ar(items_); }
  using methods = dormouse::methods<"CART", method<"add", &cart_0::add>, method<"items", &cart_0::items>>;

private:
  std::vector<std::string> items_;
};

class cart_1 : public durable_object {
public:
  void add(std::string item) { ++items_[item]; }
  std::map<std::string, int> items() const { return items_; }
  void put_row() { storage().put("row", 1); }

  /// Items were a list, and could be there twice.
  template <class Archive> void serialize(Archive& ar, std::uint32_t version) {
    if (version >= 1) return static_cast<void>(ar(items_));
    std::vector<std::string> list;
    ar(list);
    for (const auto& each : list)
      ++items_[each];
  }
  using methods = dormouse::methods<"CART", method<"add", &cart_1::add>, method<"items", &cart_1::items>,
                                    method<"put_row", &cart_1::put_row>>;

private:
  std::map<std::string, int> items_;
};

class cart_7 : public durable_object {
public:
  void name(std::string name) { name_ = std::move(name); }
  std::string get() const { return name_; }
  void add(std::string item) { name_ += item; }

  template <class Archive> void serialize(Archive& ar, std::uint32_t) { ar(name_); }
  using methods = dormouse::methods<"CART", method<"name", &cart_7::name>, method<"get", &cart_7::get>,
                                    method<"add", &cart_7::add>>;

private:
  std::string name_;
};

struct fixture {
  scratch_directory directory;
  std::shared_ptr<storage_valve> valve = std::make_shared<storage_valve>();

  runtime open() {
    return runtime({.directory = directory.path(), .allow = {"127.0.0.1:1"}, .proxy_workers = 1},
                   ports{.wrap_engine = valve->wrap(), .wrap_transport = {}});
  }
  std::map<std::string, std::string> rows() {
    disk of(directory.path());
    std::map<std::string, std::string> all;
    for (const char kind : std::string("OKCI"))
      for (auto& row : of.rows(kind))
        all.insert(row);
    return all;
  }
};

} // namespace

} // namespace dormouse::test::evolution_test

CEREAL_CLASS_VERSION(dormouse::test::evolution_test::cart_1, 1)
CEREAL_CLASS_VERSION(dormouse::test::evolution_test::cart_7, 7)

namespace dormouse::test::evolution_test {

TEST_CASE_FIXTURE(
    fixture,
    "R18: a state that an earlier version of the class stored is loaded, and written as the present one") {
  const auto state_version = [this] {
    const auto row = disk(directory.path()).rows('O').begin()->second;
    return decode<object_facts>(row.substr(frame_header_bytes, encode(object_facts{}).size()))->state_version;
  };
  {
    auto running = open();
    running.define<cart_0>();
    for (const auto* item : {"pen", "ink", "pen"})
      value_of(running.get<cart_0>("c").call<&cart_0::add>(item));
  }
  CHECK(state_version() == 0);
  const std::map<std::string, int> expected{{"ink", 1}, {"pen", 2}};
  {
    auto running = open();
    running.define<cart_1>();
    CHECK(value_of(running.get<cart_1>("c").call<&cart_1::items>()) == expected);
  }
  CHECK(state_version() == 0); // to read is not to write
  {
    auto running = open();
    running.define<cart_1>();
    value_of(running.get<cart_1>("c").call<&cart_1::put_row>());
  }
  CHECK(state_version() == 1);
  auto running = open();
  running.define<cart_1>();
  CHECK(value_of(running.get<cart_1>("c").call<&cart_1::items>()) == expected);
}

TEST_CASE_FIXTURE(fixture, "R18: a state of format 1 has version 0") {
  { auto running = open(); }
  disk(directory.path())
      .put(keys::object({"CART", "c"}), seal(frame_type::object, encode(std::vector<std::string>{"pen"})));
  auto running = open();
  running.define<cart_1>();
  CHECK(value_of(running.get<cart_1>("c").call<&cart_1::items>()) == std::map<std::string, int>{{"pen", 1}});
}

TEST_CASE_FIXTURE(
    fixture, "R18: a state of a later version is refused by name, and nothing of the object is overwritten") {
  {
    auto running = open();
    running.define<cart_7>();
    value_of(running.get<cart_7>("c").call<&cart_7::name>("mine"));
  }
  disk(directory.path())
      .put(keys::inbox({"CART", "c"}, 1),
           seal_value(frame_type::post, post_message{"add", encode(std::string("pen"))}));
  const auto before = rows();
  {
    auto running = open();
    running.define<cart_1>();
    for (const auto& why : {error_of(running.get<cart_1>("c").call<&cart_1::items>()),
                            error_of(running.get<cart_1>("c").call<&cart_1::add>("pen"))}) {
      CHECK(why.code == errc::newer_format);
      CHECK_MESSAGE(why.message == "the stored state of object CART/c does not load: it has version 7; this "
                                   "program's class knows up to 1",
                    why.message);
    }
    CHECK(eventually([&] { return running.stats().pending_messages == 0; })); // the one in the inbox
    CHECK(running.stats().dead_letters == 0);
    CHECK(running.stats().turns == 0);
    value_of(running.get<cart_1>("another").call<&cart_1::add>("pen"));
  }
  auto after = rows();
  CHECK(after.erase(keys::object({"CART", "another"})) == 1);
  CHECK(after == before);
  auto running = open();
  running.define<cart_7>();
  CHECK(eventually([&] { return value_of(running.get<cart_7>("c").call<&cart_7::get>()) == "minepen"; }));
}

namespace {

/// Two names of one class, and two of its binding.
class desk : public durable_object {
public:
  void take(std::string what) {
    taken_.push_back(what);
    storage().put("row/" + what, 1);
    browser().set_cookie("name", what, {.url = "http://example.com/"});
  }

  template <class Archive> void serialize(Archive& ar) { ar(taken_); }
  using methods = dormouse::methods<"DESK", method<"take", &desk::take>>;

private:
  std::vector<std::string> taken_;
};

template <class Present> class bureau : public durable_object {
public:
  void receive(std::string what) { taken_.push_back(what); }
  void on_answer(fetch_result page) {
    taken_.push_back(page ? "page" : std::string(to_string(page.error().code)));
  }
  std::vector<std::string> taken() const { return taken_; }
  std::uint64_t rows() const { return storage().template list<int>({.prefix = "row/"}).size(); }
  std::uint64_t cookie_count() const { return cookies().size(); }

  template <class Archive> void serialize(Archive& ar) { ar(taken_); }

private:
  std::vector<std::string> taken_;
};

class new_methods : public bureau<new_methods> {
public:
  void take_in(std::string what) { receive(std::move(what)); }
  void on_response(fetch_result page) { on_answer(std::move(page)); }
  std::vector<std::string> all() const { return taken(); }
  using methods =
      dormouse::methods<"DESK", method<"take_in", &new_methods::take_in, renamed_from<"accept", "take">>,
                        method<"on_response", &new_methods::on_response, renamed_from<"on_page">>,
                        method<"all", &new_methods::all>>;
};

class new_binding : public bureau<new_binding> {
public:
  void take(std::string what) { receive(std::move(what)); }
  void on_page(fetch_result page) { on_answer(std::move(page)); }
  std::vector<std::string> all() const { return taken(); }
  std::uint64_t row_count() const { return rows(); }
  std::uint64_t cookies_in_all() const { return cookie_count(); }
  using methods =
      dormouse::methods<"BUREAU", renamed_from<"ESCRITOIRE", "DESK">, method<"take", &new_binding::take>,
                        method<"on_page", &new_binding::on_page>, method<"all", &new_binding::all>,
                        method<"row_count", &new_binding::row_count>,
                        method<"cookies_in_all", &new_binding::cookies_in_all>>;
};

/// Claims the same old name.
class office : public durable_object {
public:
  void open() {}
  using methods = dormouse::methods<"OFFICE", renamed_from<"DESK">, method<"open", &office::open>>;
};

using texts = std::vector<std::string>;

/// The object `it`, with something in its inbox, a fetch under way, and a dead letter, as the earlier program
/// left them.
struct renaming_fixture : fixture {
  renaming_fixture() {
    {
      auto running = open();
      running.define<desk>();
      value_of(running.get<desk>("it").call<&desk::take>("first"));
      value_of(running.get<desk>("another").call<&desk::take>("other"));
    }
    const auto post = [](std::string what) {
      return seal_value(frame_type::post, post_message{"take", encode(std::move(what))});
    };
    disk of(directory.path());
    of.put(keys::inbox({"DESK", "it"}, 2), post("posted"));
    fetch_message asked;
    asked.id = 3;
    asked.method = "GET";
    asked.url = closed_port;
    asked.timeout_ms = 10'000;
    asked.retry.max_retries = 0;
    value_or_throw(asked.path.push({{"DESK", "it"}, "on_page", {}}));
    of.put(keys::queue("", asked.priority, 1, asked.id), seal_value(frame_type::fetch, asked));
    of.put(keys::dead_letter(1),
           seal_value(frame_type::dead_letter,
                      dead_letter{keys::inbox({"DESK", "it"}, 1), post("dead"), "as the test wants it", 7}));
  }
};

template <class T> bool came(runtime& running, const texts& expected) {
  return eventually([&] {
    auto all = value_of(running.get<T>("it").template call<&T::all>());
    std::sort(all.begin(), all.end());
    return all == expected;
  });
}

} // namespace

TEST_CASE_FIXTURE(
    renaming_fixture,
    "methods are found by the names that they had before, in inboxes, return paths and dead letters") {
  auto running = open();
  running.define<new_methods>();
  CHECK(came<new_methods>(running, {"NETWORK_ERROR", "first", "posted"}));
  running.dead_letters().retry(1);
  CHECK(came<new_methods>(running, {"NETWORK_ERROR", "dead", "first", "posted"}));
  value_of(running.get({"DESK", "it"}).call<void>("accept", std::string("untyped")));
  value_of(running.get<new_methods>("it").post<&new_methods::take_in>("new"));
  CHECK(came<new_methods>(running, {"NETWORK_ERROR", "dead", "first", "new", "posted", "untyped"}));
  CHECK(running.stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(renaming_fixture, "objects under the old name of a binding are there under the new one, "
                                    "with all that was under way to them") {
  {
    auto running = open();
    running.define<new_binding>();
    CHECK(came<new_binding>(running, {"NETWORK_ERROR", "first", "posted"}));
    CHECK(value_of(running.get<new_binding>("it").call<&new_binding::row_count>()) == 1);
    CHECK(value_of(running.get<new_binding>("it").call<&new_binding::cookies_in_all>()) == 1);
    CHECK(running.dead_letters().list().at(0).object == address{"BUREAU", "it"});
    running.dead_letters().retry(1);
    CHECK(came<new_binding>(running, {"NETWORK_ERROR", "dead", "first", "posted"}));
    CHECK(value_of(running.get({"DESK", "it"}).call<texts>("all")).size() ==
          4); // an address that somebody has kept
    create_proxy_fetch(running.queue(), {.return_address = {"BUREAU", "it"}})(closed_port,
                                                                              {.retry = {.max_retries = 0}})
        .then<&new_binding::on_page>();
    CHECK(came<new_binding>(running, {"NETWORK_ERROR", "NETWORK_ERROR", "dead", "first", "posted"}));
    CHECK(running.objects<new_binding>().ids == texts{"another", "it"});
    CHECK(running.objects("DESK").ids.empty());
  }
  for (const auto& [key, value] : rows())
    CHECK(key.substr(1, 7) == std::string("BUREAU\0", 7));
  auto running = open();
  running.define<new_binding>();
  CHECK(value_of(running.get<new_binding>("another").call<&new_binding::all>()) == texts{"other"});
}

TEST_CASE_FIXTURE(renaming_fixture, "R3: a rename that fails half way goes on the next time") {
  {
    auto running = open();
    valve->fail_writes([](const write_op& op) { return op.value && op.key.starts_with("OBUREAU"); });
    CHECK(error_thrown_by([&] { running.define<new_binding>(); }).code == errc::storage_error);
    CHECK(error_thrown_by([&] { (void)running.get<new_binding>("it"); }).code == errc::unknown_binding);
    valve->heal();
    running.define<new_binding>();
    CHECK(came<new_binding>(running, {"NETWORK_ERROR", "first", "posted"}));
  }
  auto running = open();
  running.define<new_binding>();
  CHECK(value_of(running.get<new_binding>("another").call<&new_binding::all>()) == texts{"other"});
}

TEST_CASE_FIXTURE(renaming_fixture, "a rename is refused where an object is there under both names, and "
                                    "where another class has one of them") {
  const auto refused = [](const auto& what, const std::string& text) {
    const auto why = error_thrown_by(what);
    CHECK(why.code == errc::invalid_binding);
    CHECK_MESSAGE(contains(why.message, text), why.message);
  };
  const auto objects = [this] {
    texts out;
    for (const auto& [key, value] : disk(directory.path()).rows('O'))
      out.push_back(key);
    return out;
  };
  const auto untouched = objects();
  {
    auto running = open();
    refused([&] { running.define<desk, new_binding>(); },
            "binding 'DESK', an old name of 'BUREAU', is a name of 'DESK' too");
    refused([&] { running.define<new_binding, desk>(); }, "'DESK', an old name of 'BUREAU'");
    refused([&] { running.define<new_binding, office>(); },
            "binding 'DESK', an old name of 'OFFICE', is a name of 'BUREAU' too");
  }
  CHECK(objects() == untouched);
  {
    auto running = open();
    running.define<desk>();
    refused([&] { running.define<new_binding>(); },
            "binding 'DESK', the old name of 'BUREAU', is defined by another class");
  }
  {
    auto running = open();
    running.define<new_binding>();
    refused([&] { running.define<desk>(); }, "binding 'DESK' is an old name of another class");
    refused([&] { running.define<office>(); }, "is an old name of another class that is defined");
  }
  disk(directory.path()).put(keys::object({"DESK", "it"}), seal(frame_type::object, encode(texts{})));
  const auto before = rows();
  {
    auto running = open();
    refused([&] { running.define<new_binding>(); }, "object DESK/it is there under both names");
  }
  CHECK(rows() == before);
}

TEST_CASE("R3: a rename moves every row of the objects in batches, and a row with what points to it in one") {
  scratch_directory directory;
  auto engine = std::make_unique<memory_engine>();
  auto* kept = engine.get();
  const auto valve = std::make_shared<storage_valve>();
  auto rows = value_or_throw(store::open(valve->wrap()(std::move(engine)), directory.path(), 1024));
  const std::string large(300'000, 'v');
  write_set writes;
  memory_engine::rows expected;
  for (const char kind : std::string("IKCHTJUYO"))
    for (const auto* id : {"a", "b", "c"}) {
      writes.push_back({keys::rows_of(kind, {"OLD", id}).first + "rest", large});
      expected.emplace(keys::rows_of(kind, {"NEW", id}).first + "rest", large);
      for (const auto* other : {"OL", "OLDER"}) {
        writes.push_back({keys::rows_of(kind, {other, id}).first, "other"});
        expected.emplace(keys::rows_of(kind, {other, id}).first, "other");
      }
    }
  writes.push_back({"W1", keys::rows_of('H', {"OLD", "b"}).first + "rest"});
  writes.push_back({"W2", keys::rows_of('H', {"OLDER", "b"}).first});
  writes.push_back({"W3", keys::rows_of('H', {"OLD", "gone"}).first});
  expected.emplace("W1", keys::rows_of('H', {"NEW", "b"}).first + "rest");
  expected.emplace("W2", keys::rows_of('H', {"OLDER", "b"}).first);
  expected.emplace("W3", keys::rows_of('H', {"NEW", "gone"}).first);
  const write_set* sets[] = {&writes};
  REQUIRE(kept->write(sets));
  REQUIRE(check_renaming(*rows, "OLD", "NEW"));
  const auto batches = kept->batches().size();
  int moved_together = 0;
  valve->watch_sets([&](const write_set& set) {
    const auto has = [&set](const std::string& key) {
      return std::any_of(set.begin(), set.end(), [&key](const write_op& op) { return op.key == key; });
    };
    if (!has("W1")) return;
    CHECK(has(keys::rows_of('H', {"NEW", "b"}).first + "rest")); // what it points to
    ++moved_together;
  });
  REQUIRE(move_objects(*rows, "OLD", "NEW"));
  CHECK(kept->batches().size() - batches >= 6); // 7 MB
  CHECK(moved_together == 1);
  auto all = kept->all();
  CHECK(all.erase(keys::store_info()) == 1);
  CHECK(all == expected);
  REQUIRE(move_objects(*rows, "OLD", "NEW"));
  CHECK(all.size() + 1 == kept->all().size());
}

TEST_CASE("the record of an object is what the runtime knows of it and its state, in one frame") {
  scratch_directory directory;
  auto rows = value_or_throw(store::open(std::make_unique<memory_engine>(), directory.path(), 1024));
  write_set writes;
  rows->put_object(writes, {"A", "b"}, {.incarnation = 7, .state_version = 2, .unready_ms = 3}, "state");
  REQUIRE(writes.size() == 1);
  CHECK(writes[0].key == keys::object({"A", "b"}));
  CHECK(writes[0].value == seal(frame_type::object_record,
                                encode(std::uint64_t{7}, std::uint32_t{2}, std::int64_t{3}) + "state"));
}

} // namespace dormouse::test::evolution_test
