#include "store/unread_ranges.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace dormouse {
namespace {

constexpr std::int64_t first_delay_ms = 1'000;
constexpr std::int64_t longest_delay_ms = 600'000;

} // namespace

void unread_ranges::add(const key_range& rows, std::int64_t now_ms) {
  if (auto known = ranges_.find(rows.from); known != ranges_.end()) {
    known->second.to = std::max(known->second.to, rows.to);
    return;
  }
  if (ranges_.size() >= most) return;
  ranges_.emplace(rows.from, range{rows.to, now_ms + first_delay_ms, first_delay_ms});
  next_ms_ = std::min(next_ms_, now_ms + first_delay_ms);
}

bool unread_ranges::contains(std::string_view key) const {
  auto behind = ranges_.upper_bound(key);
  return behind != ranges_.begin() && key < std::prev(behind)->second.to;
}

void unread_ranges::look_again(std::int64_t now_ms,
                               const std::function<bool(const key_range& rows)>& has_been_read) {
  if (now_ms < next_ms_) return;
  next_ms_ = never;
  for (auto at = ranges_.begin(); at != ranges_.end();) {
    auto& [from, rest] = *at;
    if (rest.again_ms <= now_ms) {
      if (has_been_read({from, rest.to})) {
        at = ranges_.erase(at);
        continue;
      }
      rest.delay_ms = std::min(rest.delay_ms * 2, longest_delay_ms);
      rest.again_ms = now_ms + rest.delay_ms;
    }
    next_ms_ = std::min(next_ms_, rest.again_ms);
    ++at;
  }
}

} // namespace dormouse
