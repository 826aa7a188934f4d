#include "proxy/shared_jars.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace dormouse::test::shared_jars_test {

TEST_CASE("shared jars: attempts with the same bytes have one copy, for as long as one of them has it") {
  shared_jars jars;
  auto first = jars.share(std::string(1'000, 'a'));
  CHECK(jars.share(std::string(1'000, 'a')) == first);
  const auto other = jars.share(std::string(1'000, 'b'));
  CHECK(other != first);
  CHECK(other->bytes == std::string(1'000, 'b'));
  const std::weak_ptr<const stored_jar> watched = first;
  first.reset();
  CHECK(watched.expired());
  CHECK(jars.share(std::string(1'000, 'a'))->bytes == std::string(1'000, 'a'));
}

TEST_CASE("shared jars: what nobody has any more is forgotten") {
  shared_jars jars;
  std::vector<std::shared_ptr<const stored_jar>> held;
  for (int i = 0; i < 10'000; ++i) {
    held.assign(1, jars.share(std::to_string(i)));
    CHECK(jars.size() <= 200);
  }
}

} // namespace dormouse::test::shared_jars_test
