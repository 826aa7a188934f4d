#include "proxy/origin_book.hpp"

#include <iterator>

namespace dormouse {
namespace {

void add_up(origin_stats& sum, const origin_stats& each) {
  sum.attempts += each.attempts;
  sum.retries += each.retries;
  sum.responses += each.responses;
  sum.errors += each.errors;
  sum.rejected += each.rejected;
  for (std::size_t i = 0; i < each.by_class.size(); ++i)
    sum.by_class[i] += each.by_class[i];
  for (std::size_t i = 0; i < each.durations.buckets.size(); ++i)
    sum.durations.buckets[i] += each.durations.buckets[i];
}

} // namespace

origin_stats& origin_book::entry(const std::string& origin) {
  if (auto found = by_name_.find(origin); found != by_name_.end()) {
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return by_use_.front();
  }
  // One with something in flight stays, or its gauge would be lost. It is in use, so it goes to the front.
  // Two places are looked at for each origin that comes, so that what was too much while all were in use is
  // given back.
  for (int looks = 0; looks < 2 && by_use_.size() >= most_origins; ++looks) {
    auto last = std::prev(by_use_.end());
    if (last->in_flight != 0) {
      by_use_.splice(by_use_.begin(), by_use_, last);
      continue;
    }
    add_up(other_, *last);
    by_name_.erase(last->origin);
    by_use_.erase(last);
  }
  by_use_.push_front({.origin = origin});
  by_name_.emplace(origin, by_use_.begin());
  return by_use_.front();
}

std::vector<origin_stats> origin_book::all() const {
  std::lock_guard guard(mutex_);
  std::vector<origin_stats> out(by_use_.begin(), by_use_.end());
  if (other_.attempts != 0 || other_.rejected != 0) out.push_back(other_);
  return out;
}

} // namespace dormouse
