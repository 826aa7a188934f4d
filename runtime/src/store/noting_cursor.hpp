#pragma once

/// A walk that answers a question, and fails when it meets damage: the answer would be wrong. The damage is
/// noted like any other, and the error names the rows. Walks that serve many pass over it instead
/// (readable_cursor.hpp).

#include "ports/storage_engine.hpp"
#include "store/damage_book.hpp"

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace dormouse {

class noting_cursor final : public row_cursor {
public:
  /// `within` is what the walk goes over.
  noting_cursor(std::unique_ptr<row_cursor> rows, key_range within, damage_book& book)
      : rows_(std::move(rows)), within_(std::move(within)), book_(book) {
    look();
  }

  bool valid() const override { return !failed_ && rows_->valid(); }
  std::string_view key() const override { return rows_->key(); }
  std::string_view value() const override { return rows_->value(); }
  void next() override {
    if (failed_) return;
    rows_->next();
    look();
  }
  expected<void> status() const override {
    if (failed_) return unexpected<error>(*failed_);
    return rows_->status();
  }

private:
  void look() {
    if (rows_->valid()) return;
    const auto ended = rows_->status();
    if (ended || ended.error().code != errc::corrupt) return;
    auto lost = rows_->skip_damage();
    if (lost && lost->is_empty()) lost = within_; // it can be read by now
    if (!lost) lost = within_;                    // a walk backwards cannot tell
    book_.note(*lost, ended.error());
    failed_ = error{errc::corrupt, describe_rows(*lost) + " cannot be read: " + ended.error().message};
  }

  std::unique_ptr<row_cursor> rows_;
  const key_range within_;
  damage_book& book_;
  std::optional<error> failed_;
};

} // namespace dormouse
