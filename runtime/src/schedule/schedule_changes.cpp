#include "schedule/schedule_changes.hpp"

#include "host/runtime_core.hpp"
#include "proxy/fetch_commit.hpp"
#include "schedule/next_tick.hpp"

#include <dormouse/serialization/codec.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

/// Of the text of one failure: all of them are written each time.
constexpr std::size_t most_failure_bytes = 1'000;

} // namespace

void schedule_changes::put(const store& to, const address& of, const schedule_message& what) {
  to.put_schedule(writes, of, what);
  const keys::due_parts row{what.due_ms, what.id.number};
  earliest = earliest ? std::min(*earliest, row) : row;
}

void schedule_changes::let_out(runtime_core& core) const {
  core.counts.schedules.add(static_cast<std::uint64_t>(more)); // wraps around when there are fewer
  core.counts.scheduled.add(made);
  core.counts.fired.add(fired);
  core.counts.fired_late.add(fired_late);
  core.counts.failed_firings.add(failed);
  core.counts.dead_letters.add(buried);
  if (earliest) core.schedules->written(*earliest);
}

failed_firing after_failure(runtime_core& core, const address& of, const schedule_message& what,
                            const error& why) {
  const auto now = core.clock->now_ms();
  failed_firing out;
  auto next = what;
  next.tries.push_back({now, to_string(why).substr(0, most_failure_bytes)});
  if (next.tries.size() <= max_firing_retries) {
    next.due_ms = std::max(now, what.due_ms) +
                  firing_back_off(core.settings.seed, what.id.number, next.tries.size()).count();
    out.next = std::move(next);
    return out;
  }
  // The letter is of this tick alone: should it be retried, the schedule itself has long gone on, or its name
  // is another's.
  auto tick = what;
  tick.id = {core.store->next_id(), {}};
  tick.due_ms = tick.tick_ms;
  tick.interval_ms = 0;
  tick.cron.clear();
  tick.zone.clear();
  std::vector<dead_letter_try> history;
  for (auto& each : std::exchange(next.tries, {}))
    history.push_back({each.time_ms, std::move(each.failure)});
  tick.tries.clear();
  core.store->bury(out.letter, keys::schedule(of, tick.id), seal_value(frame_type::schedule, tick),
                   to_string(why), now, std::move(history));
  const auto again = next_tick(what, now);
  if (again && *again) {
    next.tick_ms = next.due_ms = **again;
    out.next = std::move(next);
    return out;
  }
  if (!again)
    core.trouble.error(fmt::format("end of schedule {}.{}", of.binding, what.method),
                       fmt::format("schedule {} of object {} ends, as its next tick is not known: {}",
                                   what.id.number, to_string(of), to_string(again.error())));
  return out;
}

failed_firing quarantine(runtime_core& core, const address& of, const schedule_message& what,
                         const error& why, std::vector<dead_letter_try> history) {
  failed_firing out;
  out.is_of_handler = false;
  auto letter = what;
  letter.id = {core.store->next_id(), {}};
  letter.tries.clear();
  core.store->bury(out.letter, keys::schedule(of, letter.id), seal_value(frame_type::schedule, letter),
                   to_string(why), core.clock->now_ms(), std::move(history));
  return out;
}

bool clear_away(runtime_core& core, const address& of, const schedule_id& id, std::int64_t due_ms,
                const error* damage) {
  auto due = keys::due(due_ms, id.number);
  if (auto row = core.store->get(due); !row || !*row)
    return row.has_value(); // it was cancelled, and this with it; or it cannot be read, and then it stays
  auto key = keys::schedule(of, id);
  auto damaged = damage != nullptr ? core.store->get(key) : std::nullopt;
  if (!damaged) return false; // nobody knows what is there: only what is known to be gone is cleared away
  core.counts.schedules.sub();
  std::unique_ptr<pending_commit> commit;
  if (*damaged) {
    commit = std::make_unique<row_burial>(core.counts);
    core.store->bury(commit->writes, std::move(key), std::move(**damaged), "schedule: " + to_string(*damage),
                     core.clock->now_ms());
  } else {
    commit = std::make_unique<row_erasure>();
  }
  commit->writes.push_back({std::move(due), std::nullopt});
  core.store->submit(std::move(commit));
  return true;
}

} // namespace dormouse
