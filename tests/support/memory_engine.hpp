#pragma once

/// Storage in memory, for tests of what writes to it.

#include "ports/storage_engine.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace dormouse::test {

class memory_engine final : public storage_engine {
public:
  using rows = std::map<std::string, std::string, std::less<>>;

  expected<std::optional<std::string>> get(std::string_view key) override {
    std::lock_guard guard(mutex_);
    auto found = rows_.find(key);
    return found == rows_.end() ? std::nullopt : std::optional(found->second);
  }

  expected<void> write(std::span<const write_set* const> sets) override {
    std::lock_guard guard(mutex_);
    batches_.push_back(sets.size());
    for (const auto* set : sets) {
      for (const auto& op : *set) {
        if (op.end)
          rows_.erase(rows_.lower_bound(op.key), rows_.lower_bound(*op.end));
        else if (op.value)
          rows_[op.key] = *op.value;
        else
          rows_.erase(op.key);
      }
    }
    return {};
  }

  std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to) override {
    std::lock_guard guard(mutex_);
    return std::make_unique<cursor>(sequence(rows_.lower_bound(from), rows_.lower_bound(to)));
  }

  std::unique_ptr<row_cursor> scan_back(std::string_view from, std::string_view to) override {
    std::lock_guard guard(mutex_);
    sequence seen(rows_.lower_bound(from), rows_.lower_bound(to));
    std::reverse(seen.begin(), seen.end());
    return std::make_unique<cursor>(std::move(seen));
  }

  rows all() const {
    std::lock_guard guard(mutex_);
    return rows_;
  }

  /// How many sets each write had.
  std::vector<std::size_t> batches() const {
    std::lock_guard guard(mutex_);
    return batches_;
  }

private:
  using sequence = std::vector<std::pair<std::string, std::string>>;

  class cursor final : public row_cursor {
  public:
    explicit cursor(sequence seen) : rows_(std::move(seen)), at_(rows_.begin()) {}
    bool valid() const override { return at_ != rows_.end(); }
    std::string_view key() const override { return at_->first; }
    std::string_view value() const override { return at_->second; }
    void next() override { ++at_; }
    expected<void> status() const override { return {}; }

  private:
    sequence rows_;
    sequence::iterator at_;
  };

  mutable std::mutex mutex_;
  rows rows_;
  std::vector<std::size_t> batches_;
};

} // namespace dormouse::test
