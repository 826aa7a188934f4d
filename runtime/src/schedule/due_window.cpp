#include "schedule/due_window.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace dormouse {
namespace {

constexpr std::int64_t read_again_after_ms = 500;

} // namespace

void due_window::written(const keys::due_parts& row) {
  from_ = std::min(from_, keys::due(row.due_ms, row.number));
  next_ms_ = std::min(next_ms_, row.due_ms);
}

void due_window::aside(const keys::due_parts& row) {
  if (out_.erase(row) != 0) aside_.insert(row);
}

bool due_window::over(const keys::due_parts& row) { return out_.erase(row) + aside_.erase(row) != 0; }

void due_window::defined(const std::string& binding) {
  auto first = passed_over_.extract(binding);
  if (first.empty()) return;
  from_ = std::min(from_, std::move(first.mapped()));
  more_due_ = true;
}

void due_window::read_again(const std::string& from) {
  from_ = std::min(from_, from);
  more_due_ = true;
}

bool due_window::hand_over_early(const keys::due_parts& row, keys::schedule_parts of) {
  if (out_.size() >= most_) return false;
  if (aside_.contains(row) || !out_.insert(row).second) return true;
  if (!owner_.hand_over(row, std::move(of))) out_.erase(row);
  return true;
}

bool due_window::read(std::int64_t now_ms) {
  if (next_ms_ <= now_ms) more_due_ = true;
  if (!more_due_ || out_.size() > most_ / 2) return false;
  next_ms_ = never;
  auto row = owner_.scan(from_, keys::all('W').second);
  for (std::size_t seen = 0; row->valid(); row->next(), ++seen) {
    const auto place = keys::parse_due(row->key());
    if (place && place->due_ms > now_ms) {
      from_ = row->key();
      next_ms_ = place->due_ms;
      more_due_ = false;
      return false;
    }
    if (out_.size() >= most_ || seen >= rows_per_read) {
      from_ = row->key();
      return out_.size() < most_;
    }
    from_ = row->key();
    from_ += '\0';
    if (place && (out_.contains(*place) || aside_.contains(*place))) continue;
    auto of = keys::parse_schedule(row->value());
    if (!place || !of) {
      owner_.bury(*row, place ? "it does not lead to a schedule" : "the key is malformed");
      continue;
    }
    out_.insert(*place);
    auto binding = of->where.binding;
    if (!owner_.hand_over(*place, std::move(*of))) {
      out_.erase(*place);
      passed_over_.try_emplace(std::move(binding), row->key());
    }
  }
  if (auto read = row->status(); !read) {
    owner_.unreadable(read.error());
    next_ms_ = now_ms + read_again_after_ms;
    return false;
  }
  more_due_ = false;
  return false;
}

} // namespace dormouse
