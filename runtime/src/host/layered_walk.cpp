#include "host/layered_walk.hpp"

namespace dormouse {

layered_walk::layered_walk(store& below, const address& of, std::span<const row_layer* const> layers,
                           const row_range& range, walk_order order)
    : order_(order) {
  bool hidden = false;
  for (const auto* layer : layers) {
    auto first = layer->rows.lower_bound(range.from);
    auto last = range.to ? layer->rows.lower_bound(*range.to) : layer->rows.end();
    parts_.push_back(order == walk_order::forward ? part{first, last} : part{last, first});
    hidden = layer->hides_below;
    if (hidden) break;
  }
  if (hidden) return;
  auto all = keys::storage_of(of);
  prefix_bytes_ = all.first.size();
  const auto to = range.to ? all.first + *range.to : all.second;
  all.first += range.from;
  stored_ = order == walk_order::forward ? below.scan(all.first, to) : below.scan_back(all.first, to);
}

void layered_walk::advance(part& which) const {
  if (order_ == walk_order::forward)
    ++which.at;
  else
    --which.at;
}

expected<std::optional<layered_walk::row>> layered_walk::next() {
  for (;;) {
    const row_layer::row_map::value_type* uppermost = nullptr;
    for (const auto& each : parts_)
      if (has_row(each) && (uppermost == nullptr || is_before(row_of(each).first, uppermost->first)))
        uppermost = &row_of(each);
    const bool has_stored = stored_ && stored_->valid();
    if (stored_ && !has_stored)
      if (auto ended = stored_->status(); !ended) return unexpected<error>(ended.error());
    if (uppermost == nullptr && !has_stored) return std::nullopt;
    if (uppermost == nullptr || (has_stored && is_before(stored_key(), uppermost->first))) {
      row found{std::string(stored_key()), std::string(stored_->value()), true};
      stored_->next();
      return found;
    }
    // Everything below has the same key and is hidden.
    if (has_stored && stored_key() == uppermost->first) stored_->next();
    for (auto& each : parts_)
      if (has_row(each) && row_of(each).first == uppermost->first) advance(each);
    if (uppermost->second.value) return row{uppermost->first, *uppermost->second.value, false};
  }
}

} // namespace dormouse
