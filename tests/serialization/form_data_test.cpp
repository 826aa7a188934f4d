#include <dormouse/serialization/form.hpp>
#include <dormouse/serialization/form_data.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace dormouse::test::form_data_test {

using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

using pairs = std::vector<std::pair<std::string, std::string>>;

/// Names and values in order; a file's is its content.
pairs texts_of(const form_data& from) {
  pairs out;
  for (const auto& [name, value] : from)
    out.emplace_back(name, std::holds_alternative<file>(value) ? std::get<file>(value).text()
                                                               : std::get<std::string>(value));
  return out;
}

} // namespace

TEST_CASE("a form keeps its entries in order and a name more than once") {
  form_data f;
  f.append("a", "1");
  f.append("b", blob("2", "x/y"), "two.txt");
  f.append("a", std::string("3"));
  f.append("c", blob("4"));
  f.append("d", file(blob("5"), "five"));
  f.append("", "\0"sv);
  CHECK(texts_of(f) ==
        pairs{{"a", "1"}, {"b", "2"}, {"a", "3"}, {"c", "4"}, {"d", "5"}, {"", std::string("\0", 1)}});
  CHECK(f.size() == 6);
  CHECK_FALSE(f.empty());
  CHECK(f.get("a") == form_value("1"));
  CHECK(f.get("b") == form_value(file(blob("2", "x/y"), "two.txt")));
  CHECK(f.get("c") == form_value(file(blob("4"), "blob")));
  CHECK(f.get("d") == form_value(file(blob("5"), "five")));
  CHECK_FALSE(f.get("A"));
  CHECK(f.get_all("a") == std::vector<form_value>{"1", "3"});
  CHECK(f.get_all("x").empty());
  CHECK(f.has(""));
  CHECK_FALSE(f.has("A"));
  CHECK(f == form_data{{"a", "1"},
                       {"b", file(blob("2", "x/y"), "two.txt")},
                       {"a", "3"},
                       {"c", file(blob("4"), "blob")},
                       {"d", file(blob("5"), "five")},
                       {"", "\0"s}});
}

TEST_CASE("set replaces all entries of a name at the place of the first") {
  form_data f{{"a", "1"}, {"b", "2"}, {"a", "3"}, {"c", "4"}, {"a", "5"}};
  f.set("a", "new");
  CHECK(texts_of(f) == pairs{{"a", "new"}, {"b", "2"}, {"c", "4"}});
  f.set("b", blob("file"), "name");
  CHECK(f.get("b") == form_value(file(blob("file"), "name")));
  f.set("d", file(blob("last"), "n"));
  f.set("c", "text");
  CHECK(texts_of(f) == pairs{{"a", "new"}, {"b", "file"}, {"c", "text"}, {"d", "last"}});
}

TEST_CASE("erase removes all entries of a name and says how many") {
  form_data f{{"a", "1"}, {"b", "2"}, {"a", "3"}};
  CHECK(f.erase("x") == 0);
  CHECK(f.erase("a") == 2);
  CHECK(texts_of(f) == pairs{{"b", "2"}});
  CHECK(f.erase("b") == 1);
  CHECK(f.empty());
}

TEST_CASE("a name may be that of an entry of the same form") {
  form_data f{{"a", "1"}, {"b", "2"}, {"a", "3"}, {"b", "4"}};
  CHECK(f.erase(f.begin()->name) == 2);
  CHECK(texts_of(f) == pairs{{"b", "2"}, {"b", "4"}});
  f.set(f.begin()->name, std::get<std::string>((f.end() - 1)->value));
  CHECK(texts_of(f) == pairs{{"b", "4"}});
  for (int i = 0; i < 20; ++i) // across reallocations
    f.append(f.begin()->name, std::get<std::string>(f.begin()->value));
  CHECK(f.get_all("b") == std::vector<form_value>(21, "4"));
}

TEST_CASE("an urlencoded form is read as the WHATWG URL parser does") {
  struct row {
    std::string_view body;
    pairs entries;
  };
  for (const auto& at :
       {row{"", {}},
        {"&", {}},
        {"&&&", {}},
        {"a", {{"a", ""}}},
        {"a=", {{"a", ""}}},
        {"=", {{"", ""}}},
        {"=b", {{"", "b"}}},
        {"a=b", {{"a", "b"}}},
        {"a=b=c", {{"a", "b=c"}}},
        {"&a=b&&c=d&", {{"a", "b"}, {"c", "d"}}},
        {"a=1&a=2", {{"a", "1"}, {"a", "2"}}},
        {"a+b=c+d", {{"a b", "c d"}}},
        {"%61%2B=%26%3d%00", {{"a+", std::string("&=\0", 3)}}},
        {"a=%", {{"a", "%"}}},
        {"a=%4", {{"a", "%4"}}},
        {"a=%zz%4g", {{"a", "%zz%4g"}}},
        {"a=%%41", {{"a", "%A"}}},
        // What is not UTF-8: one U+FFFD for each beginning that is cut off, or byte.
        {"a=%C3%BC\xff", {{"a", "\xc3\xbc\xef\xbf\xbd"}}},
        {"%ff=%80%bf", {{"\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd"}}},
        {"a=%e2%82", {{"a", "\xef\xbf\xbd"}}},
        {"a=%e2%82b",
         {{"a", "\xef\xbf\xbd"
                "b"}}},
        {"a=%e2%82%f0%9f%a6%9d%f0%9f%a6", {{"a", "\xef\xbf\xbd\xf0\x9f\xa6\x9d\xef\xbf\xbd"}}},
        {"a=%c0%80", {{"a", "\xef\xbf\xbd\xef\xbf\xbd"}}},
        {"a=%ed%a0%80", {{"a", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}}},
        {"a=%f4%90%80%80", {{"a", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}}},
        {"a=%ef%bb%bfb",
         {{"a", "\xef\xbb\xbf"
                "b"}}}}) { // a byte order mark stays
    CAPTURE(at.body);
    auto read = parse_urlencoded(at.body);
    REQUIRE(read);
    CHECK(texts_of(*read) == at.entries);
  }
}

TEST_CASE("every character comes back from an urlencoded form") {
  std::string all =
      "\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf";
  for (int byte = 0; byte < 128; ++byte)
    all += static_cast<char>(byte);
  auto read = parse_urlencoded(form{{all, all}, {"b", ""}}.encoded());
  REQUIRE(read);
  CHECK(texts_of(*read) == pairs{{all, all}, {"b", ""}});
}

TEST_CASE("R12: an urlencoded form has at most 10000 fields") {
  std::string body;
  for (int i = 0; i < 10'000; ++i)
    body += "a&";
  auto most = parse_urlencoded(body);
  REQUIRE(most);
  CHECK(most->size() == 10'000);
  auto more = parse_urlencoded(body + "a");
  REQUIRE_FALSE(more);
  CHECK(more.error().code == errc::too_large);
  CHECK(more.error().message.find("10000") != std::string::npos);
}

} // namespace dormouse::test::form_data_test
