#include "host/turn_commit.hpp"

#include "host/mailbox_room.hpp"

#include <dormouse/actors/runtime_methods.hpp>

#include <caf/send.hpp>

#include <algorithm>
#include <iterator>

namespace dormouse {

void reply_behind(runtime_core& core, const std::shared_ptr<commit_gate>& gate,
                  std::unique_ptr<reply_sink> sink, expected<std::string> what) {
  if (gate->in_flight.load(std::memory_order_acquire) == 0 && !gate->failed.load(std::memory_order_acquire))
    sink->resolve(std::move(what));
  else
    core.store->submit(std::make_unique<reply_barrier>(core.counts, gate, std::move(sink), std::move(what)));
}

delivery_order answer_object(runtime_core& core, write_set& writes, return_path waiting,
                             call_result<std::string> reply) {
  auto answer = std::make_unique<reply_message>();
  answer->path = std::move(waiting);
  auto [to, type, id, in_hand] = core.place_for(answer->path.top()->object);
  answer->path.top()->object = to;
  answer->id = id;
  answer->answer = std::move(reply);
  core.store->put_reply(writes, *answer);
  auto what = std::make_shared<envelope>();
  what->inbox_id = id;
  what->answer = std::move(answer);
  return {to, type, std::move(what), std::move(in_hand)};
}

turn_commit::turn_commit(runtime_core& core, directory_entry& entry, std::shared_ptr<commit_gate> tied_to,
                         consequences then)
    : core_(core), entry_(entry), activation_(entry.activation), then_(std::move(then)) {
  gate = std::move(tied_to);
  if (then_.handled && then_.handled->inbox_id != 0)
    core_.store->erase_inbox(*this, entry_.where, then_.handled->inbox_id,
                             then_.handled->has_blob && !then_.keeps_body);
  if (then_.handled && !core_.suspects.none()) {
    auto key = key_of(entry_.where, *then_.handled);
    if (!key.empty() && core_.suspects.find(key)) {
      writes.push_back({key, std::nullopt});
      cleared_ = std::move(key);
    }
  }
  if (const auto* waits = then_.reply_path.top(); waits != nullptr && !waiting_callers::is_caller(*waits))
    deliveries_.push_back(
        answer_object(core_, writes, std::exchange(then_.reply_path, {}), std::move(then_.reply)));
}

void turn_commit::add_tasks(task_effects tasks) {
  std::move(tasks.writes.begin(), tasks.writes.end(), std::back_inserter(writes));
  for (auto& [path, reply] : tasks.replies)
    if (waiting_callers::is_caller(*path.top()))
      told_.push_back({std::move(path), std::move(reply)});
    else
      deliveries_.push_back(answer_object(core_, writes, std::move(path), std::move(reply)));
  finished_ = std::move(tasks.finished);
  for (const auto fetch_id : tasks.bodies)
    core_.store->erase_bodies(*this, fetch_id);
}

void turn_commit::add_answers(std::vector<waiting_reply> answers) {
  for (auto& [path, reply] : answers)
    deliveries_.push_back(answer_object(core_, writes, std::move(path), std::move(reply)));
}

void turn_commit::add_calls(std::vector<admitted_call> calls) {
  messages_ += static_cast<std::uint32_t>(calls.size());
  deliveries_.reserve(deliveries_.size() + calls.size());
  for (auto& [to, type, message, in_hand] : calls) {
    core_.store->put_call(writes, to, message);
    auto what = std::make_shared<envelope>();
    what->inbox_id = message.id;
    what->method = runtime_methods::find(*type, message.method);
    what->arguments = std::move(message.arguments);
    what->path = std::move(message.path);
    deliveries_.push_back({std::move(to), type, std::move(what), std::move(in_hand)});
  }
}

void turn_commit::add_burial(burial what) {
  std::move(what.writes.begin(), what.writes.end(), std::back_inserter(writes));
  what.writes.clear();
  if (what.waiting_object) deliveries_.push_back(std::move(*what.waiting_object));
  buried_ = std::make_unique<burial>(std::move(what));
}

void turn_commit::add_schedules(schedule_changes changes) {
  std::move(changes.writes.begin(), changes.writes.end(), std::back_inserter(writes));
  changes.writes.clear();
  schedules_ = std::make_unique<schedule_changes>(std::move(changes));
}

void turn_commit::add_fetches(std::vector<admitted_fetch> fetches) {
  if (fetches.empty()) return;
  fetches_ = std::make_shared<std::vector<queued_fetch>>();
  fetches_->reserve(fetches.size());
  const auto now = core_.clock->now_ms();
  for (auto& fetch : fetches) {
    const auto due = std::max(now, fetch.message.extra.not_before_ms);
    core_.store->put_fetch(*this, fetch.message, due, std::move(fetch.body));
    fetches_->push_back({std::move(fetch.message), due});
  }
}

void turn_commit::add_aborts(std::vector<abort_request> aborts) {
  if (aborts.empty()) return;
  for (const auto& each : aborts)
    core_.store->put_abort(writes, each.id, each.mark);
  aborts_ = std::make_shared<std::vector<abort_request>>(std::move(aborts));
}

void turn_commit::add_rows(const row_layer& rows) {
  if (rows.hides_below) core_.store->erase_rows(writes, entry_.where); // first: the rows are behind it
  for (const auto& [key, row] : rows.rows) {
    if (row.value)
      core_.store->put_row(writes, entry_.where, key, *row.value);
    else if (!rows.hides_below)
      core_.store->erase_row(writes, entry_.where, key);
  }
  has_rows_ = true;
}

void turn_commit::count() {
  core_.counts.pending_messages.add(messages_);
  entry_.unwritten.fetch_add(1, std::memory_order_relaxed);
  if (then_.reply) more_bytes += then_.reply->size();
  if (then_.handled) more_bytes += bytes_in_memory(*then_.handled);
}

void turn_commit::settle(const expected<void>& outcome) noexcept {
  core_.counts.pending_messages.sub(messages_); // before anybody hears of it
  entry_.unwritten.fetch_sub(1, std::memory_order_relaxed);
  if (outcome && has_rows_) gate->settled_rows.fetch_add(1, std::memory_order_release);
  if (outcome)
    let_out();
  else
    take_back(outcome.error());
  // From here on the activation may retire and the entry be gone.
  if (gate->in_flight.fetch_sub(1, std::memory_order_seq_cst) == 1 &&
      gate->notify_when_idle.exchange(false, std::memory_order_seq_cst))
    caf::anon_send(activation_, commits_drained{});
}

void turn_commit::let_out() {
  core_.counts.turns.add();
  core_.counts.late_dropped.add(then_.is_late ? 1 : 0);
  if (!cleared_.empty()) core_.suspects.forget(cleared_);
  if (buried_) {
    if (then_.handled && then_.handled->result)
      core_.observe(&fetch_observer::dead_lettered, *then_.handled->result);
    let_out_buried();
  } else if (then_.handled && then_.handled->result) {
    core_.counts.delivered.add();
    core_.observe(&fetch_observer::delivered, *then_.handled->result);
  }
  if (fetches_) {
    core_.counts.fetches.add(fetches_->size());
    for (const auto& each : *fetches_)
      core_.observe(&fetch_observer::queued, each.fetch);
    caf::anon_send(core_.dispatcher, fetches_queued{std::move(fetches_)});
  }
  if (aborts_) // behind the fetches: one of them may be meant
    caf::anon_send(core_.dispatcher, aborts_requested{std::move(aborts_)});
  if (schedules_) schedules_->let_out(core_);
  for (auto& each : deliveries_)
    core_.deliver(std::move(each));
  if (then_.sink) then_.sink->resolve(std::move(then_.reply));
  if (then_.remembered_done)
    for (auto& caller : core_.callers.take_all(*then_.remembered_done))
      caller->resolve(call_result<std::string>(then_.reply));
  if (auto hop = then_.reply_path.pop()) tell(*hop, std::move(then_.reply));
  for (const auto& each : finished_)
    core_.observe(each);
  for (auto& each : told_)
    tell(*each.path.top(), std::move(each.reply));
}

void turn_commit::let_out_buried() {
  core_.counts.dead_letters.add();
  core_.counts.corrupt_rows.add(buried_->is_damaged ? 1 : 0);
  for (auto& caller : buried_->callers)
    caller->resolve(unexpected<error>(with_origin(buried_->why, entry_.where)));
}

void turn_commit::tell(const return_address& hop, call_result<std::string> reply) {
  if (auto caller = waiting_callers::is_caller(hop) ? core_.callers.take(hop) : nullptr)
    caller->resolve(std::move(reply));
  else
    core_.counts.strangers_dropped.add();
}

void turn_commit::take_back(const error& failed) {
  const auto why = with_origin(failed, entry_.where);
  core_.counts.failed_commits.add();
  if (fetches_)
    for (const auto& each : *fetches_)
      core_.leave_queue(each.fetch.extra.queue);
  if (then_.sink) then_.sink->resolve(unexpected<error>(why));
  if (then_.later_caller)
    if (auto caller = core_.callers.take(*then_.later_caller)) caller->resolve(unexpected<error>(why));
  if (buried_)
    for (auto& caller : buried_->callers)
      caller->resolve(unexpected<error>(why));
  if (then_.remembered_begun)
    for (auto& caller : core_.callers.take_all(*then_.remembered_begun))
      caller->resolve(unexpected<error>(why));
  if (then_.handled) {
    core_.counts.pending_messages.add();
    entry_.pending.fetch_add(
        1, std::memory_order_relaxed); // allowed without the lock: this commit is still in flight
    gate->given_back.fetch_add(1, std::memory_order_relaxed); // read when `in_flight` is zero
    caf::anon_send(activation_, turn_uncommitted{std::move(then_.handled)});
  }
}

} // namespace dormouse
