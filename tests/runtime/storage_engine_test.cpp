#include "eventually.hpp"
#include "memory_engine.hpp"
#include "ports/storage_engine.hpp"
#include "store/rocksdb_engine.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace dormouse::test::storage_engine_test {

using namespace std::string_literals;

namespace {

using key_list = std::vector<std::string>;

key_list keys_of(std::unique_ptr<row_cursor> rows) {
  key_list all;
  for (; rows->valid(); rows->next()) {
    CHECK(rows->value() == "v" + std::string(rows->key()));
    all.emplace_back(rows->key());
  }
  CHECK(rows->status());
  return all;
}

void write(storage_engine& to, const write_set& writes) {
  const write_set* sets[] = {&writes};
  REQUIRE(to.write(sets));
}

void put(storage_engine& to, const key_list& keys) {
  write_set writes;
  for (const auto& key : keys)
    writes.push_back({key, "v" + key});
  write(to, writes);
}

/// The real one and the one that tests use in its place.
struct engines {
  test::scratch_directory directory;
  std::vector<std::unique_ptr<storage_engine>> all;

  engines() {
    all.push_back(value_or_throw(
        open_rocksdb({directory.path(), std::size_t{1} << 20U, std::size_t{1} << 20U, 128 * 1024})));
    all.push_back(std::make_unique<test::memory_engine>());
  }
};

} // namespace

TEST_CASE_FIXTURE(engines, "storage engine: a scan goes both ways over the same keys") {
  struct row {
    std::string from;
    std::string to;
    key_list found;
  };
  for (auto& engine : all) {
    put(*engine, {"a", "b", "b\0"s, "b\xff", "c", "\xff"});
    for (const auto& each : {row{"", "\xff\xff", {"a", "b", "b\0"s, "b\xff", "c", "\xff"}},
                             row{"a", "c", {"a", "b", "b\0"s, "b\xff"}}, row{"b", "b\xff", {"b", "b\0"s}},
                             row{"aa", "ab", {}}, row{"b\x01", "z", {"b\xff", "c"}}, row{"d", "e", {}}}) {
      CAPTURE(each.from);
      CAPTURE(each.to);
      CHECK(keys_of(engine->scan(each.from, each.to)) == each.found);
      auto back = each.found;
      std::reverse(back.begin(), back.end());
      CHECK(keys_of(engine->scan_back(each.from, each.to)) == back);
    }
  }
}

TEST_CASE_FIXTURE(engines, "storage engine: a walk sees the store as it was when it began") {
  for (auto& engine : all) {
    put(*engine, {"a", "b"});
    auto forward = engine->scan("a", "z");
    auto backward = engine->scan_back("a", "z");
    write(*engine, {{"a", std::nullopt, "c"}, {"d", "vd"}});
    CHECK(keys_of(std::move(forward)) == key_list{"a", "b"});
    CHECK(keys_of(std::move(backward)) == key_list{"b", "a"});
    CHECK(keys_of(engine->scan("a", "z")) == key_list{"d"});
  }
}

TEST_CASE_FIXTURE(engines, "storage engine: a range is erased up to its end, and what is written behind that "
                           "in the same set stays") {
  for (auto& engine : all) {
    put(*engine, {"a", "b", "ba", "c", "d"});
    write(*engine, {{"bb", "vbb"}, {"b", std::nullopt, "d"}, {"ba", "vba"}});
    CHECK(keys_of(engine->scan("", "z")) == key_list{"a", "ba", "d"});
    CHECK(keys_of(engine->scan_back("", "z")) == key_list{"d", "ba", "a"});
    CHECK_FALSE(*engine->get("b"));
    CHECK(*engine->get("ba") == "vba");
  }
}

} // namespace dormouse::test::storage_engine_test
