#pragma once

/// Which queued fetch goes next: by priority, then age, among origins that have a free place (R12). Picking and adding cost the logarithm
/// of what is queued, however many origins there are.

#include <dormouse/serialization/request.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace dormouse {

class ready_queue {
public:
  explicit ready_queue(std::size_t max_in_flight_per_origin) : limit_(max_in_flight_per_origin) {}

  /// `id` orders by age.
  void add(const std::string& origin, fetch_priority priority, std::uint64_t id);

  /// Takes the next one out and a place of its origin with it; nothing if all is empty or every origin with work is full.
  std::optional<std::uint64_t> take();

  /// Takes a fetch out that will not go; false if it was not there.
  bool remove(const std::string& origin, fetch_priority priority, std::uint64_t id);

  /// Gives an origin's place back.
  void release(const std::string& origin);

private:
  using rank = std::pair<fetch_priority, std::uint64_t>;

  struct origin_state {
    std::size_t in_flight = 0;
    std::set<rank> waiting;
    std::optional<rank> offered; ///< how it stands in `heads_`
  };

  /// Brings what `heads_` says of an origin up to date; forgets an origin with nothing to do.
  void refresh(std::unordered_map<std::string, origin_state>::iterator origin);

  std::size_t limit_;
  std::unordered_map<std::string, origin_state> origins_;
  std::set<std::pair<rank, std::string>> heads_; ///< the first of each origin that has a free place
};

} // namespace dormouse
