#include "host/inbox_walks.hpp"

#include "store/keys.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace dormouse {

void inbox_walks::begin(std::string_view binding) {
  std::lock_guard guard(mutex_);
  walks_.emplace(std::string(binding), walk{});
  open_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<void> inbox_walks::on_the_way(std::string_view binding, std::uint64_t id) {
  if (open_.load(std::memory_order_acquire) == 0) return nullptr;
  std::lock_guard guard(mutex_);
  if (!walks_.contains(binding)) return nullptr;
  on_the_way_.insert(id);
  return {nullptr, [this, id](void*) { forget(id); }};
}

void inbox_walks::forget(std::uint64_t id) {
  std::lock_guard guard(mutex_);
  on_the_way_.erase(id);
}

std::optional<delivery_order> inbox_walks::arrived(delivery_order what) {
  if (open_.load(std::memory_order_acquire) == 0) return what;
  std::lock_guard guard(mutex_); // `what` outlives it
  auto found = walks_.find(what.to.binding);
  if (found != walks_.end() && found->second.reading) {
    found->second.meanwhile.push_back(std::move(what));
    return std::nullopt;
  }
  if (found == walks_.end() || keys::inbox(what.to, what.what->inbox_id) <= found->second.passed) {
    note_delivery(what.to, what.what->inbox_id);
    return what;
  }
  on_the_way_.erase(what.what->inbox_id); // now, so that the next batch has it
  return std::nullopt;
}

bool inbox_walks::arrived(const address& where, std::uint64_t id) {
  if (open_.load(std::memory_order_acquire) == 0) return true;
  std::lock_guard guard(mutex_);
  auto found = walks_.find(where.binding);
  if (found != walks_.end() && keys::inbox(where, id) > found->second.passed) return false;
  note_delivery(where, id);
  return true;
}

void inbox_walks::leave_unread(const key_range& rows, std::uint64_t first_new_id) {
  std::lock_guard guard(mutex_);
  auto [at, is_new] = unread_.try_emplace(rows.from, unread{rows.to, first_new_id});
  if (!is_new) at->second.to = std::max(at->second.to, rows.to);
  if (is_new) open_.fetch_add(1, std::memory_order_release);
}

bool inbox_walks::was_delivered(std::uint64_t id) const {
  std::lock_guard guard(mutex_);
  return delivered_.contains(id);
}

/// Under the lock.
void inbox_walks::note_delivery(const address& where, std::uint64_t id) {
  if (unread_.empty()) return;
  const auto key = keys::inbox(where, id);
  auto behind = unread_.upper_bound(key);
  if (behind == unread_.begin()) return;
  const auto& rows = std::prev(behind)->second;
  if (key < rows.to && id < rows.first_new_id) delivered_.insert(id);
}

void inbox_walks::read(std::string_view binding) {
  std::lock_guard guard(mutex_);
  walks_.find(binding)->second.reading = true;
}

void inbox_walks::pass(std::string_view binding, std::vector<delivery_order> batch,
                       const std::optional<std::string>& up_to, const hand_over& deliver) {
  std::vector<delivery_order> meanwhile; // outlives the lock, which letting go of an order takes
  std::lock_guard guard(mutex_);         // until all is handed over: what comes next stands behind it
  auto found = walks_.find(binding);
  found->second.reading = false;
  meanwhile = std::move(found->second.meanwhile);
  found->second.meanwhile.clear();
  for (auto& each : batch)
    if (!on_the_way_.contains(each.what->inbox_id)) {
      note_delivery(each.to, each.what->inbox_id);
      deliver(std::move(each));
    }
  for (auto& each : meanwhile)
    if (!up_to || keys::inbox(each.to, each.what->inbox_id) <= *up_to) {
      note_delivery(each.to, each.what->inbox_id);
      deliver({each.to, each.type, std::move(each.what), nullptr});
    } else
      on_the_way_.erase(each.what->inbox_id); // a later batch has it
  if (up_to) {
    found->second.passed = *up_to;
    return;
  }
  walks_.erase(found);
  open_.fetch_sub(1, std::memory_order_release);
}

} // namespace dormouse
