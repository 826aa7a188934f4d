#pragma once

/// A walk that does not end at damage: what cannot be read is passed over, noted in the damage book, and told
/// to whoever walks, who decides whether to look at it again later. It is for walks that serve many, such as
/// those over the queue. Whoever answers a question with a walk uses one that fails (`store::scan`).

#include "ports/storage_engine.hpp"
#include "store/damage_book.hpp"

#include <functional>
#include <memory>
#include <utility>

namespace dormouse {

class readable_cursor final : public row_cursor {
public:
  using skipped = std::function<void(const key_range& rows)>;

  readable_cursor(std::unique_ptr<row_cursor> rows, damage_book& book, skipped tell = {});

  bool valid() const override { return rows_->valid(); }
  std::string_view key() const override { return rows_->key(); }
  std::string_view value() const override { return rows_->value(); }
  void next() override;
  expected<void> status() const override { return rows_->status(); } ///< never damage that could be passed

private:
  void pass_damage();

  std::unique_ptr<row_cursor> rows_;
  damage_book& book_;
  const skipped tell_;
};

} // namespace dormouse
