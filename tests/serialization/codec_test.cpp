#include "reference_frame.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/crc32c.hpp>
#include <dormouse/serialization/fetch_result.hpp>
#include <dormouse/serialization/headers.hpp>
#include <dormouse/serialization/messages.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace dormouse::test::codec_test {

using namespace std::string_literals;
using namespace std::string_view_literals;
using reference::little_endian;

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

constexpr frame_type all_types[] = {frame_type::store_info,  frame_type::object, frame_type::fetch,
                                    frame_type::result,      frame_type::post,   frame_type::blob,
                                    frame_type::dead_letter, frame_type::attempt};

template <class T> void is_refused(std::string_view bytes, std::string_view why) {
  auto value = decode<T>(bytes);
  REQUIRE_FALSE(value);
  CHECK(value.error().code == errc::corrupt);
  INFO("message: ", value.error().message);
  CHECK(contains(value.error().message, why));
}

template <class T> void comes_back(const T& value) {
  auto bytes = encode(value);
  auto back = decode<T>(bytes);
  REQUIRE(back);
  CHECK(*back == value);
  // Neither a byte less nor a byte more is that value.
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(decode<T>(std::string_view(bytes).substr(0, size)));
  is_refused<T>(bytes + '\0', "trailing");
}

/// Refuses to be the reason for a big allocation.
template <class T> struct small_allocator {
  using value_type = T;
  small_allocator() = default;
  template <class U> small_allocator(const small_allocator<U>&) {}
  T* allocate(std::size_t count) {
    if (count > 4'096 / sizeof(T))
      throw std::runtime_error("allocated for " + std::to_string(count) + " elements");
    return std::allocator<T>().allocate(count);
  }
  void deallocate(T* at, std::size_t count) { std::allocator<T>().deallocate(at, count); }
  friend bool operator==(const small_allocator&, const small_allocator&) { return true; }
  friend bool operator!=(const small_allocator&, const small_allocator&) { return false; }
};

template <class T> using small_vector = std::vector<T, small_allocator<T>>;

enum class color : std::uint16_t { red = 1, blue = 0x0203 };

struct refuses_to_load {
  int value = 0;
  template <class Archive> void save(Archive& ar) const { ar(value); }
  template <class Archive> void load(Archive& ar) {
    ar(value);
    throw failure({errc::invalid_header, "not this value"});
  }
};

struct tree {
  std::string name;
  std::vector<tree> children;
  friend bool operator==(const tree&, const tree&) = default;
  template <class Archive> void serialize(Archive& ar) { ar(name, children); }
};

struct unstorable {
  int value;
};

} // namespace

TEST_CASE("CRC-32C gives what RFC 3720 appendix B.4 says") {
  std::string ascending;
  for (int i = 0; i < 32; ++i)
    ascending += static_cast<char>(i);
  std::string descending(ascending.rbegin(), ascending.rend());
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xe3069283);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
  CHECK(crc32c(ascending) == 0x46dd794e);
  CHECK(crc32c(descending) == 0x113fdb5c);
}

TEST_CASE("CRC-32C goes on from where it stopped at any cut") {
  std::mt19937 random(7);
  std::string bytes;
  for (int size = 0; size < 70; ++size) { // around the eight bytes that one instruction takes
    CAPTURE(size);
    CHECK(crc32c(bytes) == reference::crc32c(bytes));
    auto view = std::string_view(bytes);
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut)
      REQUIRE(crc32c(view.substr(cut), crc32c(view.substr(0, cut))) == crc32c(view));
    for (std::size_t skip = 0; skip < std::min<std::size_t>(bytes.size(), 9); ++skip) // unaligned
      REQUIRE(crc32c(view.substr(skip)) == reference::crc32c(view.substr(skip)));
    bytes += static_cast<char>(random());
  }
}

TEST_CASE("R21: every type of value has the bytes that the format document gives it") {
  CHECK(encode() == "");
  CHECK(encode(std::uint8_t{7}) == "\x07"sv);
  CHECK(encode(std::int8_t{-1}) == "\xff"sv);
  CHECK(encode('a') == "a"sv);
  CHECK(encode(false) == "\0"sv);
  CHECK(encode(true) == "\x01"sv);
  CHECK(encode(std::uint16_t{0x1234}) == "\x34\x12"sv);
  CHECK(encode(std::int32_t{-2}) == "\xfe\xff\xff\xff"sv);
  CHECK(encode(std::uint64_t{0x0102030405060708}) == "\x08\x07\x06\x05\x04\x03\x02\x01"sv);
  CHECK(encode(1.0F) == "\0\0\x80\x3f"sv);
  CHECK(encode(-2.0) == "\0\0\0\0\0\0\0\xc0"sv);
  CHECK(encode(color::blue) == "\x03\x02"sv);
  CHECK(encode(std::chrono::milliseconds(5)) == little_endian(5, 8));
  CHECK(encode(std::string("ab")) == little_endian(2, 8) + "ab");
  CHECK(encode(std::vector<std::uint16_t>{1, 2}) == little_endian(2, 8) + "\x01\0\x02\0"s);
  CHECK(encode(std::vector<bool>{true, false}) == little_endian(2, 8) + "\x01\0"s);
  CHECK(encode(std::vector<std::string>{"a", ""}) ==
        little_endian(2, 8) + little_endian(1, 8) + "a" + little_endian(0, 8));
  CHECK(encode(std::array<std::uint16_t, 2>{1, 2}) == "\x01\0\x02\0"sv);
  CHECK(encode(std::optional<std::uint8_t>{}) == "\x01"sv);
  CHECK(encode(std::optional<std::uint8_t>{5}) == "\0\x05"sv);
  CHECK(encode(std::pair<std::uint8_t, std::string>{1, "a"}) == "\x01" + little_endian(1, 8) + "a");
  CHECK(encode(std::tuple<std::uint8_t, std::uint16_t>{1, 2}) == "\x01\x02\0"sv);
  CHECK(encode(std::variant<std::string, std::uint8_t>{std::uint8_t{9}}) == little_endian(1, 4) + "\x09");
  CHECK(encode(std::map<std::uint8_t, bool>{{2, true}, {1, false}}) ==
        little_endian(2, 8) + "\x01\0\x02\x01"s);
  CHECK(encode(std::set<std::uint8_t>{3, 1}) == little_endian(2, 8) + "\x01\x03");
  CHECK(encode(address{"A", "bc"}) == little_endian(1, 8) + "A" + little_endian(2, 8) + "bc");
  CHECK(encode(headers{{"A", "b"}}) ==
        little_endian(1, 8) + little_endian(1, 8) + "A" + little_endian(1, 8) + "b");
  CHECK(encode(fetch_result(response(200, {}, "x", "u", 3))) ==
        "\x01" + little_endian(200, 2) + little_endian(0, 8) + little_endian(1, 8) + "x" +
            little_endian(1, 8) + "u" + little_endian(3, 4));
  CHECK(encode(fetch_result(unexpected<fetch_error>({fetch_errc::blocked, "m", sent_state::maybe, 2}))) ==
        "\0\x06"s + little_endian(1, 8) + "m" + "\x01" + little_endian(2, 4));
  // Values follow each other with nothing in between.
  CHECK(encode(std::uint8_t{1}, std::uint16_t{2}, true) == "\x01\x02\0\x01"sv);
  std::string out = "before";
  encode_to(out, std::uint8_t{1});
  CHECK(out == "before\x01");
}

TEST_CASE("values come back from bytes as they were") {
  comes_back(std::numeric_limits<std::int64_t>::min());
  comes_back(std::numeric_limits<std::uint64_t>::max());
  comes_back(std::numeric_limits<double>::denorm_min());
  comes_back(std::numeric_limits<float>::infinity());
  comes_back(true);
  comes_back(color::blue);
  comes_back(std::string("a\0\xff", 3));
  comes_back(std::string(300, 'x'));
  comes_back(std::u16string(u"\u20ac"));
  comes_back(std::vector<std::uint64_t>{});
  comes_back(std::vector<std::uint64_t>{1, 2, 3});
  comes_back(std::vector<bool>{true, false, true});
  comes_back(std::array<bool, 3>{true, false, true});
  comes_back(std::vector<std::vector<std::string>>{{}, {"a", ""}, {}});
  comes_back(std::deque<int>{1, 2});
  comes_back(std::optional<std::string>("x"));
  comes_back(std::optional<std::string>());
  comes_back(std::map<std::string, std::vector<int>>{{"a", {1}}, {"", {}}});
  comes_back(std::unordered_map<std::string, int>{{"a", 1}, {"b", 2}});
  comes_back(std::set<std::string>{"a", "b"});
  comes_back(std::unordered_set<int>{1, 2, 3});
  comes_back(std::tuple<int, std::string, bool>{1, "a", true});
  comes_back(std::variant<int, std::string>{"a"});
  comes_back(std::chrono::milliseconds::min());
  comes_back(std::chrono::system_clock::time_point(std::chrono::milliseconds(5)));
  comes_back(tree{"root", {{"a", {{"b", {}}}}, {"c", {}}}});
  comes_back(headers{{"A", "b"}, {"a", ""}});
  comes_back(fetch_result(response(404, {{"A", "b"}}, std::string(20, '\0'), "http://h/", 1)));
  comes_back(fetch_result(unexpected<fetch_error>({fetch_errc::timeout, "late", sent_state::yes, 4})));

  auto nan = decode<double>(encode(std::numeric_limits<double>::quiet_NaN()));
  REQUIRE(nan);
  CHECK(std::isnan(*nan));
  auto zero = decode<double>(encode(-0.0));
  REQUIRE(zero);
  CHECK(std::signbit(*zero));
}

TEST_CASE("a type is storable exactly if its bytes mean the same on every machine") {
  CHECK(storable<int>);
  CHECK(storable<double>);
  CHECK(storable<tree>);
  CHECK(storable<fetch_result>);
  CHECK_FALSE(storable<long double>);
  CHECK_FALSE(storable<unstorable>);
}

TEST_CASE("R21: truncated and trailing bytes of a value are a typed error that says how many") {
  is_refused<std::uint32_t>("\1\2\3"sv, "4 bytes wanted, 3 left");
  is_refused<std::uint32_t>(""sv, "4 bytes wanted, 0 left");
  is_refused<std::uint8_t>("\1\2\3"sv, "2 trailing bytes");
  is_refused<std::string>(little_endian(3, 8) + "ab", "count 3 with only 2 bytes left");
  is_refused<std::vector<std::uint32_t>>(little_endian(2, 8) + "\1\2\3\4\5", "8 bytes wanted, 5 left");
}

TEST_CASE("R21: a bool that is neither 0 nor 1 is a typed error wherever it stands") {
  for (int byte = 2; byte < 256; ++byte) {
    CAPTURE(byte);
    auto bad = std::string(1, static_cast<char>(byte));
    is_refused<bool>(bad, "bool");
    is_refused<std::vector<bool>>(little_endian(2, 8) + "\1" + bad, "bool");
    is_refused<std::array<bool, 2>>("\1" + bad, "bool");
    is_refused<std::optional<int>>(bad + "\0\0\0\0"s, "bool");
    is_refused<std::map<int, bool>>(little_endian(1, 8) + "\0\0\0\0"s + bad, "bool");
    is_refused<fetch_result>(bad + encode(response()), "bool");
  }
}

TEST_CASE("R21: a variant with an alternative that is not there is a typed error") {
  using number_or_text = std::variant<int, std::string>;
  for (std::uint64_t index :
       {std::uint64_t{2}, std::uint64_t{0x7fffffff}, std::uint64_t{0x80000000}, std::uint64_t{0xffffffff}}) {
    CAPTURE(index);
    is_refused<number_or_text>(little_endian(index, 4) + std::string(16, '\0'), "variant");
  }
}

TEST_CASE("R21: a count that the bytes cannot hold is refused before anything is allocated") {
  using text = std::basic_string<char, std::char_traits<char>, small_allocator<char>>;
  using small_map = std::map<int, int, std::less<>, small_allocator<std::pair<const int, int>>>;
  using small_hash_map = std::unordered_map<int, int, std::hash<int>, std::equal_to<>,
                                            small_allocator<std::pair<const int, int>>>;
  using small_set = std::set<int, std::less<>, small_allocator<int>>;
  using small_hash_set = std::unordered_set<int, std::hash<int>, std::equal_to<>, small_allocator<int>>;
  using small_deque = std::deque<int, small_allocator<int>>;

  for (std::uint64_t count : {std::uint64_t{1} << 60U, std::uint64_t{1} << 63U, ~std::uint64_t{0},
                              std::uint64_t{1} << 28U, std::uint64_t{100'000}}) {
    auto bytes = little_endian(count, 8) + std::string(100, '\0');
    auto why = "count " + std::to_string(count) + " with only 100 bytes left";
    is_refused<text>(bytes, why);
    is_refused<small_vector<char>>(bytes, why);
    is_refused<small_vector<std::uint64_t>>(bytes, why);
    is_refused<small_vector<std::string>>(bytes, why);
    is_refused<small_vector<small_vector<char>>>(bytes, why);
    is_refused<small_map>(bytes, why);
    is_refused<small_hash_map>(bytes, why);
    is_refused<small_set>(bytes, why);
    is_refused<small_hash_set>(bytes, why);
    is_refused<small_deque>(bytes, why);
    is_refused<std::vector<bool>>(bytes, why);
    is_refused<headers>(bytes, why);
    is_refused<return_path>(bytes, why);
    is_refused<tree>(encode(std::string("root")) + bytes, why);
    is_refused<post_message>(bytes, why);
    is_refused<fetch_message>(encode(std::uint64_t{1}) + bytes, why);
  }
}

TEST_CASE("R21: a count within a value's bytes allocates in proportion to them") {
  // Each of 100 bytes is claimed to be an element: the worst that a count which passes can ask for.
  is_refused<small_vector<std::string>>(little_endian(100, 8) + std::string(100, '\0'), "truncated");
  is_refused<small_vector<small_vector<char>>>(little_endian(100, 8) + std::string(100, '\0'), "truncated");
}

TEST_CASE("R21: a type that refuses its bytes makes a typed error of them") {
  is_refused<refuses_to_load>(encode(refuses_to_load{}), "not this value");
}

TEST_CASE("R21: a frame has the bytes that the format document gives it") {
  CHECK(frame_header_bytes == 14);
  CHECK(seal(frame_type::post, "abc") == reference::frame(1, 5, "abc"));
  CHECK(seal(frame_type::store_info, "") == reference::frame(1, 1, ""));
  CHECK(seal_value(frame_type::object, std::uint16_t{0x1234}) == reference::frame(1, 2, "\x34\x12"));
  CHECK(seal(frame_type::blob, "").substr(0, 10) == "DMSE\x01\x06\0\0\0\0"sv);
  // One frame by hand: the checksum is that of 01 05 03 00 00 00 61 62 63.
  CHECK(reference::frame(1, 5, "abc").substr(10, 4) ==
        little_endian(reference::crc32c("\x01\x05\x03\0\0\0"s + "abc"), 4));
}

TEST_CASE("R21: the numbers of the frame types are for ever") {
  int number = 1;
  for (auto type : all_types)
    CHECK(static_cast<int>(type) == number++);
}

TEST_CASE("a frame gives back its payload") {
  for (auto type : all_types) {
    for (const auto& payload :
         {std::string(), std::string("a"), std::string(100'000, '\0'), std::string("DMSE")}) {
      auto frame = seal(type, payload);
      CHECK(frame.size() == frame_header_bytes + payload.size());
      auto opened = unseal(type, frame);
      REQUIRE(opened);
      CHECK(*opened == payload);
      CHECK(opened->data() == frame.data() + frame_header_bytes); // a view and no copy
    }
  }
  auto number =
      unseal_value<std::uint32_t>(frame_type::object, seal_value(frame_type::object, std::uint32_t{77}));
  REQUIRE(number);
  CHECK(*number == 77);
}

TEST_CASE("R21: every flipped bit of a frame is found") {
  for (const auto& payload : {std::string(), std::string("x"), std::string("some payload of some length"),
                              std::string(300, '\0')}) {
    auto good = seal(frame_type::fetch, payload);
    REQUIRE(unseal(frame_type::fetch, good));
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      auto bad = good;
      bad[bit / 8] = static_cast<char>(static_cast<unsigned char>(bad[bit / 8]) ^ (1U << (bit % 8)));
      auto opened = unseal(frame_type::fetch, bad);
      CAPTURE(bit);
      REQUIRE_FALSE(opened);
      // A version that is not 0 or 1 can only be told from a later one by a program that knows it.
      bool in_version = bit / 8 == 4 && bad[4] != 0;
      REQUIRE(opened.error().code == (in_version ? errc::newer_format : errc::corrupt));
      REQUIRE_FALSE(opened.error().message.empty());
    }
  }
}

TEST_CASE("R21: two flipped bits and swapped bytes of a frame are found") {
  auto good = seal(frame_type::post, "0123456789");
  for (std::size_t a = 0; a < good.size() * 8; ++a) {
    for (std::size_t b = a + 1; b < good.size() * 8; ++b) {
      auto bad = good;
      for (auto bit : {a, b})
        bad[bit / 8] = static_cast<char>(static_cast<unsigned char>(bad[bit / 8]) ^ (1U << (bit % 8)));
      if (unseal(frame_type::post, bad)) FAIL("bits ", a, " and ", b);
    }
  }
  for (std::size_t i = 0; i + 1 < good.size(); ++i) {
    auto bad = good;
    std::swap(bad[i], bad[i + 1]);
    if (bad != good) CHECK_FALSE(unseal(frame_type::post, bad));
  }
}

TEST_CASE("R21: a truncated frame is a typed error") {
  auto good = seal(frame_type::result, "payload");
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    auto opened = unseal(frame_type::result, std::string_view(good).substr(0, size));
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == errc::corrupt);
    CHECK(contains(opened.error().message,
                   size < frame_header_bytes ? "shorter than its 14-byte header" : "says 7 payload bytes"));
  }
}

TEST_CASE("R21: a frame with bytes behind it is a typed error") {
  auto good = seal(frame_type::result, "payload");
  for (const auto& more : {"\0"s, "x"s, good}) {
    auto opened = unseal(frame_type::result, good + more);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == errc::corrupt);
    CHECK(
        contains(opened.error().message, "says 7 payload bytes but has " + std::to_string(7 + more.size())));
  }
}

TEST_CASE("R21: a frame of another type is a typed error that names both") {
  for (auto is : all_types) {
    for (auto wanted : all_types) {
      auto opened = unseal(wanted, seal(is, "x"));
      REQUIRE(opened.has_value() == (is == wanted));
      if (!opened) {
        CHECK(opened.error().code == errc::corrupt);
        CHECK(contains(opened.error().message, "type " + std::to_string(static_cast<int>(is)) + " where " +
                                                   std::to_string(static_cast<int>(wanted)) +
                                                   " was expected"));
      }
    }
  }
  CHECK_FALSE(unseal(frame_type::post, reference::frame(1, 0, "x")));
  CHECK_FALSE(unseal(frame_type::post, reference::frame(1, 255, "x")));
}

TEST_CASE("R21: a frame of a newer version is told from a corrupt one") {
  for (std::uint8_t version : {2, 3, 255}) {
    CAPTURE(version);
    auto opened = unseal(frame_type::post, reference::frame(version, 5, "x"));
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == errc::newer_format);
    CHECK(contains(opened.error().message, "version " + std::to_string(version)));
    CHECK(contains(opened.error().message, "up to 1"));
    // A later format may keep nothing of the header but its start.
    auto other = unseal(frame_type::post, "DMSE" + little_endian(version, 1) + "whatever else");
    REQUIRE_FALSE(other);
    CHECK(other.error().code == errc::newer_format);
  }
  auto zero = unseal(frame_type::post, reference::frame(0, 5, "x"));
  REQUIRE_FALSE(zero);
  CHECK(zero.error().code == errc::corrupt);
  CHECK(contains(zero.error().message, "version 0"));
}

TEST_CASE("R21: each check of a frame has its own error text") {
  auto good = seal(frame_type::post, "payload");
  auto with = [&good](std::size_t at, char byte) {
    auto bad = good;
    bad[at] = byte;
    return bad;
  };
  auto text_of = [](const std::string& frame) {
    auto opened = unseal(frame_type::post, frame);
    REQUIRE_FALSE(opened);
    return opened.error().message;
  };
  CHECK(contains(text_of(with(0, 'd')), "magic"));
  CHECK(contains(text_of(with(4, 9)), "version 9"));
  CHECK(contains(text_of(with(6, 8)), "says 8 payload bytes but has 7"));
  CHECK(contains(text_of(with(10, static_cast<char>(good[10] + 1))), "CRC-32C"));
  CHECK(contains(text_of(with(14, 'P')), "CRC-32C"));
}

TEST_CASE("R21: a sealed payload that is not the value is a typed error") {
  auto short_one = unseal_value<std::uint32_t>(frame_type::object, seal(frame_type::object, "abc"));
  REQUIRE_FALSE(short_one);
  CHECK(short_one.error().code == errc::corrupt);
  CHECK(contains(short_one.error().message, "truncated"));
  auto long_one = unseal_value<std::uint32_t>(frame_type::object, seal(frame_type::object, "abcde"));
  REQUIRE_FALSE(long_one);
  CHECK(long_one.error().code == errc::corrupt);
  CHECK(contains(long_one.error().message, "trailing"));
}

TEST_CASE("a JSON value is a value like any other") {
  using nlohmann::json;
  for (const auto& value :
       {json(), json(true), json(-1), json(std::uint64_t{1} << 63U), json(0.1), json("text"),
        json::array({1, "two", nullptr}), json{{"a", {{"b", {1, 2}}}}, {"c", ""}}}) {
    const auto copy = decode<json>(encode(value));
    REQUIRE(copy);
    CHECK(*copy == value);
    CHECK(copy->type() == value.type());
  }
  const auto inside = decode<std::pair<std::vector<json>, int>>(encode(std::vector<json>{1, {{"k", 2}}}, 3));
  REQUIRE(inside);
  CHECK(inside->first[1]["k"] == 2);
  CHECK(inside->second == 3);
  CHECK_FALSE(decode<json>(encode(std::string("{\"cut\":"))));
  CHECK_FALSE(decode<json>(encode(std::string("{} {}"))));
  CHECK(storable<json>);
}

} // namespace dormouse::test::codec_test
