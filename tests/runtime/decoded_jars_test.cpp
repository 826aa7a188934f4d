#include "proxy/decoded_jars.hpp"

#include <doctest/doctest.h>

#include <string>

namespace dormouse::test::decoded_jars_test {
namespace {

std::string jar_of(const std::string& value) {
  cookie_jar jar;
  value_or_throw(jar.set("a", value, {.url = "https://example.com/"}, 1000));
  return encode(jar);
}

} // namespace

TEST_CASE("decoded jars: the same bytes are one jar, and others another") {
  decoded_jars jars(100'000);
  const auto first = value_or_throw(jars.read(jar_of("1")));
  CHECK(first->get("a", 2000) == "1");
  CHECK(value_or_throw(jars.read(jar_of("1"))) == first);
  CHECK(value_or_throw(jars.read(jar_of("2")))->get("a", 2000) == "2");
  CHECK(value_or_throw(jars.read(jar_of("1"))) == first);
  CHECK(value_or_throw(jars.read(std::string()))->empty());
}

TEST_CASE("decoded jars: bytes that do not decode are an error each time") {
  decoded_jars jars(100'000);
  for (int i = 0; i < 2; ++i)
    CHECK_FALSE(jars.read("garbage"));
  CHECK(jars.bytes() == 0);
}

TEST_CASE("decoded jars: those used last are kept, within the bound") {
  const auto size = jar_of("0").size();
  decoded_jars jars(3 * size);
  const auto zero = value_or_throw(jars.read(jar_of("0")));
  const auto one = value_or_throw(jars.read(jar_of("1")));
  for (int i = 2; i < 20; ++i) {
    (void)value_or_throw(jars.read(jar_of(std::to_string(i % 10))));
    CHECK(jars.bytes() <= 3 * size);
    CHECK(value_or_throw(jars.read(jar_of("0"))) == zero); // used all the time
  }
  CHECK(value_or_throw(jars.read(jar_of("1"))) != one);
  CHECK(one->get("a", 2000) == "1"); // whoever has it keeps it
  const auto large = value_or_throw(jars.read(jar_of(std::string(4 * size, 'x'))));
  CHECK(large->get("a", 2000) == std::string(4 * size, 'x'));
  CHECK(jars.bytes() <= 3 * size);
}

} // namespace dormouse::test::decoded_jars_test
