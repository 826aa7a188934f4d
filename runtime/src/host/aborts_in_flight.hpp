#pragma once

/// What the turns of one activation have aborted and is on its way to the disk: its next turn finds it here,
/// and everybody, from then on, in the store.

#include "host/actor_messages.hpp"

#include <dormouse/serialization/abort.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace dormouse {

class aborts_in_flight {
public:
  /// `commit`: the number of the commit that carries them.
  void add(const std::vector<abort_request>& made, std::uint64_t commit) {
    for (const auto& each : made)
      in_flight_.emplace_back(commit, each.id);
  }

  /// So many commits are in the store.
  void settled(std::uint64_t commits) {
    if (!in_flight_.empty())
      std::erase_if(in_flight_, [commits](const auto& each) { return each.first <= commits; });
  }

  bool has(const abort_id& id) const noexcept {
    return std::any_of(in_flight_.begin(), in_flight_.end(),
                       [&id](const auto& each) { return each.second == id; });
  }

  void clear() noexcept { in_flight_.clear(); }

private:
  std::vector<std::pair<std::uint64_t, abort_id>> in_flight_;
};

} // namespace dormouse
