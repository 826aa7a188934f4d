#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/headers.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse::test::headers_test {

using namespace std::string_view_literals;

namespace {

using fields = std::vector<headers::field>;

fields all_of(const headers& from) { return from.fields(); }

/// What iteration yields.
fields seen_in(const headers& from) { return {from.begin(), from.end()}; }

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

} // namespace

TEST_CASE("a field name is a token of RFC 9110") {
  // Section 5.6.2, byte by byte.
  constexpr std::string_view tchar =
      "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    std::string one(1, static_cast<char>(byte));
    bool allowed = tchar.find(one) != std::string_view::npos;
    CHECK(is_token(one) == allowed);
    CHECK(is_token("a" + one + "b") == allowed);
    CHECK(headers().try_append("X" + one, "v").has_value() == allowed);
  }
  CHECK_FALSE(is_token(""));
  auto refused = headers().try_append("", "v");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::invalid_header);
}

TEST_CASE("a field value has no control character but a tab") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    bool allowed = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
    auto added = headers().try_append("Name", "a" + std::string(1, static_cast<char>(byte)) + "b");
    CHECK(added.has_value() == allowed);
    if (!added) CHECK(added.error().code == errc::invalid_header);
  }
}

TEST_CASE("CR and LF and NUL inside a value are refused with the name and the byte") {
  struct injection {
    std::string_view value;
    std::string_view byte;
  };
  for (const auto& at : {injection{"a\r\nSet-Cookie: x"sv, "0x0d"},
                         {"a\nb"sv, "0x0a"},
                         {"a\rb"sv, "0x0d"},
                         {"a\0b"sv, "0x00"},
                         {"\0"sv, "0x00"},
                         {"\0b"sv, "0x00"},
                         {"a\0"sv, "0x00"},
                         {"a\r\n\0"sv, "0x0d"},
                         {"\r\n\0b"sv, "0x00"}}) {
    CAPTURE(at.value);
    headers h;
    auto refused = h.try_append("X-Name", at.value);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid_header);
    CHECK(contains(refused.error().message, "X-Name"));
    CHECK(contains(refused.error().message, at.byte));
    CHECK(h.empty());
    CHECK_THROWS_AS(h.append("X-Name", at.value), failure);
    CHECK_THROWS_AS(h.set("X-Name", at.value), failure);
    CHECK_THROWS_AS((headers{{"X-Name", std::string(at.value)}}), failure);
    CHECK(h.empty());
  }
}

TEST_CASE("an error text about a header is one short line") {
  auto name = headers().try_append("A\r\nB" + std::string(1'000, 'x') + "\xff", "v");
  REQUIRE_FALSE(name);
  CHECK(contains(name.error().message, R"(A\x0d\x0aB)"));
  CHECK_FALSE(contains(name.error().message, "\n"));
  CHECK(name.error().message.size() < 400);
}

TEST_CASE("a name that could not be in there is refused wherever one is asked for") {
  headers h{{"A", "1"}};
  for (auto bad : {""sv, " A"sv, "A:"sv, "A\r\nB"sv, "A\0"sv, "\xc3\xa4"sv, "a b"sv}) {
    CAPTURE(bad);
    CHECK_THROWS_AS((void)h.get(bad), failure);
    CHECK_THROWS_AS((void)h.get_all(bad), failure);
    CHECK_THROWS_AS((void)h.has(bad), failure);
    CHECK_THROWS_AS(h.erase(bad), failure);
    CHECK_THROWS_AS(h.set(bad, "1"), failure);
  }
  CHECK(h.fields().size() == 1);
  try {
    (void)h.has("A\r\nB");
    FAIL("not refused");
  } catch (const failure& e) {
    CHECK(e.what_failed().code == errc::invalid_header);
    CHECK(contains(e.what_failed().message, R"(header name 'A\x0d\x0aB' is not a token)"));
  }
}

TEST_CASE("names that tell of a secret are known") {
  for (auto secret : {"Authorization"sv, "proxy-authorization"sv, "Cookie"sv, "Set-Cookie"sv, "X-Api-Key"sv,
                      "Idempotency-Key"sv, "X-CSRF-Token"sv, "X-Hub-Signature-256"sv, "x-session-id"sv}) {
    CAPTURE(secret);
    CHECK(is_secret_header(secret));
  }
  for (auto open : {"Accept"sv, "Content-Type"sv, "Location"sv, "User-Agent"sv, "X-Mark"sv}) {
    CAPTURE(open);
    CHECK_FALSE(is_secret_header(open));
  }
}

TEST_CASE("white space around a value is stripped as the WHATWG normalises it") {
  struct row {
    std::string_view given;
    std::string_view kept;
  };
  for (const auto& at : {row{"plain", "plain"},
                         {" a", "a"},
                         {"a ", "a"},
                         {"\t a \t", "a"},
                         {"\r\na\r\n", "a"},
                         {"a\n", "a"},
                         {"a\r", "a"},
                         {"a  b", "a  b"},
                         {"", ""},
                         {" \t\r\n", ""},
                         {"\xc3\xa9", "\xc3\xa9"}}) {
    CAPTURE(at.given);
    headers h;
    REQUIRE(h.try_append("Name", at.given));
    CHECK(h.get("Name") == std::string(at.kept));
  }
}

TEST_CASE("names compare without case and keep the case they came with") {
  headers h{{"Content-Type", "text/html"}};
  for (const auto* name : {"Content-Type", "content-type", "CONTENT-TYPE", "cOnTeNt-TyPe"}) {
    CAPTURE(name);
    CHECK(h.has(name));
    CHECK(h.get(name) == "text/html");
    CHECK(h.get_all(name) == std::vector<std::string>{"text/html"});
  }
  CHECK_FALSE(h.has("Content-Typ"));
  CHECK_FALSE(h.has("Content-Type2"));
  CHECK_FALSE(h.get("Accept"));
  CHECK(all_of(h) == fields{{"Content-Type", "text/html"}});
  // ASCII only: '@' and '`', '[' and '{' differ in the bit that makes a letter small.
  CHECK_FALSE(iequals("^", "~"));
  CHECK_FALSE(iequals("@", "`"));
  CHECK_FALSE(iequals("a", "ab"));
  CHECK(iequals("", ""));
}

TEST_CASE("fields keep their order and get joins the values of one name") {
  headers h{{"B", "1"}, {"A", "2"}, {"b", "3"}, {"B", ""}};
  h.append("C", "4");
  CHECK(all_of(h) == fields{{"B", "1"}, {"A", "2"}, {"b", "3"}, {"B", ""}, {"C", "4"}});
  CHECK(h.get("b") == "1, 3, ");
  CHECK(h.get_all("b") == std::vector<std::string>{"1", "3", ""});
  CHECK(h.get_all("none").empty());
}

TEST_CASE("set replaces all fields of a name at the place of the first") {
  headers h{{"A", "1"}, {"B", "2"}, {"a", "3"}, {"C", "4"}, {"A", "5"}};
  h.set("a", " new ");
  CHECK(all_of(h) == fields{{"a", "new"}, {"B", "2"}, {"C", "4"}});
  h.set("D", "last");
  CHECK(all_of(h) == fields{{"a", "new"}, {"B", "2"}, {"C", "4"}, {"D", "last"}});
  CHECK_THROWS_AS(h.set("B", "a\nb"), failure);
  CHECK(h.get("B") == "2");
}

TEST_CASE("erase removes all fields of a name and says how many") {
  headers h{{"A", "1"}, {"B", "2"}, {"a", "3"}};
  CHECK(h.erase("x") == 0);
  CHECK(h.erase("A") == 2);
  CHECK(all_of(h) == fields{{"B", "2"}});
  CHECK(h.erase("b") == 1);
  CHECK(h.empty());
}

TEST_CASE("a name may be that of a field of the same headers") {
  headers h{{"A", "1"}, {"B", "2"}, {"A", "3"}, {"B", "4"}};
  CHECK(h.erase(h.fields().front().first) == 2);
  CHECK(all_of(h) == fields{{"B", "2"}, {"B", "4"}});

  headers s{{"A", "1"}, {"B", "2"}, {"A", "3"}, {"C", "4"}, {"A", "5"}};
  s.set(s.fields()[2].first, "x");
  CHECK(all_of(s) == fields{{"A", "x"}, {"B", "2"}, {"C", "4"}});
  for (int i = 0; i < 20; ++i) // across reallocations
    s.append(s.fields().front().first, s.fields().front().second);
  CHECK(s.get_all("A") == std::vector<std::string>(21, "x"));
}

TEST_CASE("iteration sorts and combines as the WHATWG has it") {
  struct row {
    headers given;
    fields seen;
  };
  for (const auto& at :
       {row{{}, {}}, row{{{"B", "1"}}, {{"b", "1"}}},
        row{{{"B", "1"}, {"A", "2"}, {"b", "3"}, {"C", "4"}, {"B", ""}},
            {{"a", "2"}, {"b", "1, 3, "}, {"c", "4"}}},
        // Set-Cookie is not combined, keeps its order, and sorts like any other name.
        row{{{"Set-Cookie", "b=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"},
             {"X", "1"},
             {"set-cookie", "a=2"},
             {"SET-COOKIE", "b=1"},
             {"Accept", "x"}},
            {{"accept", "x"},
             {"set-cookie", "b=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"},
             {"set-cookie", "a=2"},
             {"set-cookie", "b=1"},
             {"x", "1"}}},
        // By bytes of the lower-cased name: '-' before letters, '_' between "Z" and "a" but letters are small
        // by then.
        row{{{"a_b", "1"}, {"A-B", "2"}, {"aB", "3"}, {"A", "4"}, {"~", "5"}, {"!", "6"}},
            {{"!", "6"}, {"a", "4"}, {"a-b", "2"}, {"a_b", "1"}, {"ab", "3"}, {"~", "5"}}}}) {
    CAPTURE(at.seen.size());
    CHECK(seen_in(at.given) == at.seen);
    fields by_loop;
    for (const auto& [name, value] : at.given)
      by_loop.emplace_back(name, value);
    CHECK(by_loop == at.seen);
  }
}

TEST_CASE("what goes on the wire stays as given when it is iterated over") {
  headers h{{"b", "1"}, {"A", "2"}, {"B", "3"}};
  const auto before = h;
  const auto bytes = encode(h);
  CHECK(seen_in(h).size() == 2);
  CHECK(h.fields() == fields{{"b", "1"}, {"A", "2"}, {"B", "3"}});
  CHECK(h == before);
  CHECK(encode(h) == bytes);
}

TEST_CASE("standard algorithms take headers") {
  static_assert(std::forward_iterator<headers::const_iterator>);
  static_assert(std::ranges::forward_range<const headers>);
  const headers h{{"X-B", "1"}, {"Accept", "2"}, {"x-b", "3"}};
  const auto is_private = [](const headers::field& f) { return f.first.starts_with("x-"); };
  CHECK(std::count_if(h.begin(), h.end(), is_private) == 1);
  CHECK(std::ranges::distance(h) == 2);
  const auto found = std::ranges::find_if(h, is_private);
  REQUIRE(found != h.end());
  CHECK(found->second == "1, 3");
  CHECK(*found == headers::field{"x-b", "1, 3"});
  CHECK(std::find_if(h.begin(), h.end(), [](const headers::field& f) { return f.first == "X-B"; }) ==
        h.end());

  auto at = h.begin();
  CHECK(at == h.begin());
  CHECK((at++)->first == "accept");
  CHECK(at == std::next(h.begin()));
  CHECK(at != h.begin());
  CHECK(++at == h.end());
  CHECK(headers().begin() == headers().end());
}

TEST_CASE("a loop over headers does not see what changes meanwhile") {
  headers h{{"A", "1"}, {"B", "2"}};
  fields seen;
  for (const auto& each : h) {
    h.erase("B");
    h.append("C", "3");
    seen.push_back(each);
  }
  CHECK(seen == fields{{"a", "1"}, {"b", "2"}});
  CHECK(seen_in(h) == fields{{"a", "1"}, {"c", "3, 3"}});
}

TEST_CASE("values of Set-Cookie come one by one") {
  headers h{{"Set-Cookie", "a=1, b"}, {"Cookie", "no"}, {"set-cookie", ""}, {"SET-COOKIE", "a=1, b"}};
  CHECK(h.get_set_cookie() == std::vector<std::string>{"a=1, b", "", "a=1, b"});
  CHECK(headers{{"Set-Cookie2", "x"}}.get_set_cookie().empty());
}

TEST_CASE("wire bytes count the colon and the line end of every field") {
  CHECK(headers().wire_bytes() == 0);
  CHECK(headers{{"A", ""}}.wire_bytes() == "A: \r\n"sv.size());
  CHECK(headers{{"Name", "value"}, {"B", "c"}}.wire_bytes() == "Name: value\r\nB: c\r\n"sv.size());
}

TEST_CASE("headers come back from bytes as they were") {
  headers h{{"B", "1"}, {"A", "\xc3\xa9\t2"}, {"b", ""}};
  auto back = decode<headers>(encode(h));
  REQUIRE(back);
  CHECK(*back == h);
  CHECK(*back != headers{{"A", "1"}});
}

TEST_CASE("R21: stored headers are checked like any others") {
  for (const auto& stored : {fields{{"Good", "1"}, {"B ad", "2"}}, fields{{"", "1"}},
                             fields{{"A", "x\r\nInjected: y"}}, fields{{"A", std::string("\0", 1)}}}) {
    auto bytes = encode(stored);
    auto refused = decode<headers>(bytes);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::corrupt);
    CHECK(contains(refused.error().message, "invalid_header"));

    headers h;
    input_archive ar(bytes);
    CHECK_THROWS_AS(h.load(ar), failure);
  }
}

} // namespace dormouse::test::headers_test
