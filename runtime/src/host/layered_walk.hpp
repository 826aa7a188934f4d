#pragma once

/// A walk over the rows of an object's storage through the layers that lie over the store: in order of keys
/// or against it, each key once, as the uppermost layer has it, without those that were erased.

#include "host/storage_overlay.hpp"
#include "ports/storage_engine.hpp"
#include "store/store.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

/// User keys in [from, to).
struct row_range {
  std::string from;
  std::optional<std::string> to; ///< none: to the last

  bool is_empty() const noexcept { return to && *to <= from; }
};

enum class walk_order : std::uint8_t { forward, backward };

class layered_walk {
public:
  struct row {
    std::string key;
    std::string bytes;
    bool is_frame; ///< from the store and not checked yet; else the bytes of the value
  };

  /// `layers`: the uppermost first; they outlive the walk and do not change meanwhile. `range` is not empty.
  layered_walk(store& below, const address& of, std::span<const row_layer* const> layers,
               const row_range& range, walk_order order);

  /// Nothing at the end. Error: `storage_error`.
  expected<std::optional<row>> next();

private:
  bool is_before(std::string_view a, std::string_view b) const noexcept {
    return order_ == walk_order::forward ? a < b : b < a;
  }
  std::string_view stored_key() const { return stored_->key().substr(prefix_bytes_); }

  struct part {
    row_layer::row_map::const_iterator at;
    row_layer::row_map::const_iterator
        end; ///< forward: where it ends; backward: where the range begins, and `at` is one behind the row
  };
  bool has_row(const part& which) const noexcept { return which.at != which.end; }
  const row_layer::row_map::value_type& row_of(const part& which) const {
    return order_ == walk_order::forward ? *which.at : *std::prev(which.at);
  }
  void advance(part& which) const;

  walk_order order_;
  std::vector<part> parts_; ///< the uppermost layer first
  std::size_t prefix_bytes_ = 0;
  std::unique_ptr<row_cursor> stored_; ///< null: the layers hide the store
};

} // namespace dormouse
