#pragma once

/// The figures of each origin, for `runtime::stats()`. Bounded: the least recently used ones are added up as
/// "other". Written by the dispatcher, read by anyone.

#include <dormouse/runtime/stats.hpp>

#include <cstddef>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace dormouse {

class origin_book {
public:
  static constexpr std::size_t most_origins = 1'000;

  /// Hands the entry of an origin to `change`, under the lock.
  template <class Change> void note(const std::string& origin, Change change) {
    std::lock_guard guard(mutex_);
    change(entry(origin));
  }

  std::vector<origin_stats> all() const;

private:
  origin_stats& entry(const std::string& origin);

  mutable std::mutex mutex_;
  std::list<origin_stats> by_use_; ///< front: used last
  std::unordered_map<std::string, std::list<origin_stats>::iterator> by_name_;
  origin_stats other_{.origin = "other"};
};

} // namespace dormouse
