#include "host/storage_overlay.hpp"

#include <doctest/doctest.h>

#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace dormouse::test::storage_overlay_test {
namespace {

using contents = std::map<std::string, std::optional<std::string>>;

row_layer written(std::initializer_list<contents::value_type> rows) {
  row_layer layer;
  for (const auto& [key, value] : rows)
    layer.set(key, {value});
  return layer;
}

row_layer written_after_erasing_all(std::initializer_list<contents::value_type> rows) {
  auto layer = written(rows);
  layer.hides_below = true;
  return layer;
}

struct fixture {
  std::shared_ptr<commit_gate> gate = std::make_shared<commit_gate>();
  storage_overlay overlay;

  fixture() { overlay.follow(gate); }

  void settle_one() { ++gate->settled_rows; }
  bool hides_below() { return overlay.rows().hides_below; }
  std::size_t bytes() { return overlay.rows().bytes; }
  contents rows() {
    contents all;
    for (const auto& [key, row] : overlay.rows().rows)
      all.emplace(key, row.value);
    return all;
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture,
                  "storage overlay: a row is dropped when the commit that wrote it last can be read") {
  overlay.add(written({{"a", "1"}, {"b", "1"}}));
  overlay.add(written({{"a", "2"}, {"c", std::nullopt}}));
  overlay.add(written({{"c", "3"}}));
  CHECK(rows() == contents{{"a", "2"}, {"b", "1"}, {"c", "3"}});
  settle_one();
  CHECK(rows() == contents{{"a", "2"}, {"c", "3"}});
  settle_one();
  CHECK(rows() == contents{{"c", "3"}});
  overlay.add(written({{"d", std::nullopt}}));
  settle_one();
  CHECK(rows() == contents{{"d", std::nullopt}});
  settle_one();
  CHECK(rows() == contents{});
}

TEST_CASE_FIXTURE(fixture, "storage overlay: erasing all hides what is below until it can be read") {
  overlay.add(written({{"a", "1"}}));
  overlay.add(written_after_erasing_all({{"b", "2"}}));
  overlay.add(written({{"c", "3"}}));
  CHECK(hides_below());
  CHECK(rows() == contents{{"b", "2"}, {"c", "3"}});
  settle_one();
  CHECK(hides_below());
  CHECK(rows() == contents{{"b", "2"}, {"c", "3"}});
  settle_one();
  CHECK_FALSE(hides_below());
  CHECK(rows() == contents{{"c", "3"}});
  settle_one();
  overlay.add(written_after_erasing_all({}));
  CHECK(hides_below());
  settle_one();
  CHECK(overlay.rows().empty());
}

TEST_CASE_FIXTURE(fixture, "storage overlay: the later of two erasures of all is the one that counts") {
  overlay.add(written_after_erasing_all({{"a", "1"}}));
  overlay.add(written_after_erasing_all({{"a", "2"}}));
  settle_one();
  CHECK(hides_below());
  CHECK(rows() == contents{{"a", "2"}});
  settle_one();
  CHECK(overlay.rows().empty());
}

TEST_CASE_FIXTURE(fixture,
                  "storage overlay: another gate counts from the beginning and brings nothing along") {
  overlay.add(written({{"a", "1"}}));
  settle_one();
  overlay.add(written_after_erasing_all({{"b", "2"}}));
  gate = std::make_shared<commit_gate>();
  overlay.follow(gate);
  CHECK(overlay.rows().empty());
  overlay.add(written({{"c", "1"}}));
  CHECK(rows() == contents{{"c", "1"}});
  settle_one();
  CHECK(rows() == contents{});
}

TEST_CASE_FIXTURE(fixture, "storage overlay: the bytes of keys and values are counted") {
  overlay.add(written({{"key", "value"}, {"x", std::nullopt}}));
  CHECK(bytes() == 9);
  overlay.add(written({{"key", "v"}}));
  CHECK(bytes() == 5);
  settle_one();
  CHECK(bytes() == 4);
  overlay.add(written_after_erasing_all({}));
  CHECK(bytes() == 0);
  overlay.add(written({{"key", "value"}}));
  overlay.clear();
  CHECK(bytes() == 0);
}

} // namespace dormouse::test::storage_overlay_test
