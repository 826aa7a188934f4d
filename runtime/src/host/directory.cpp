#include "host/directory.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {

expected<caf::actor> directory::pin(const address& to, const class_descriptor& type, admission how) {
  auto& home = shard_of(to);
  std::lock_guard guard(home.mutex);
  if (home.closed) return fail(errc::stopped, "the runtime has stopped");
  auto found = home.entries.find(to);
  if (how == admission::bounded) {
    if (found != home.entries.end() && (*found)->pending.load(std::memory_order_relaxed) +
                                               (*found)->unwritten.load(std::memory_order_relaxed) >=
                                           limits_.max_mailbox_messages) {
      counters_.overloaded.add();
      return fail(errc::overloaded,
                  fmt::format("object {} has {} messages waiting, the limit of options::max_mailbox_messages",
                              to_string(to), limits_.max_mailbox_messages));
    }
    if (!counters_.pending_messages.add_below(limits_.max_pending_messages)) {
      counters_.overloaded.add();
      return fail(
          errc::overloaded,
          fmt::format("{} messages are waiting in the runtime, the limit of options::max_pending_messages",
                      limits_.max_pending_messages));
    }
  } else {
    counters_.pending_messages.add();
  }
  if (found == home.entries.end()) {
    auto entry = std::make_unique<directory_entry>(to, type);
    entry->activation = spawn_(*entry);
    home.by_use.push_front(*entry);
    found = home.entries.insert(std::move(entry)).first;
    note_active(1);
  } else if (&home.by_use.front() != found->get()) {
    home.by_use.splice(home.by_use.begin(), home.by_use, home.by_use.iterator_to(**found));
  }
  auto& entry = **found;
  entry.last_used = std::chrono::steady_clock::now();
  entry.pending.fetch_add(1, std::memory_order_relaxed);
  return entry.activation;
}

void directory::finished(directory_entry& entry) noexcept {
  counters_.pending_messages.sub();
  entry.pending.fetch_sub(1, std::memory_order_release);
}

bool directory::retire(directory_entry& entry) {
  auto& home = shard_of(entry.where);
  std::unique_ptr<directory_entry> gone; // freed after the lock, and its actor handle with it
  {
    std::lock_guard guard(home.mutex);
    if (entry.pending.load(std::memory_order_acquire) != 0) return false;
    auto found = home.entries.find(entry.where);
    home.by_use.erase(home.by_use.iterator_to(entry));
    gone = std::move(home.entries.extract(found).value());
  }
  note_active(-1);
  return true;
}

std::vector<caf::actor> directory::idle_ones(std::chrono::steady_clock::time_point before,
                                             std::size_t max_active, std::size_t max_bytes,
                                             std::size_t unwritten_bytes) {
  constexpr std::size_t most_per_shard = 256;
  std::vector<caf::actor> idle;
  const auto awake = active();
  auto surplus = awake > max_active ? awake - max_active : 0;
  if (auto bytes = counters_.active_bytes.get() + unwritten_bytes; bytes > max_bytes && awake > 0)
    surplus = std::max(surplus, awake - static_cast<std::size_t>(static_cast<double>(awake) *
                                                                 static_cast<double>(max_bytes) /
                                                                 static_cast<double>(bytes)));
  // The shards fill evenly, so an even share of the surplus from each is close to the least recently used
  // overall.
  const auto share = (surplus + shard_count - 1) / shard_count;
  for (auto& home : shards_) {
    std::lock_guard guard(home.mutex);
    std::size_t taken = 0;
    std::size_t seen = 0;
    for (auto entry = home.by_use.rbegin();
         entry != home.by_use.rend() && taken < most_per_shard && seen < 4 * most_per_shard;
         ++entry, ++seen) {
      if (entry->last_used >= before && taken >= share) break;
      if (entry->pending.load(std::memory_order_relaxed) != 0) continue;
      idle.push_back(entry->activation);
      ++taken;
    }
  }
  return idle;
}

std::vector<caf::actor> directory::close() {
  std::vector<caf::actor> awake;
  for (auto& home : shards_) {
    std::lock_guard guard(home.mutex);
    home.closed = true;
    for (const auto& entry : home.entries)
      awake.push_back(entry->activation);
  }
  return awake;
}

bool directory::wait_until_empty(std::chrono::milliseconds at_most) {
  std::unique_lock lock(empty_mutex_);
  return empty_.wait_for(lock, at_most, [this] { return active() == 0; });
}

void directory::note_active(std::ptrdiff_t change) {
  if (change > 0) {
    auto now = active_.fetch_add(1, std::memory_order_relaxed) + 1;
    auto peak = peak_.load(std::memory_order_relaxed);
    while (now > peak && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
    }
    return;
  }
  if (active_.fetch_sub(1, std::memory_order_relaxed) == 1) {
    std::lock_guard guard(empty_mutex_);
    empty_.notify_all();
  }
}

} // namespace dormouse
