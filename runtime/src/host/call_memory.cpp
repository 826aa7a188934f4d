#include "host/call_memory.hpp"

#include "host/turn_commit.hpp"

#include <dormouse/actors/runtime_methods.hpp>
#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/crc32c.hpp>
#include <dormouse/serialization/open_call.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

/// A reply that is not there yet when its time is up is looked for so much later, at least.
constexpr std::int64_t least_postponement_ms = 1'000;

/// Before it is known what it came to.
remembered_call describe(const envelope& what) {
  remembered_call out;
  out.method = what.method->name;
  out.arguments_digest = crc32c(what.arguments);
  out.arguments_bytes = what.arguments.size();
  return out;
}

/// Error: `invalid_request` for a key that was used for something else.
expected<void> check_same(const address& of, std::string_view key, const class_descriptor& type,
                          const remembered_call& first, const remembered_call& now) {
  if (runtime_methods::find(type, first.method) != runtime_methods::find(type, now.method))
    return fail(errc::invalid_request,
                fmt::format("idempotency key {:?} of a call of '{}' of object {} was used for a call of '{}'",
                            key, now.method, to_string(of), first.method));
  if (first.arguments_digest != now.arguments_digest || first.arguments_bytes != now.arguments_bytes)
    return fail(
        errc::invalid_request,
        fmt::format(
            "idempotency key {:?} of a call of '{}' of object {} was used for one with other arguments", key,
            now.method, to_string(of)));
  return {};
}

} // namespace

return_address way_to_memory(const address& of, std::uint64_t incarnation, const std::string& key) {
  return {of, std::string(call_methods::remember), encode(key), incarnation};
}

bool call_memory::answers(envelope& what, const class_descriptor& type, const return_address& way,
                          const std::shared_ptr<commit_gate>& gate) {
  auto first = find(what.key);
  if (first && !*first) return false;
  auto same = first ? check_same(of_, what.key, type, **first, describe(what))
                    : expected<void>(unexpected<error>(first.error()));
  if (!same) {
    reply_behind(core_, gate, std::move(what.sink), unexpected<error>(same.error()));
  } else if ((*first)->done_ms != 0) {
    reply_behind(core_, gate, std::move(what.sink), std::move((*first)->outcome));
  } else {
    core_.callers.add_to(way, std::move(what.sink));
    // Behind a commit that fails at this moment nobody would tell it: whichever comes first, this or the
    // failure, the other sees it.
    if (gate->failed.load(std::memory_order_acquire))
      for (auto& caller : core_.callers.take_all(way))
        caller->resolve(
            fail(errc::storage_error,
                 fmt::format("a commit of object {} failed while a call with idempotency key {:?} waited",
                             to_string(of_), what.key)));
  }
  return true;
}

expected<void> call_memory::remember(turn& in_turn, const envelope& what,
                                     std::optional<call_result<std::string>> outcome) {
  const auto now = core_.clock->now_ms();
  schedule_message end;
  end.method = call_methods::forget;
  end.arguments = encode(what.key);
  end.tick_ms = end.due_ms = now + core_.settings.call_results_kept_for.count();
  if (auto scheduled = in_turn.enqueue_schedule(std::move(end)); !scheduled)
    return unexpected<error>(scheduled.error());
  auto call = describe(what);
  if (outcome) {
    call.outcome = std::move(*outcome);
    call.done_ms = now;
  }
  change(what.key, std::move(call));
  return {};
}

expected<std::string> call_memory::complete(const reply_message& answer) {
  auto key = decode<std::string>(answer.path.top()->context);
  if (!key) return key;
  auto call = find(*key);
  if (!call) return unexpected<error>(call.error());
  if (*call && (*call)->done_ms == 0) {
    (*call)->done_ms = core_.clock->now_ms();
    (*call)->outcome = answer.answer;
    change(*key, std::move(**call));
  }
  return key;
}

expected<void> call_memory::forget(const schedule_message& due, schedule_book& schedules) {
  auto key = decode<std::string>(due.arguments);
  if (!key) return unexpected<error>(key.error());
  auto call = find(*key);
  if (!call && call.error().code == errc::storage_error) return unexpected<error>(call.error());
  const auto now = core_.clock->now_ms();
  const auto kept_for = core_.settings.call_results_kept_for.count();
  if (!call &&
      !core_.store->get(keys::remembered_call(of_, *key))) { // its block cannot be read; it may again
    schedules.postpone(due, now + std::max(kept_for, least_postponement_ms));
    return {};
  }
  if (call && *call) {
    const auto until =
        (*call)->done_ms == 0 ? now + std::max(kept_for, least_postponement_ms) : (*call)->done_ms + kept_for;
    if (until > now) {
      schedules.postpone(due, until);
      return {};
    }
  }
  if (auto fired = schedules.fire(due); !fired) return fired;
  change(*key, std::nullopt); // one that says nothing too
  return {};
}

expected<call_memory::row> call_memory::find(const std::string& key) const {
  if (auto known = recent_.find(key); known != recent_.end()) return known->second.first;
  return core_.store->load_remembered(of_, key);
}

void call_memory::change(const std::string& key, row now) {
  recent_.insert_or_assign(key, std::pair(std::move(now), std::uint64_t{0}));
  in_flight_.emplace_back(0, key);
}

void call_memory::take_changes(write_set& writes, std::uint64_t commit) {
  for (auto each = in_flight_.rbegin(); each != in_flight_.rend() && each->first == 0; ++each) {
    each->first = commit;
    auto& [now, carried_by] = recent_.at(each->second);
    if (carried_by == commit) continue;
    carried_by = commit;
    if (now)
      core_.store->put_remembered(writes, of_, each->second, *now);
    else
      writes.push_back({keys::remembered_call(of_, each->second), std::nullopt});
  }
}

void call_memory::settled(std::uint64_t commits) {
  for (; !in_flight_.empty() && in_flight_.front().first != 0 && in_flight_.front().first <= commits;
       in_flight_.pop_front())
    if (auto found = recent_.find(in_flight_.front().second);
        found != recent_.end() && found->second.second == in_flight_.front().first)
      recent_.erase(found);
}

void call_memory::clear() noexcept {
  recent_.clear();
  in_flight_.clear();
}

} // namespace dormouse
