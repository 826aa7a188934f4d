#pragma once

/// The rows of a store that no runtime has open: to look at, and to damage.

#include "store/keys.hpp"
#include "store/rocksdb_engine.hpp"

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace dormouse::test {

class disk {
public:
  explicit disk(const std::filesystem::path& directory)
      : engine_(value_or_throw(
            open_rocksdb({directory, std::size_t{1} << 20U, std::size_t{1} << 20U, 128 * 1024}))) {}

  std::map<std::string, std::string> rows(char kind) {
    std::map<std::string, std::string> all;
    const auto range = keys::all(kind);
    for (auto row = engine_->scan(range.first, range.second); row->valid(); row->next())
      all.emplace(row->key(), row->value());
    return all;
  }

  std::size_t count(char kind) { return rows(kind).size(); }

  void put(const std::string& key, std::string value) { put_all({{key, std::move(value)}}); }

  void put_all(const write_set& writes) {
    const write_set* sets[] = {&writes};
    value_or_throw(engine_->write(sets));
  }

  /// Changes every row of a kind; tells how many there were.
  std::size_t change(char kind, const std::function<void(std::string&)>& how) {
    auto all = rows(kind);
    for (auto& [key, value] : all) {
      how(value);
      put(key, value);
    }
    return all.size();
  }

private:
  std::unique_ptr<storage_engine> engine_;
};

/// Kinds of damage to a row.
inline void flip_last_bit(std::string& row) { row.back() = static_cast<char>(row.back() ^ 1); }
inline void cut_in_half(std::string& row) { row.resize(row.size() / 2); }

} // namespace dormouse::test
