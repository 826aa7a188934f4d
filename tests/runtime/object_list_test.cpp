#include "eventually.hpp"
#include "outcome.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse::test::object_list_test {

using namespace std::string_literals;

namespace {

template <fixed_string Binding> class thing : public durable_object {
public:
  void touch() { touched_ = true; }
  bool touched() const { return touched_; }
  std::string make_id() { return unique_id(); }
  void end() { destroy(); }

  template <class Archive> void serialize(Archive& ar) { ar(touched_); }
  using methods =
      dormouse::methods<Binding, method<"touch", &thing::touch>, method<"touched", &thing::touched>,
                        method<"make_id", &thing::make_id>, method<"end", &thing::end>>;

private:
  bool touched_ = false;
};
using thing_a = thing<"THING">;
using thing_b = thing<"THINGS">;

using ids = std::vector<std::string>;

struct fixture {
  scratch_directory directory;
  runtime running{{.directory = directory.path()}};

  fixture() {
    running.define<thing_a>();
    running.define<thing_b>();
  }
  template <class T> void touch(const ids& which) {
    for (const auto& id : which)
      value_of(running.get<T>(id).template call<&T::touch>());
  }
  ids walk(const std::string& prefix, std::size_t limit) const {
    ids all;
    object_list_options next{.prefix = prefix, .limit = limit};
    do {
      const auto page = running.objects("THING", next);
      CHECK(page.ids.size() <= limit);
      CHECK((page.ids.size() == limit || page.cursor.empty()));
      all.insert(all.end(), page.ids.begin(), page.ids.end());
      next.cursor = page.cursor;
    } while (!next.cursor.empty());
    return all;
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture,
                  "objects are listed by binding and prefix, in the order of their bytes, page by page") {
  const ids all{"\0"s,
                "\0\xc3\xbf"s,
                "a",
                "a\0"s,
                "a\0b"s,
                "a\x01",
                "aa",
                "ab",
                "b",
                "\xc3\xa9t\xc3\xa9",
                "\xf4\x8f\xbf\xbf"};
  touch<thing_a>(all);
  touch<thing_b>({"other", "a"});
  CHECK_FALSE(value_of(running.get<thing_a>("only read").call<&thing_a::touched>()));
  struct row {
    std::string prefix;
    ids expected;
  };
  for (const auto& [prefix, expected] : std::vector<row>{{"", all},
                                                         {"a", {"a", "a\0"s, "a\0b"s, "a\x01", "aa", "ab"}},
                                                         {"a\0"s, {"a\0"s, "a\0b"s}},
                                                         {"\0"s, {"\0"s, "\0\xc3\xbf"s}},
                                                         {"ab", {"ab"}},
                                                         {"\xc3", {"\xc3\xa9t\xc3\xa9"}},
                                                         {"abc", {}},
                                                         {"z", {}}}) {
    const auto& this_prefix = prefix; // clang 14 captures no structured binding
    CAPTURE(this_prefix);
    for (const std::size_t limit : {1, 2, 3, 1000})
      CHECK(walk(prefix, limit) == expected);
  }
  CHECK(running.objects<thing_b>().ids == ids{"a", "other"});
  CHECK(running.objects("UNKNOWN").ids.empty());
  CHECK(running.objects("THING", {.prefix = "a", .cursor = "b"}).ids.empty());
}

TEST_CASE_FIXTURE(fixture, "objects that were destroyed are not listed, and a cursor may be one of them") {
  touch<thing_a>({"a", "b", "c"});
  const auto first = running.objects<thing_a>({.limit = 2});
  CHECK(first.ids == ids{"a", "b"});
  value_of(running.get<thing_a>("b").call<&thing_a::end>());
  CHECK(running.objects<thing_a>({.cursor = first.cursor}).ids == ids{"c"});
  CHECK(running.objects<thing_a>().ids == ids{"a", "c"});
}

TEST_CASE_FIXTURE(fixture, "what a list of objects cannot be asked is a named error") {
  for (const std::size_t limit : {0, 10'001}) {
    const auto why = error_thrown_by([&] { (void)running.objects("THING", {.limit = limit}); });
    CHECK(why.code == errc::invalid_request);
    CHECK_MESSAGE(contains(why.message, "object_list_options::limit is 1..10000"), why.message);
  }
  CHECK(error_thrown_by([&] { (void)running.objects("no binding"); }).code == errc::invalid_binding);
  running.stop();
  CHECK(error_thrown_by([&] { (void)running.objects("THING"); }).code == errc::stopped);
}

TEST_CASE_FIXTURE(fixture, "a unique id is 32 hexadecimal digits, another each time, and names an object") {
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i) {
    const auto id = unique_id();
    CHECK(id.size() == 32);
    CHECK(id.find_first_not_of("0123456789abcdef") == std::string::npos);
    CHECK(seen.insert(id).second);
  }
  const auto made = value_of(running.get<thing_a>("maker").call<&thing_a::make_id>());
  CHECK(seen.insert(made).second);
  touch<thing_a>({made});
  CHECK(running.objects<thing_a>({.prefix = made}).ids == ids{made});
}

} // namespace dormouse::test::object_list_test
