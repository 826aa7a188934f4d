#pragma once

/// An engine that writes down what it meets of damage: single rows that are read, whose errors name them, and
/// writes that fail because the store has met damage by itself, when it compacts its tables. Walks are
/// watched by whoever passes over what is damaged (readable_cursor.hpp).

#include "ports/storage_engine.hpp"
#include "store/damage_book.hpp"

#include <memory>
#include <utility>

namespace dormouse {

class watched_engine final : public storage_engine {
public:
  watched_engine(std::unique_ptr<storage_engine> inner, damage_book& book)
      : inner_(std::move(inner)), book_(book) {}

  expected<std::optional<std::string>> get(std::string_view key) override {
    auto row = inner_->get(key);
    if (row || row.error().code != errc::corrupt) return row;
    book_.note_row(key, row.error());
    return fail(errc::corrupt, describe_rows({std::string(key), std::string(key) + '\0'}) +
                                   " cannot be read: " + row.error().message);
  }

  expected<void> write(std::span<const write_set* const> sets) override {
    auto outcome = inner_->write(sets);
    if (!outcome && outcome.error().code == errc::corrupt) book_.note({}, outcome.error());
    return outcome;
  }

  std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to) override {
    return inner_->scan(from, to);
  }
  std::unique_ptr<row_cursor> scan_back(std::string_view from, std::string_view to) override {
    return inner_->scan_back(from, to);
  }

private:
  std::unique_ptr<storage_engine> inner_;
  damage_book& book_;
};

} // namespace dormouse
