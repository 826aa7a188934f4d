#include "proxy/ready_queue.hpp"

#include <algorithm>
#include <cmath>

namespace dormouse {
namespace {

constexpr std::uint32_t turns_in_a_round = 21;

/// Whose turn it is, if it has work: 16 times high, 4 times normal, once low.
std::size_t preferred(std::uint32_t turn) {
  if (turn == turns_in_a_round - 1) return static_cast<std::size_t>(fetch_priority::low);
  return static_cast<std::size_t>(turn % 5 == 4 ? fetch_priority::normal : fetch_priority::high);
}

} // namespace

void ready_queue::limit_queue(const std::string& queue, std::size_t max_in_flight) {
  queues_[queue].limit = max_in_flight;
}

void ready_queue::add(const place& at, std::int64_t now_ms) {
  auto origin = find_or_add(at.origin, now_ms);
  auto& queue = queues_[at.queue];
  auto& in = origin->second.lanes[&queue];
  in.origin = &origin->second;
  in.queue = &queue;
  in.waiting[static_cast<std::size_t>(at.priority)].insert(at.id);
  refresh(origin, now_ms);
}

std::optional<std::uint64_t> ready_queue::take(std::int64_t now_ms) {
  while (next_ms() <= now_ms)
    refresh(origins_.find(timers_.begin()->second->name), now_ms);
  // Round robin, beginning behind the one that had the last turn.
  auto at = queues_.upper_bound(last_queue_);
  for (std::size_t seen = 0; seen < queues_.size(); ++seen, ++at) {
    if (at == queues_.end()) at = queues_.begin();
    if (auto id = take_from(at->second, now_ms)) {
      last_queue_ = at->first;
      return id;
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ready_queue::take_from(queue_state& queue, std::int64_t now_ms) {
  if (queue.in_flight >= queue.limit) return std::nullopt;
  auto priority = preferred(queue.turn);
  if (queue.ready[priority].empty()) {
    priority = 0;
    while (priority < priorities && queue.ready[priority].empty())
      ++priority;
    if (priority == priorities) return std::nullopt;
  }
  queue.turn = (queue.turn + 1) % turns_in_a_round;
  auto& from = *queue.ready[priority].begin()->second;
  auto& origin = *from.origin;
  const auto id = *from.waiting[priority].begin();
  from.waiting[priority].erase(from.waiting[priority].begin());
  ++queue.in_flight;
  ++origin.in_flight;
  origin.tokens -= 1;
  refresh(origins_.find(origin.name), now_ms);
  return id;
}

bool ready_queue::remove(const place& at, std::int64_t now_ms) {
  auto origin = origins_.find(at.origin);
  auto queue = queues_.find(at.queue);
  if (origin == origins_.end() || queue == queues_.end()) return false;
  auto in = origin->second.lanes.find(&queue->second);
  if (in == origin->second.lanes.end() ||
      in->second.waiting[static_cast<std::size_t>(at.priority)].erase(at.id) == 0)
    return false;
  refresh(origin, now_ms);
  return true;
}

void ready_queue::release(const std::string& queue, const std::string& origin, std::int64_t now_ms) {
  auto at = origins_.find(origin);
  auto in = queues_.find(queue);
  if (at == origins_.end() || in == queues_.end() || at->second.in_flight == 0 || in->second.in_flight == 0)
    return;
  --in->second.in_flight;
  --at->second.in_flight;
  refresh(at, now_ms);
}

void ready_queue::release_unused(const std::string& queue, const std::string& origin, std::int64_t now_ms) {
  if (auto at = origins_.find(origin); at != origins_.end() && at->second.in_flight != 0)
    at->second.tokens = std::min(at->second.rules.burst, at->second.tokens + 1);
  release(queue, origin, now_ms);
}

void ready_queue::hold(const std::string& origin, std::int64_t until_ms, std::int64_t now_ms) {
  auto at = find_or_add(origin, now_ms);
  at->second.held_ms = until_ms;
  refresh(at, now_ms);
}

void ready_queue::narrow(const std::string& origin, std::optional<std::size_t> max_in_flight,
                         std::int64_t now_ms) {
  auto at = find_or_add(origin, now_ms);
  at->second.narrowed = max_in_flight;
  refresh(at, now_ms);
}

ready_queue::origin_map::iterator ready_queue::find_or_add(const std::string& origin, std::int64_t now_ms) {
  auto [at, is_new] = origins_.try_emplace(origin);
  if (is_new) {
    auto& fresh = at->second;
    fresh.name = origin;
    fresh.rules = rules_(origin);
    fresh.tokens = fresh.rules.burst;
    fresh.counted_ms = now_ms;
  }
  return at;
}

void ready_queue::refresh(origin_map::iterator at, std::int64_t now_ms) {
  auto& origin = at->second;
  const bool limited = origin.rules.per_second > 0;
  if (limited) {
    // A clock that was set back gives nothing and takes nothing.
    const auto passed = std::max<std::int64_t>(0, now_ms - origin.counted_ms);
    origin.tokens = std::min(origin.rules.burst,
                             origin.tokens + static_cast<double>(passed) * origin.rules.per_second / 1000);
  }
  origin.counted_ms = now_ms;
  const bool has_token = !limited || origin.tokens >= 1 - 1e-9;
  const bool open = origin.in_flight < origin.narrowed.value_or(origin.rules.max_in_flight) && has_token &&
                    origin.held_ms <= now_ms;
  bool waits = false;
  for (auto in = origin.lanes.begin(); in != origin.lanes.end();) {
    auto& [queue, here] = *in;
    bool empty = true;
    for (std::size_t priority = 0; priority < priorities; ++priority) {
      auto& waiting = here.waiting[priority];
      empty = empty && waiting.empty();
      const auto offer = open && !waiting.empty() ? std::optional(*waiting.begin()) : std::nullopt;
      auto& offered = here.offered[priority];
      if (offer == offered) continue;
      if (offered) queue->ready[priority].erase({*offered, &here});
      if (offer) queue->ready[priority].emplace(*offer, &here);
      offered = offer;
    }
    waits = waits || !empty;
    in = empty ? origin.lanes.erase(in) : std::next(in);
  }
  const auto milliseconds_for = [&origin](double tokens) {
    return static_cast<std::int64_t>(std::ceil(tokens * 1000 / origin.rules.per_second));
  };
  auto timer = until_told;
  if (origin.held_ms > now_ms)
    timer = origin.held_ms;
  else if (waits && !has_token)
    timer = now_ms + std::max<std::int64_t>(1, milliseconds_for(1 - origin.tokens));
  else if (!waits && origin.in_flight == 0 && limited && origin.tokens < origin.rules.burst)
    timer = now_ms + std::max<std::int64_t>(
                         1, milliseconds_for(origin.rules.burst -
                                             origin.tokens)); // forgotten when the bucket is full again
  set_timer(origin, timer);
  if (timer == until_told && !waits && origin.in_flight == 0 && !origin.narrowed && origin.held_ms <= now_ms)
    origins_.erase(at);
}

void ready_queue::set_timer(origin_state& origin, std::int64_t at_ms) {
  if (at_ms == origin.timer_ms) return;
  if (origin.timer_ms != until_told) timers_.erase({origin.timer_ms, &origin});
  if (at_ms != until_told) timers_.emplace(at_ms, &origin);
  origin.timer_ms = at_ms;
}

} // namespace dormouse
