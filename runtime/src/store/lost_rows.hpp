#pragma once

/// What a repair could not save: ranges of keys of which nobody knows what rows they had. A row that is not
/// found there is not taken for one that never was. They are rows of the store themselves ('L').

#include "ports/storage_engine.hpp"
#include "store/keys.hpp"

#include <dormouse/serialization/error.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

struct lost_range {
  std::string from;
  std::string to;
  std::string reason;
  std::int64_t time_ms = 0; ///< of the repair

  key_range rows() const { return {from, to}; }

  template <class Archive> void serialize(Archive& ar) { ar(from, to, reason, time_ms); }
};

class lost_rows {
public:
  /// Error: `corrupt`, `storage_error`.
  static expected<lost_rows> load(storage_engine& from);

  bool empty() const noexcept { return ranges_.empty(); }
  const std::vector<lost_range>& ranges() const noexcept { return ranges_; }

  /// The range that a key is in; null: none.
  const lost_range* find(std::string_view key) const;

  /// A range that rows which belong to this object may have been in; null: none. Its own row is not among
  /// them, nor what is in its inbox.
  const lost_range* find_of(const address& where) const;

private:
  std::vector<lost_range> ranges_; ///< in order, and they do not overlap
};

write_op put_lost(std::uint64_t number, const lost_range& what);

} // namespace dormouse
