#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/return_path.hpp>

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace dormouse::test::address_test {

using namespace std::string_view_literals;

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string utf8(char32_t code) {
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800)
    return {static_cast<char>(0xc0U | (code >> 6U)), static_cast<char>(0x80U | (code & 0x3fU))};
  if (code < 0x10000)
    return {static_cast<char>(0xe0U | (code >> 12U)), static_cast<char>(0x80U | ((code >> 6U) & 0x3fU)),
            static_cast<char>(0x80U | (code & 0x3fU))};
  return {static_cast<char>(0xf0U | (code >> 18U)), static_cast<char>(0x80U | ((code >> 12U) & 0x3fU)),
          static_cast<char>(0x80U | ((code >> 6U) & 0x3fU)), static_cast<char>(0x80U | (code & 0x3fU))};
}

return_address hop(int number) {
  return {{"USER_DO", std::to_string(number)}, "on_answer", "context " + std::to_string(number)};
}

} // namespace

TEST_CASE("R12: an instance id has 1 to 1024 bytes") {
  CHECK(validate({"USER_DO", "a"}));
  CHECK(validate({"USER_DO", std::string(1024, 'a')}));

  auto none = validate({"USER_DO", ""});
  REQUIRE_FALSE(none);
  CHECK(none.error().code == errc::invalid_instance_id);
  CHECK(contains(none.error().message, "USER_DO"));
  CHECK(contains(none.error().message, "1..1024 bytes"));

  auto long_one = validate({"USER_DO", "begin" + std::string(1020, 'a')});
  REQUIRE_FALSE(long_one);
  CHECK(long_one.error().code == errc::invalid_instance_id);
  CHECK(contains(long_one.error().message, "'beginaaa"));
  CHECK(contains(long_one.error().message, "USER_DO"));
  CHECK(contains(long_one.error().message, "1025 bytes"));
  CHECK(contains(long_one.error().message, "limit is 1024"));
}

TEST_CASE("R12: an instance id is measured in bytes and not in characters") {
  std::string id;
  while (id.size() < 1024)
    id += "\u00e9";
  CHECK(validate({"USER_DO", id}));
  CHECK_FALSE(validate({"USER_DO", id + "\u00e9"}));
}

TEST_CASE("UTF-8 is well-formed exactly as RFC 3629 has it") {
  for (auto good :
       {""sv, "plain"sv, "\0"sv, "\x7f"sv, "\xc2\x80"sv, "\xdf\xbf"sv, "\xe0\xa0\x80"sv, "\xed\x9f\xbf"sv,
        "\xee\x80\x80"sv, "\xef\xbf\xbf"sv, "\xf0\x90\x80\x80"sv, "\xf4\x8f\xbf\xbf"sv, "a\xc3\xa9z"sv}) {
    CAPTURE(good);
    CHECK(is_valid_utf8(good));
  }
  struct ill_formed {
    std::string_view bytes;
    std::string_view why;
  };
  for (const auto& at : {ill_formed{"\x80"sv, "a continuation with no lead"},
                         {"\xbf"sv, "a continuation with no lead"},
                         {"a\x80"sv, "a continuation behind ASCII"},
                         {"\xc3\xa9\xa9"sv, "one continuation too many"},
                         {"\xc0\x80"sv, "overlong NUL"},
                         {"\xc1\xbf"sv, "overlong in two bytes"},
                         {"\xe0\x80\x80"sv, "overlong in three bytes"},
                         {"\xe0\x9f\xbf"sv, "longest overlong in three bytes"},
                         {"\xf0\x80\x80\x80"sv, "overlong in four bytes"},
                         {"\xf0\x8f\xbf\xbf"sv, "longest overlong in four bytes"},
                         {"\xed\xa0\x80"sv, "first surrogate"},
                         {"\xed\xbf\xbf"sv, "last surrogate"},
                         {"\xf4\x90\x80\x80"sv, "above U+10FFFF"},
                         {"\xf5\x80\x80\x80"sv, "lead byte above F4"},
                         {"\xf7\xbf\xbf\xbf"sv, "lead byte above F4"},
                         {"\xf8\x88\x80\x80\x80"sv, "five bytes"},
                         {"\xfc\x84\x80\x80\x80\x80"sv, "six bytes"},
                         {"\xfe"sv, "never a byte of UTF-8"},
                         {"\xff"sv, "never a byte of UTF-8"},
                         {"\xc3"sv, "cut after one of two"},
                         {"\xe2\x82"sv, "cut after two of three"},
                         {"\xf0\x9f\x98"sv, "cut after three of four"},
                         {"\xc3(x"sv, "second byte is not a continuation"},
                         {"\xe2(\xa1x"sv, "second byte is not a continuation"},
                         {"\xe2\x82(x"sv, "third byte is not a continuation"},
                         {"\xf0\x9f\x98(x"sv, "fourth byte is not a continuation"}}) {
    CAPTURE(at.why);
    CHECK_FALSE(is_valid_utf8(at.bytes));
    CHECK_FALSE(is_valid_utf8("before " + std::string(at.bytes)));
    auto refused = validate({"USER_DO", std::string(at.bytes)});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid_instance_id);
    CHECK(contains(refused.error().message, "not well-formed UTF-8"));
  }
}

TEST_CASE("UTF-8 cut short is ill-formed whatever lies behind the cut") {
  for (auto whole : {"\xc2\x80"sv, "\xe0\xa0\x80"sv, "\xf0\x90\x80\x80"sv})
    for (std::size_t size = 1; size < whole.size(); ++size)
      CHECK_FALSE(is_valid_utf8(whole.substr(0, size)));
}

TEST_CASE("every code point but the surrogates is well-formed UTF-8") {
  std::size_t wrong = 0;
  for (char32_t code = 0; code <= 0x110000; ++code) {
    bool allowed = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    if (is_valid_utf8(utf8(code)) != allowed) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("R12: a binding is a name of 1 to 64 bytes") {
  for (auto good : {"A"sv, "z"sv, "_"sv, "__"sv, "USER_DO"sv, "a9"sv, "_0"sv}) {
    CAPTURE(good);
    CHECK(is_valid_binding(good));
  }
  CHECK(is_valid_binding(std::string(64, 'A')));
  CHECK_FALSE(is_valid_binding(std::string(65, 'A')));
  for (auto bad : {""sv, "9"sv, "9A"sv, "A-B"sv, "A B"sv, " A"sv, "A "sv, "A.B"sv, "A/B"sv, "A\0"sv,
                   "\xc3\x89"sv, "A@"sv, "A["sv, "A`"sv, "A{"sv, "A:"sv, "A\n"sv}) {
    CAPTURE(bad);
    CHECK_FALSE(is_valid_binding(bad));
    auto refused = validate({std::string(bad), "id"});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid_binding);
    CHECK(contains(refused.error().message, "{0,63}"));
  }
  auto refused = validate({"A-B", "id"});
  REQUIRE_FALSE(refused);
  CHECK(contains(refused.error().message, "'A-B'"));
}

TEST_CASE("an address in a log line is one line of well-formed text") {
  CHECK(to_string(address{"USER_DO", "alice"}) == "USER_DO/alice");
  CHECK(to_string(address{"USER_DO", "z\u00fcrich"}) == "USER_DO/z\u00fcrich");
  CHECK(to_string(address{"USER_DO", "a\nb\x1b\x7f"}) == R"(USER_DO/a\x0ab\x1b\x7f)");
  CHECK(to_string(address{"USER_DO", std::string("a\0b", 3)}) == R"(USER_DO/a\x00b)");
  CHECK(to_string(address{"USER_DO", "a\\b"}) == R"(USER_DO/a\x5cb)");
  CHECK(to_string(address{"USER_DO", "a\xff"}) == R"(USER_DO/a\xff)");
  CHECK(to_string(address{"A\nB", "id"}) == R"(A\x0aB/id)");
  CHECK(to_string(address{"USER_DO", std::string(129, 'a')}) == "USER_DO/" + std::string(128, 'a') + "...");

  // Whatever the bytes, also where the text is cut inside a sequence.
  std::mt19937 random(1);
  for (int round = 0; round < 2'000; ++round) {
    address where;
    for (auto* part : {&where.binding, &where.instance_id})
      for (auto left = random() % 200; left > 0; --left)
        *part += random() % 2 == 0 ? static_cast<char>(random()) : 'a';
    auto text = to_string(where);
    CAPTURE(round);
    REQUIRE(is_valid_utf8(text));
    REQUIRE(text.size() < 1'100);
    for (char c : text)
      REQUIRE((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
  }
}

TEST_CASE("an error text about an address is one line too") {
  for (const auto& where :
       {address{"A\nB", "id"}, address{"USER_DO", "a\n\xff"}, address{"USER_DO", std::string(2'000, '\n')}}) {
    auto refused = validate(where);
    REQUIRE_FALSE(refused);
    CHECK_FALSE(contains(refused.error().message, "\n"));
    CHECK(is_valid_utf8(refused.error().message));
    CHECK(refused.error().message.size() < 1'000);
  }
}

TEST_CASE("two addresses are the same if both parts are") {
  CHECK(address{"A", "b"} == address{"A", "b"});
  CHECK(address{"A", "bc"} != address{"Ab", "c"});
  CHECK(address{"A", "b"} != address{"b", "A"});
  std::unordered_set<address> all;
  for (int i = 0; i < 100; ++i)
    for (const auto* binding : {"A", "B"})
      all.insert({binding, std::to_string(i)});
  CHECK(all.size() == 200);
  CHECK(all.count({"B", "99"}) == 1);
  CHECK(all.count({"B", "100"}) == 0);
  // A hash that only mixes the two would send every {x, y} and {y, x} to one shard.
  CHECK(std::hash<address>{}({"A", "b"}) != std::hash<address>{}({"b", "A"}));
}

TEST_CASE("R15: a return path is a stack and the top pops itself") {
  return_path path;
  CHECK(path.empty());
  CHECK(path.top() == nullptr);
  CHECK_FALSE(path.pop());

  REQUIRE(path.push(hop(1)));
  REQUIRE(path.push(hop(2)));
  CHECK(path.size() == 2);
  REQUIRE(path.top() != nullptr);
  CHECK(*path.top() == hop(2));
  CHECK(path.pop() == hop(2));
  CHECK(*path.top() == hop(1));
  CHECK(path.pop() == hop(1));
  CHECK_FALSE(path.pop());
  CHECK(path.empty());
}

TEST_CASE("R15: a hop may name a life of its object, and without one has the bytes it always had") {
  auto aimed = hop(1);
  aimed.incarnation = 0x0102030405060708;
  const auto stored = decode<return_address>(encode(aimed));
  REQUIRE(stored);
  CHECK(*stored == aimed);
  CHECK(*stored != hop(1));
  CHECK(encode(hop(1)) == encode(hop(1).object, hop(1).method, hop(1).context));
  CHECK(encode(aimed) == encode(hop(1).object,
                                hop(1).method + std::string("\0\x08\x07\x06\x05\x04\x03\x02\x01", 9),
                                hop(1).context));
  for (const auto& damaged :
       {std::string("m\0", 2), std::string("m\0\1\0\0\0\0\0\0", 9), std::string("m\0\0\0\0\0\0\0\0\0", 10),
        std::string("m\0\1\0\0\0\0\0\0\0\0", 11)}) {
    const auto refused = decode<return_address>(encode(hop(1).object, damaged, hop(1).context));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::corrupt);
    CHECK(contains(refused.error().message, "NUL"));
  }
}

TEST_CASE("R12: a return path has at most 64 hops") {
  return_path path;
  for (int i = 0; i < 64; ++i)
    REQUIRE(path.push(hop(i)));
  auto refused = path.push(hop(64));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::path_too_long);
  CHECK(contains(refused.error().message, "64"));
  CHECK(contains(refused.error().message, "USER_DO/64"));
  CHECK(path.size() == 64);
  CHECK(*path.top() == hop(63));

  auto stored = decode<return_path>(encode(path));
  REQUIRE(stored);
  CHECK(*stored == path);

  REQUIRE(path.pop());
  CHECK(path.push(hop(64)));
}

TEST_CASE("R21: a stored return path with more than 64 hops is corrupt") {
  std::vector<return_address> hops;
  for (int i = 0; i < 65; ++i)
    hops.push_back(hop(i));
  auto refused = decode<return_path>(encode(hops));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::corrupt);
  CHECK(contains(refused.error().message, "65 hops"));
}

} // namespace dormouse::test::address_test
