// Class versions of cereal in our archives.

#include <dormouse/serialization/codec.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace dormouse::test::class_version_test {
namespace {

/// The same value as three programs know it, one after the other.
struct point_0 {
  int x = 0;
  template <class Archive> void serialize(Archive& ar, std::uint32_t) { ar(x); }
};

struct point_1 {
  int x = 0;
  int y = 0;
  std::uint32_t read_as = 0;
  template <class Archive> void serialize(Archive& ar, std::uint32_t version) {
    ar(x);
    if (version >= 1) ar(y);
    read_as = version;
  }
};

struct point_2 {
  int x = 0;
  int y = 0;
  int z = 0;
  template <class Archive> void save(Archive& ar, std::uint32_t) const { ar(x, y, z); }
  template <class Archive> void load(Archive& ar, std::uint32_t version) {
    ar(x);
    if (version >= 1) ar(y);
    if (version >= 2) ar(z);
  }
};

struct plain {
  int x = 0;
  template <class Archive> void serialize(Archive& ar) { ar(x); }
};

} // namespace

} // namespace dormouse::test::class_version_test

CEREAL_CLASS_VERSION(dormouse::test::class_version_test::point_1, 1)
CEREAL_CLASS_VERSION(dormouse::test::class_version_test::point_2, 2)

namespace dormouse::test::class_version_test {

TEST_CASE("a value that an earlier version of its class stored is read as what it is") {
  const auto old = decode<point_1>(encode(point_0{7}));
  REQUIRE(old);
  CHECK(old->x == 7);
  CHECK(old->y == 0);
  CHECK(old->read_as == 0);
  const auto older = decode<point_2>(encode(point_0{7}));
  REQUIRE(older);
  CHECK(older->x == 7);
  const auto later = decode<point_2>(encode(point_1{7, 8}));
  REQUIRE(later);
  CHECK(later->y == 8);
  CHECK(later->z == 0);
  const auto same = decode<point_2>(encode(point_2{7, 8, 9}));
  REQUIRE(same);
  CHECK(same->z == 9);
}

TEST_CASE(
    "the version of a class stands once in front of its first value, and one without versions has none") {
  CHECK(encode(point_0{7}) == encode(std::uint32_t{0}, 7));
  CHECK(encode(point_2{7, 8, 9}) == encode(std::uint32_t{2}, 7, 8, 9));
  CHECK(encode(std::vector<point_2>{{1, 2, 3}, {4, 5, 6}}) ==
        encode(std::uint64_t{2}, std::uint32_t{2}, 1, 2, 3, 4, 5, 6));
  CHECK(encode(plain{7}) == encode(7));
  const auto both = decode<std::pair<point_2, point_1>>(encode(point_2{1, 2, 3}, point_1{4, 5}));
  REQUIRE(both);
  CHECK(both->first.z == 3);
  CHECK(both->second.y == 5);
}

TEST_CASE("R18: a value of a later version of its class is refused, wherever it is") {
  const auto is_refused = [](const auto& refused, const std::string& stored, const std::string& known) {
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::newer_format);
    CHECK_MESSAGE(refused.error().message.starts_with("a stored value has class version " + stored +
                                                      "; this program's class knows up to " + known + ". "),
                  refused.error().message);
  };
  is_refused(decode<point_1>(encode(point_2{7, 8, 9})), "2", "1");
  is_refused(decode<point_0>(encode(point_1{7, 8})), "1", "0");
  const auto had_none = decode<point_1>(encode(plain{5}));
  REQUIRE_FALSE(had_none);
  CHECK_MESSAGE(had_none.error().message.find("If the class had no version when the value was stored") !=
                    std::string::npos,
                had_none.error().message);
  is_refused(decode<std::vector<point_0>>(encode(std::vector<point_1>{{7, 8}})), "1", "0");
  is_refused(decode<std::pair<point_2, point_0>>(encode(point_2{1, 2, 3}, point_1{4, 5})), "1", "0");
  is_refused(decode<std::pair<point_0, point_2>>(encode(point_0{1}, std::uint32_t{3}, 2, 3, 4)), "3", "2");
}

} // namespace dormouse::test::class_version_test
