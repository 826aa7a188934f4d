#include "store/body_memory.hpp"

#include <dormouse/serialization/crc32c.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace dormouse::test::body_memory_test {
namespace {

using maybe = std::optional<std::string>;

/// One that has its room and is full.
held_body held(const std::shared_ptr<body_memory>& memory, std::size_t bytes, char fill) {
  held_body body(memory);
  REQUIRE(body.grow(bytes));
  body.append(std::string(bytes, fill));
  return body;
}

} // namespace

TEST_CASE("R19: body memory: there is room for so many bytes, and what goes gives its own back") {
  auto memory = std::make_shared<body_memory>(100);
  CHECK(memory->used() == 0);
  {
    auto first = held(memory, 60, 'a');
    held_body second(memory);
    CHECK_FALSE(second.grow(41));
    CHECK(second.room() == 0);
    CHECK(second.grow(30));
    CHECK(second.grow(10)); // has more already
    CHECK(second.grow(40));
    CHECK_FALSE(second.grow(41));
    CHECK(second.room() == 40);
    CHECK(memory->used() == 100);
    first.let_go();
    CHECK(first.bytes().empty());
    CHECK(memory->used() == 40);
    auto moved = std::move(second);
    CHECK(memory->used() == 40);
    CHECK(moved.room() == 40);
    moved = held(memory, 7, 'b');
    CHECK(memory->used() == 7);
    CHECK_FALSE(moved.grow(101));
  }
  CHECK(memory->used() == 0);
}

TEST_CASE("body memory: a body that is kept is handed out once") {
  auto memory = std::make_shared<body_memory>(100);
  memory->keep(1, held(memory, 40, 'a'));
  memory->keep(2, held(memory, 40, 'b'));
  CHECK(memory->used() == 80);
  CHECK(memory->take(2) == maybe(std::string(40, 'b')));
  CHECK(memory->take(2) == maybe());
  CHECK(memory->take(3) == maybe());
  CHECK(memory->used() == 40);
}

TEST_CASE("body memory: the oldest of what is kept makes room, and only if that helps") {
  auto memory = std::make_shared<body_memory>(100);
  memory->keep(1, held(memory, 30, 'a'));
  memory->keep(2, held(memory, 30, 'b'));
  {
    auto comes = held(memory, 50, 'c');
    CHECK(memory->used() == 80);
    CHECK(memory->take(1) == maybe());
    CHECK_FALSE(comes.grow(101)); // all that is kept would not do
    CHECK(comes.grow(100));
    CHECK(memory->take(2) == maybe());
    CHECK_FALSE(held_body(memory).grow(1));
  }
  CHECK(memory->used() == 0);
}

TEST_CASE("body memory: none at all") {
  auto memory = std::make_shared<body_memory>(0);
  CHECK_FALSE(held_body(memory).grow(1));
  CHECK_FALSE(held_body(nullptr).grow(1));
}

TEST_CASE("body memory: the checksum is that of the bytes, however they came") {
  auto memory = std::make_shared<body_memory>(std::size_t{8} << 20U);
  held_body body(memory);
  std::string all;
  for (int i = 0; i < 100; ++i) {
    const std::string piece(static_cast<std::size_t>(1 + i * 700), static_cast<char>('a' + i % 26));
    if (i == 10) REQUIRE(body.grow(std::size_t{5} << 20U));
    body.append(piece);
    all += piece;
    if (i % 9 == 0) CHECK(body.crc() == crc32c(all));
  }
  auto moved = std::move(body);
  CHECK(moved.crc() == crc32c(all));
  CHECK(moved.take() == all);
  CHECK(memory->used() == 0);
  moved.append("x");
  CHECK(moved.crc() == crc32c("x"));
}

} // namespace dormouse::test::body_memory_test
