#pragma once

/// Rows that a walk passed over because they could not be read, and when to look at them again: a second
/// later, and then after twice as long each time, up to ten minutes. A bad block does not mend itself, but
/// what reads it may: memory, a cable, a controller.

#include "ports/storage_engine.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>

namespace dormouse {

class unread_ranges {
public:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

  void add(const key_range& rows, std::int64_t now_ms);

  /// Whether a key is in one of them.
  bool contains(std::string_view key) const;

  bool empty() const noexcept { return ranges_.empty(); }
  std::int64_t next_ms() const noexcept { return next_ms_; }

  /// Asks of each whose time has come whether it has been read now, and forgets it then.
  void look_again(std::int64_t now_ms, const std::function<bool(const key_range& rows)>& has_been_read);

private:
  static constexpr std::size_t most = 1'000; ///< beyond it the next start looks again

  struct range {
    std::string to;
    std::int64_t again_ms;
    std::int64_t delay_ms;
  };

  std::map<std::string, range, std::less<>> ranges_; ///< by their first keys
  std::int64_t next_ms_ = never;
};

} // namespace dormouse
